// Signs leaves for whoever the control plane has authorised: what the request may say, how long the leaf lives, how many at once. Held by
// `CertificateAuthority`, whose state says which root signs; the provider does the signing.
// Invariant: nothing is signed beyond the authorisation, and no leaf outlives what it is signed by.
import type { WallClock } from '../../io/clock.js'
import { CaError } from '../x509/certificate-error.js'
import { checkCsr, createCsr } from '../x509/csr.js'
import { colonHex, generateKey, privateKeyPem } from '../x509/keys.js'
import { checkAuthorisation } from './identity.js'
import type { CaProvider, LeafToSign } from './provider.js'
import { activeRoot, chainBehindLeaf, readIntermediate, readRoot, trustDomainOf } from './roots.js'
import { DEFAULT_SIGN_WAIT_MS, SignLimiter } from './sign-limiter.js'
import type { CaState } from './store.js'

export interface SignRequest {
  /** The identity that the caller has authorised. */
  readonly uri: string
  /** DNS SANs that the request may hold; none unless given. */
  readonly dnsSans?: readonly string[]
  /** IP SANs that the request may hold; none unless given. */
  readonly ipSans?: readonly string[]
  /** At most LeafCertTTL, which it is unless given. */
  readonly ttlMs?: number
  /** How long to wait for a turn before `rate-limited`; 500 unless given. */
  readonly maxWaitMs?: number
}

export interface SignedLeaf {
  readonly certPem: string
  /** Leaf, intermediate, cross-signs: what a TLS endpoint sends. */
  readonly chainPem: string
  /** Lower-case hex pairs joined by colons, Consul's SerialNumber. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly uri: string
  /** The root that was active when it was signed. */
  readonly rootId: string
}

export interface IssuedLeaf extends SignedLeaf {
  /** PKCS#8. */
  readonly keyPem: string
}

/** Asked anew for each leaf: both change while requests wait for their turn. */
export interface LeafSignerParts {
  state(): CaState
  provider(): CaProvider
  readonly clock: WallClock
  /** Where given, identities of other datacenters are refused. */
  readonly datacenter: string | undefined
}

export class LeafSigner {
  private readonly parts: LeafSignerParts
  private readonly limiter: SignLimiter

  constructor(parts: LeafSignerParts) {
    this.parts = parts
    this.limiter = new SignLimiter(parts.clock)
  }

  /**
   * Signs a request for one authorised identity. Throws `CaError`: `csr-*` for what is wrong with the request, `identity-*`, `dns-name`
   * and `ttl` for what is wrong with the authorisation, `rate-limited`, `root-expired`, `intermediate-expired`, `signer-unavailable`.
   */
  async sign(csrPem: string, request: SignRequest): Promise<SignedLeaf> {
    const state = this.parts.state()
    const { config } = state
    const trustDomain = trustDomainOf(state.clusterId)
    const dnsSans = request.dnsSans ?? []
    checkAuthorisation({ uri: request.uri, dnsSans, trustDomain, datacenter: this.parts.datacenter })
    const ttlMs = request.ttlMs ?? config.leafCertTtlMs
    if (!(ttlMs > 0 && ttlMs <= config.leafCertTtlMs))
      throw new CaError('ttl', `the leaf TTL must be above 0 and at most LeafCertTTL (${config.leafCertTtlMs} ms), is ${ttlMs} ms`)
    const { publicKey, names } = checkCsr(csrPem, {
      uri: request.uri,
      trustDomain,
      dnsSans,
      ipSans: request.ipSans ?? [],
    })
    return this.limiter.run(config, request.maxWaitMs ?? DEFAULT_SIGN_WAIT_MS, () =>
      this.signNow({ csrPem, publicKey, names }, request.uri, ttlMs),
    )
  }

  private async signNow(csr: Pick<LeafToSign, 'csrPem' | 'publicKey' | 'names'>, uri: string, ttlMs: number): Promise<SignedLeaf> {
    const { clock, provider } = this.parts
    const state = this.parts.state()
    const nowMs = clock.wallNow()
    const root = readRoot(activeRoot(state)).certificate
    if (nowMs >= root.notAfterMs)
      throw new CaError('root-expired', `the active root has expired at ${new Date(root.notAfterMs).toISOString()}; rotate it`)
    const endMs = Math.min(readIntermediate(state.chain).notAfterMs, root.notAfterMs)
    if (nowMs >= endMs) throw new CaError('intermediate-expired', `the intermediate has expired at ${new Date(endMs).toISOString()}`)
    const leaf = await provider().signLeaf(state.chain, { ...csr, nowMs, notAfterMs: Math.min(nowMs + ttlMs, endMs) })
    return {
      certPem: leaf.pem,
      chainPem: leaf.pem + chainBehindLeaf(state, nowMs),
      serial: colonHex(leaf.serial),
      notBefore: new Date(leaf.notBeforeMs),
      notAfter: new Date(leaf.notAfterMs),
      uri,
      rootId: activeRoot(state).id,
    }
  }

  /** Key (EC P-256), request and certificate in one, by the same rules and limits as `sign`. */
  async issue(identity: SignRequest): Promise<IssuedLeaf> {
    const key = await generateKey({ type: 'ec', bits: 256 })
    const csr = createCsr(key, { uris: [identity.uri], dns: identity.dnsSans ?? [], ips: identity.ipSans ?? [] })
    return { ...(await this.sign(csr, identity)), keyPem: privateKeyPem(key) }
  }
}
