// The built-in provider (Consul's "consul"): root and intermediate made here, or under a root that the operator gives.
// Made and driven by the authority; issues by x509.ts. Invariant: a root given from outside is checked before it is used: it matches
// its key, is a CA that may sign, is within its times, and leaves room for an intermediate below it.
import { createPublicKey, randomInt } from 'node:crypto'
import { CaError } from '../x509/certificate-error.js'
import { generateKey, privateKeyPem, readPrivateKey } from '../x509/keys.js'
import {
  BACKDATE_MS,
  type Certificate,
  crossSign,
  type Issued,
  issueIntermediate,
  issueLeafCertificate,
  issueRoot,
  readCertificate,
  type Signer,
} from '../x509/x509.js'
import type { CaProvider, LeafToSign, ProviderChain, ProviderContext } from './provider.js'

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Consul's form of a CA's common name: `pri-<7 random characters>.<provider>.ca.<first 8 of the cluster id>.consul`. */
export function caName(provider: 'consul' | 'vault', kind: 'root' | 'int', clusterId: string): string {
  let unique = ''
  for (let i = 0; i < 7; i++) unique += LETTERS[randomInt(LETTERS.length)]
  return `pri-${unique}.${provider}.${kind === 'root' ? 'ca' : 'int'}.${clusterId.slice(0, 8)}.consul`
}

export class BuiltinProvider implements CaProvider {
  readonly kind = 'consul'
  private cached: { chain: ProviderChain; signer: Signer } | undefined

  async chain(context: ProviderContext): Promise<ProviderChain> {
    const { provider } = context.config
    const root =
      provider.kind === 'consul' && provider.rootCertPem !== ''
        ? readGivenRoot(provider.rootCertPem, provider.privateKeyPem, context.nowMs)
        : await this.makeRoot(context)
    return this.withIntermediate(root, context)
  }

  private async makeRoot({ config, clusterId, trustDomain, nowMs }: ProviderContext): Promise<Signer> {
    const key = await generateKey(config.privateKey)
    const certificate = issueRoot({
      key,
      trustDomain,
      name: caName('consul', 'root', clusterId),
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: nowMs + config.rootCertTtlMs,
    })
    return { certificate, key }
  }

  private async withIntermediate(root: Signer, { config, clusterId, trustDomain, nowMs }: ProviderContext): Promise<ProviderChain> {
    if (nowMs >= root.certificate.notAfterMs) throw new CaError('root-expired', 'the active root has expired; rotate it or give a new one')
    const key = await generateKey(config.privateKey)
    const intermediate = issueIntermediate(root, {
      publicKey: createPublicKey(key),
      name: caName('consul', 'int', clusterId),
      trustDomain,
      notBeforeMs: Math.max(nowMs - BACKDATE_MS, root.certificate.notBeforeMs),
      notAfterMs: Math.min(nowMs + config.intermediateCertTtlMs, root.certificate.notAfterMs),
    })
    return {
      rootPem: root.certificate.pem,
      rootKeyPem: privateKeyPem(root.key),
      otherRootPems: [],
      intermediatePem: intermediate.pem,
      intermediateKeyPem: privateKeyPem(key),
      extraChainPems: [],
    }
  }

  async crossSign(chain: ProviderChain, root: Certificate, validity: { notBeforeMs: number; notAfterMs: number }): Promise<Certificate> {
    const issuer = rootSigner(chain)
    // Below the cross-signed root stands one more CA, the intermediate.
    if (issuer.certificate.pathLength !== undefined && issuer.certificate.pathLength < 2) {
      throw new CaError(
        'cross-sign-unsupported',
        `the active root has path length ${issuer.certificate.pathLength}, cross-signing a root needs 2`,
      )
    }
    return crossSign(issuer, root, validity)
  }

  renewIntermediate(chain: ProviderChain, context: ProviderContext): Promise<ProviderChain> {
    return this.withIntermediate(rootSigner(chain), context)
  }

  canSign(chain: ProviderChain): boolean {
    return chain.intermediateKeyPem !== undefined
  }

  async signLeaf(chain: ProviderChain, leaf: LeafToSign): Promise<Issued> {
    return signWith(this.signer(chain), leaf)
  }

  private signer(chain: ProviderChain): Signer {
    if (this.cached?.chain === chain) return this.cached.signer
    if (chain.intermediateKeyPem === undefined)
      throw new CaError('signer-unavailable', 'the key of the intermediate is not in the CA state')
    const signer = {
      certificate: readCertificate(chain.intermediatePem),
      key: readPrivateKey(chain.intermediateKeyPem, "the intermediate's key"),
    }
    this.cached = { chain, signer }
    return signer
  }

  watch(): void {}

  async check(): Promise<void> {}

  close(): void {}
}

/** By a key that is at hand. */
export function signWith(signer: Signer, { publicKey, names, nowMs, notAfterMs }: LeafToSign): Issued {
  return issueLeafCertificate(signer, { publicKey, names, notBeforeMs: nowMs - BACKDATE_MS, notAfterMs })
}

function rootSigner(chain: ProviderChain): Signer {
  if (chain.rootKeyPem === undefined) throw new CaError('signer-unavailable', "the root's key is not in the CA state")
  return { certificate: readCertificate(chain.rootPem), key: readPrivateKey(chain.rootKeyPem, "the root's key") }
}

function readGivenRoot(certPem: string, keyPem: string, nowMs: number): Signer {
  const key = readPrivateKey(keyPem, 'PrivateKey')
  const certificate = readCertificate(certPem)
  if (!certificate.x509.checkPrivateKey(key)) throw new CaError('key-mismatch', 'PrivateKey does not belong to RootCert')
  checkRoot(certificate, 'RootCert', nowMs)
  if (certificate.pathLength === 0) throw new CaError('root-invalid', 'RootCert has path length 0 and can have no intermediate below it')
  return { certificate, key }
}

/** Checks that a certificate can be a trust anchor now. Throws `CaError` `root-invalid`. */
export function checkRoot(certificate: Certificate, what: string, nowMs: number): void {
  if (!certificate.canSignCertificates) throw new CaError('root-invalid', `${what} is not a CA that may sign certificates`)
  if (certificate.keySpec === undefined) throw new CaError('root-invalid', `${what} has a key that is neither EC on a NIST curve nor RSA`)
  if (nowMs < certificate.notBeforeMs)
    throw new CaError('root-invalid', `${what} is not valid before ${new Date(certificate.notBeforeMs).toISOString()}`)
  if (nowMs >= certificate.notAfterMs)
    throw new CaError('root-invalid', `${what} has expired at ${new Date(certificate.notAfterMs).toISOString()}`)
}
