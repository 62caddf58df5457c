// TLS contexts of the mesh, with certificates inline as Consul sends them: the public listener's DownstreamTlsContext (client
// certificate required) and the clusters' UpstreamTlsContext (server's URI SAN matched).
import { create, toBinary } from '@bufbuild/protobuf'
import { ALL_BUNDLES, WORKLOAD_API_CLUSTER } from '../../model/workload-api.js'
import { serviceSpiffeId } from '../../mtls/spiffe.js'
import type { TransportSocketSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
  type TlsParametersSchema,
} from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import { type SdsSecretConfigSchema, SecretSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  type CommonTlsContext_CombinedCertificateValidationContextSchema,
  type CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { SECRET_TYPE } from '../../xds/type-urls.js'
import type { MeshTls, TlsVersion } from '../config-entries/types.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import type { PeerBundle } from '../peering/peering-types.js'
import { adsConfigSource, fileSource, grpcConfigSource, type Init, inlineString, pack } from './protobuf.js'
import { isHttp2, type ProxyIdentity, type ProxyView, type TargetPeer } from './proxy-view.js'

type ValidationInit = Init<typeof CertificateValidationContextSchema>
export type TransportSocketInit = Init<typeof TransportSocketSchema>

/** A client that asks for it on a TCP service wants a tunnel. */
export const TUNNEL_ALPN: readonly string[] = ['h2']
const HTTP2_FIRST = ['h2', 'http/1.1']
const HTTP1_ONLY = ['http/1.1']

/**
 * What the public listener offers. For `http` Consul offers HTTP/1.1 only; here also h2, because HTTP/1 requests between two sidecars
 * then share connections, writes and TLS records (the fast path of our sidecar; Envoy understands it as well).
 */
export function publicAlpn(protocol: string, httpMeshProtocol: 'auto' | 'http1'): string[] {
  if (isHttp2(protocol)) return HTTP2_FIRST
  if (protocol === 'http') return httpMeshProtocol === 'auto' ? HTTP2_FIRST : HTTP1_ONLY
  return []
}

/** `alpn`: what is offered, by default what the service's protocol asks for. */
export function downstreamTls(
  view: Pick<ProxyView, 'identity' | 'mesh' | 'protocol' | 'config'>,
  alpn: readonly string[] = publicAlpn(view.protocol, view.config.httpMeshProtocol),
): TransportSocketInit {
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          ...commonTls(view.identity, view.mesh?.TLS?.Incoming, inboundValidation(view.identity), true),
          alpnProtocols: [...alpn],
        },
        requireClientCertificate: true,
      }),
    },
  }
}

/** Shown to clients from outside. Without a cluster a secret comes as all else of the snapshot does (`certificateSecret`). */
export type ShownCertificate =
  | { readonly chainPem: string; readonly keyPem: string }
  | { readonly secret: string; readonly sdsCluster: string | undefined }

/** TLS of clients from outside, who show no certificate: which one they are shown, their server name decides. */
export function edgeTls(certificates: readonly ShownCertificate[], params: MeshTls, alpn: readonly string[]): TransportSocketInit {
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          tlsParams: tlsParameters(params),
          tlsCertificates: certificates.flatMap(shown =>
            'secret' in shown ? [] : { certificateChain: inlineString(shown.chainPem), privateKey: inlineString(shown.keyPem) },
          ),
          tlsCertificateSdsSecretConfigs: certificates.flatMap(shown =>
            'secret' in shown
              ? {
                  name: shown.secret,
                  sdsConfig: shown.sdsCluster === undefined ? adsConfigSource() : grpcConfigSource(shown.sdsCluster),
                }
              : [],
          ),
          alpnProtocols: [...alpn],
        },
        requireClientCertificate: false,
      }),
    },
  }
}

/** Files are of the proxy's machine, which watches those of a secret, and not those that a listener names itself. */
export type SecretCertificate =
  | { readonly chainPem: string; readonly keyPem: string }
  | { readonly chainFile: string; readonly keyFile: string }

export function certificateSecret(name: string, certificate: SecretCertificate): Resource {
  const value =
    'chainPem' in certificate
      ? { certificateChain: inlineString(certificate.chainPem), privateKey: inlineString(certificate.keyPem) }
      : { certificateChain: fileSource(certificate.chainFile), privateKey: fileSource(certificate.keyFile) }
  const message = create(SecretSchema, { name, type: { case: 'tlsCertificate', value } })
  return makeResource(name, SECRET_TYPE, toBinary(SecretSchema, message))
}

/**
 * TLS towards `target`: its SNI, and exactly its identity expected; of a peer's target, whoever the peer has said, by the peer's own roots.
 * `alpn`: what to ask for; none, and the proxy's pools decide.
 */
export function upstreamTls(
  view: Pick<ProxyView, 'identity' | 'mesh'>,
  target: DiscoveryTarget,
  peer: TargetPeer | undefined,
  alpn: readonly string[] = [],
): TransportSocketInit {
  const own = {
    trustDomain: view.identity.trustDomain,
    namespace: target.Namespace,
    partition: target.Partition,
    datacenter: target.Datacenter,
    service: target.Service,
  }
  const bundles = peer?.bundles ?? [{ trustDomain: view.identity.trustDomain, rootPems: [view.identity.rootsPem] }]
  const matchTypedSubjectAltNames = uriMatchers(expectedIds(view.identity, peer) ?? [serviceSpiffeId(own)])
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        commonTlsContext: {
          ...commonTls(
            view.identity,
            view.mesh?.TLS?.Outgoing,
            { ...verifiedBy(bundles, view.identity.rootsPem), matchTypedSubjectAltNames },
            peer === undefined || peer.ours,
          ),
          alpnProtocols: [...alpn],
        },
        sni: target.SNI,
      }),
    },
  }
}

/** Of our own services none whose trust domain has no bundle: the mesh's roots, which stay, do not vouch for it. */
function expectedIds({ certificate }: ProxyIdentity, peer: TargetPeer | undefined): readonly string[] | undefined {
  if (peer === undefined || !peer.ours || certificate.kind === 'workload') return peer?.spiffeIds
  return peer.spiffeIds.filter(id => peer.bundles.some(({ trustDomain }) => id.startsWith(`spiffe://${trustDomain}/`)))
}

/**
 * `ofMesh`: the other side is of our own mesh. A proxy that has its identity from a Workload API has from there also whom to trust; of peers
 * that knows nothing.
 */
function commonTls(
  { certificate }: ProxyIdentity,
  params: MeshTls | undefined,
  validation: ValidationInit,
  ofMesh: boolean,
): Init<typeof CommonTlsContextSchema> {
  const tlsParams = tlsParameters(params)
  if (certificate.kind === 'issued') {
    return {
      tlsParams,
      tlsCertificates: [{ certificateChain: inlineString(certificate.chainPem), privateKey: inlineString(certificate.keyPem) }],
      validationContextType: { case: 'validationContext', value: validation },
    }
  }
  return {
    tlsParams,
    tlsCertificateSdsSecretConfigs: [workloadSecret(certificate.id)],
    validationContextType: ofMesh
      ? { case: 'combinedValidationContext', value: byWorkloadApi(validation) }
      : { case: 'validationContext', value: validation },
  }
}

const workloadSecret = (name: string): Init<typeof SdsSecretConfigSchema> => ({ name, sdsConfig: grpcConfigSource(WORKLOAD_API_CLUSTER) })

function byWorkloadApi({
  matchTypedSubjectAltNames,
}: ValidationInit): Init<typeof CommonTlsContext_CombinedCertificateValidationContextSchema> {
  return {
    defaultValidationContext: matchTypedSubjectAltNames === undefined ? {} : { matchTypedSubjectAltNames },
    validationContextSdsSecretConfig: workloadSecret(ALL_BUNDLES),
  }
}

const uriMatchers = (uris: readonly string[]): NonNullable<ValidationInit['matchTypedSubjectAltNames']> =>
  uris.map(uri => ({ sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern: { case: 'exact', value: uri } } }))

/** Callers of our own mesh, and of the other trust domains that may call: each by the roots of its own. */
function inboundValidation({ trustDomain, rootsPem, otherBundles }: ProxyIdentity): ValidationInit {
  return verifiedBy([{ trustDomain, rootPems: [rootsPem] }, ...otherBundles], rootsPem)
}

/** None: by our own roots, which vouch for nobody of another trust domain. */
function verifiedBy(bundles: readonly PeerBundle[], rootsPem: string): ValidationInit {
  const [only] = bundles
  if (bundles.length < 2) return { trustedCa: inlineString(only?.rootPems.join('\n') ?? rootsPem) }
  const sorted = [...bundles].sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
  return {
    customValidatorConfig: {
      name: 'envoy.tls.cert_validator.spiffe',
      typedConfig: pack(SPIFFECertValidatorConfigSchema, {
        trustDomains: sorted.map(bundle => ({ name: bundle.trustDomain, trustBundle: inlineString(bundle.rootPems.join('\n')) })),
      }),
    },
  }
}

const TLS_VERSIONS: Readonly<Record<TlsVersion, TlsParameters_TlsProtocol>> = {
  TLS_AUTO: TlsParameters_TlsProtocol.TLS_AUTO,
  TLSv1_0: TlsParameters_TlsProtocol.TLSv1_0,
  TLSv1_1: TlsParameters_TlsProtocol.TLSv1_1,
  TLSv1_2: TlsParameters_TlsProtocol.TLSv1_2,
  TLSv1_3: TlsParameters_TlsProtocol.TLSv1_3,
}

export function tlsParameters(params: MeshTls | undefined): Init<typeof TlsParametersSchema> {
  return {
    tlsMinimumProtocolVersion: TLS_VERSIONS[params?.TLSMinVersion ?? 'TLS_AUTO'],
    tlsMaximumProtocolVersion: TLS_VERSIONS[params?.TLSMaxVersion ?? 'TLS_AUTO'],
    cipherSuites: [...(params?.CipherSuites ?? [])],
    ecdhCurves: [...(params?.ECDHCurves ?? [])],
  }
}
