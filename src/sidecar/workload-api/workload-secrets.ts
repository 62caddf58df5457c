// Identities and bundles of the Workload API as Envoy's secrets, under the names by which SPIRE's agent serves them by SDS, so that one
// configuration works with either: a certificate is `default`, a SPIFFE id, or the hint of an identity; a validation context is `ROOTCA`
// (the trust domain of `default`), the id of a trust domain, or `ALL`, in which each trust domain is verified by its own bundle alone.
// Called by WorkloadApiClient. Pure. Invariant: a name stands for the same kind of secret always, whatever the Workload API sends.

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { ALL_BUNDLES } from '../../model/workload-api.js'
import { parseSpiffeId } from '../../mtls/spiffe.js'
import { SecretSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import type { Bundles, Svid, WorkloadBundles } from './svid-messages.js'

const DEFAULT_SVID = 'default'
const DEFAULT_BUNDLE = 'ROOTCA'
const SPIFFE_SCHEME = 'spiffe://'

/** `ownBundle` needs an identity to know whose it is; the other two kinds of bundles do not. */
export type WorkloadSecretKind = 'certificate' | 'ownBundle' | 'bundle'

export function kindOfName(name: string): WorkloadSecretKind {
  if (name === DEFAULT_BUNDLE) return 'ownBundle'
  if (name === ALL_BUNDLES) return 'bundle'
  const parsed = parseSpiffeId(name)
  return parsed.ok && parsed.id.path === '' ? 'bundle' : 'certificate'
}

/** The secret's bytes, or why there is none. */
export type NamedSecret = { readonly ok: true; readonly bytes: Uint8Array } | { readonly ok: false; readonly reason: string }

/** `svids`: null while none are held; `trust`: whom to trust. */
export function secretOf(name: string, svids: readonly Svid[] | null, trust: WorkloadBundles | null): NamedSecret {
  switch (kindOfName(name)) {
    case 'certificate':
      return svids === null ? missing('there are no identities') : certificateSecret(name, svids)
    case 'ownBundle':
      if (svids === null) return missing('there are no identities')
      return trust === null ? missing('there are no bundles') : oneBundle(name, svids[0]!.trustDomainId, trust)
    case 'bundle':
      if (trust === null) return missing('there are no bundles')
      return name === ALL_BUNDLES ? validation(name, trust.bundles, trust.crlPem) : oneBundle(name, name, trust)
  }
}

function missing(reason: string): NamedSecret {
  return { ok: false, reason }
}

function certificateSecret(name: string, svids: readonly Svid[]): NamedSecret {
  const found = name === DEFAULT_SVID ? svids[0] : svids.find(svid => (name.startsWith(SPIFFE_SCHEME) ? svid.id : svid.hint) === name)
  if (found === undefined) {
    const there = svids.slice(0, 8).map(({ id, hint }) => (hint === '' ? id : `${id} (hint '${hint}')`))
    return missing(`no identity has that ${name.startsWith(SPIFFE_SCHEME) ? 'id' : 'hint'}; there are ${there.join(', ')}`)
  }
  return secret({
    name,
    type: {
      case: 'tlsCertificate',
      value: { certificateChain: inline(found.chainPem), privateKey: inline(found.keyPem) },
    },
  })
}

function oneBundle(name: string, trustDomainId: string, { bundles, crlPem }: WorkloadBundles): NamedSecret {
  const pem = bundles.get(trustDomainId)
  if (pem !== undefined) return validation(name, new Map([[trustDomainId, pem]]), crlPem)
  return missing(`there is no bundle of ${trustDomainId}; there are those of ${[...bundles.keys()].slice(0, 8).join(', ')}`)
}

function validation(name: string, bundles: Bundles, crlPem: string): NamedSecret {
  const trustDomains = [...bundles]
    .map(([id, pem]) => ({ name: id.slice(SPIFFE_SCHEME.length), trustBundle: inline(pem) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return secret({
    name,
    type: {
      case: 'validationContext',
      value: {
        customValidatorConfig: {
          name: 'envoy.tls.cert_validator.spiffe',
          typedConfig: anyPack(SPIFFECertValidatorConfigSchema, create(SPIFFECertValidatorConfigSchema, { trustDomains })),
        },
        // The lists of CAs are of the leaves that they signed.
        ...(crlPem === '' ? {} : { crl: inline(crlPem), onlyVerifyLeafCertCrl: true }),
      },
    },
  })
}

const inline = (text: string) => ({ specifier: { case: 'inlineString', value: text } }) as const

function secret(init: MessageInitShape<typeof SecretSchema>): NamedSecret {
  return { ok: true, bytes: toBinary(SecretSchema, create(SecretSchema, init)) }
}
