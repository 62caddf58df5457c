// The roots that are trusted, as others see them: Consul's IndexedCARoots, the trust bundle, the chain behind a leaf.
// Pure functions over `CaState`; called by the authority. Invariant: the bundle is every root in the state, active first, so a staged
// root is trusted before anything is signed under it, and a rotated one until it is pruned.
import { CaError } from '../x509/certificate-error.js'
import { colonHex, type KeySpec } from '../x509/keys.js'
import { type Certificate, isIssuedBy, readCertificate } from '../x509/x509.js'
import type { CaConfig } from './config.js'
import type { ProviderChain } from './provider.js'
import type { CaState, RootRecord } from './store.js'

/** Consul's CARoot. Times are RFC 3339; Consul keeps RotatedOutAt to itself, so an HTTP API leaves it out. */
export interface CaRoot {
  readonly ID: string
  readonly Name: string
  /** Low 64 bits of the serial number (53 where more would not survive JSON). */
  readonly SerialNumber: number
  /** SubjectKeyId of what signs leaves under this root, colon hex. */
  readonly SigningKeyID: string
  readonly ExternalTrustDomain: string
  readonly NotBefore: string
  readonly NotAfter: string
  readonly RootCert: string
  /** Cross-signs of this root, then the intermediate. */
  readonly IntermediateCerts: readonly string[]
  readonly Active: boolean
  readonly PrivateKeyType: string
  readonly PrivateKeyBits: number
  readonly RotatedOutAt?: string
}

export interface IndexedCaRoots {
  readonly ActiveRootID: string
  /** `<cluster id>.consul` */
  readonly TrustDomain: string
  readonly Roots: readonly CaRoot[]
}

/** Cross-signs sent along at most: one for each rotation whose old root may still be all that a peer knows. */
export const MAX_CROSS_SIGNS = 4
/** Roots trusted at once at most; each makes every bundle and every handshake a little longer. */
export const MAX_TRUSTED_ROOTS = 16

export const rootIdOf = (certificate: Certificate): string => colonHex(Buffer.from(certificate.sha1, 'hex'))
export const trustDomainOf = (clusterId: string): string => `${clusterId}.consul`
/** RFC 3339 as Go prints a time of whole seconds. */
export const rfc3339 = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')

const ROOT_NAMES = { consul: 'Consul CA Primary Cert', files: 'External CA Primary Cert', vault: 'Vault CA Primary Cert' } as const

export function rootRecord(
  certificate: Certificate,
  values: { kind: keyof typeof ROOT_NAMES; active: boolean; maxLeafTtlMs: number; crossSignPems?: readonly string[] },
): RootRecord {
  return {
    id: rootIdOf(certificate),
    name: ROOT_NAMES[values.kind],
    certPem: certificate.pem,
    crossSignPems: values.crossSignPems ?? [],
    active: values.active,
    maxLeafTtlMs: values.maxLeafTtlMs,
  }
}

export const activeRoot = (state: CaState): RootRecord => state.roots.find(root => root.active)!

interface ReadRoot {
  readonly certificate: Certificate
  readonly crossSigns: readonly Certificate[]
}

/** Records never change, so each is read once; signing a leaf needs both. */
const readRoots = new WeakMap<RootRecord, ReadRoot>()

export function readRoot(root: RootRecord): ReadRoot {
  let read = readRoots.get(root)
  if (read === undefined) {
    read = { certificate: readCertificate(root.certPem), crossSigns: root.crossSignPems.map(readCertificate) }
    readRoots.set(root, read)
  }
  return read
}

const readIntermediates = new WeakMap<ProviderChain, Certificate>()

/** What signs leaves; a chain never changes either. */
export function readIntermediate(chain: ProviderChain): Certificate {
  let read = readIntermediates.get(chain)
  if (read === undefined) {
    read = readCertificate(chain.intermediatePem)
    readIntermediates.set(chain, read)
  }
  return read
}

/** Active first, then the newest. */
function inOrder(state: CaState): RootRecord[] {
  const active = activeRoot(state)
  return [active, ...state.roots.filter(root => root !== active).reverse()]
}

/** All trusted roots as one PEM text. */
export const trustBundlePem = (state: CaState): string =>
  inOrder(state)
    .map(root => root.certPem)
    .join('')

/**
 * What goes after a leaf: intermediate, what the operator adds, cross-signs. Consul puts cross-signs before the intermediate; here each
 * certificate certifies the one before it, as RFC 5246 section 7.4.2 demands of TLS 1.2.
 */
export function chainBehindLeaf(state: CaState, nowMs: number): string {
  const crossSigns = readRoot(activeRoot(state))
    .crossSigns.filter(certificate => certificate.notAfterMs > nowMs)
    .map(certificate => certificate.pem)
  return [state.chain.intermediatePem, ...state.chain.extraChainPems, ...crossSigns].join('')
}

export function indexedRoots(state: CaState): IndexedCaRoots {
  return {
    ActiveRootID: activeRoot(state).id,
    TrustDomain: trustDomainOf(state.clusterId),
    Roots: inOrder(state).map(root => caRoot(root, state)),
  }
}

function caRoot(root: RootRecord, state: CaState): CaRoot {
  const { certificate } = readRoot(root)
  const chain = root.active ? state.chain : state.rotation?.rootId === root.id ? state.rotation.chain : undefined
  const signing = chain === undefined ? certificate : readIntermediate(chain)
  const low64 = BigInt(`0x${certificate.serial.toString('hex') || '0'}`) & 0xffff_ffff_ffff_ffffn
  const key: Partial<KeySpec> = certificate.keySpec ?? {}
  return {
    ID: root.id,
    Name: root.name,
    SerialNumber: Number(low64 > Number.MAX_SAFE_INTEGER ? BigInt.asUintN(53, low64) : low64),
    SigningKeyID: colonHex(signing.subjectKeyId),
    ExternalTrustDomain: state.clusterId,
    NotBefore: rfc3339(certificate.notBeforeMs),
    NotAfter: rfc3339(certificate.notAfterMs),
    RootCert: root.certPem,
    IntermediateCerts: [...root.crossSignPems, ...(chain === undefined ? [] : [...chain.extraChainPems, chain.intermediatePem])],
    Active: root.active,
    PrivateKeyType: key.type ?? '',
    PrivateKeyBits: key.bits ?? 0,
    ...(root.rotatedOutAtMs === undefined ? {} : { RotatedOutAt: rfc3339(root.rotatedOutAtMs) }),
  }
}

/** The state of a CA that has never been: one active root, and those that the provider names besides. */
export function firstState(clusterId: string, config: CaConfig, chain: ProviderChain): CaState {
  const certificate = readCertificate(chain.rootPem)
  const values = { kind: config.provider.kind, maxLeafTtlMs: config.leafCertTtlMs }
  const roots = [rootRecord(certificate, { ...values, active: true })]
  return withOtherRoots({ version: 1, clusterId, config, chain, roots }, chain, 0)
}

/**
 * Adds the roots that the provider trusts besides. One that it names no more is rotated out, so it is trusted for a while yet.
 * Returns the same state when nothing changes.
 */
export function withOtherRoots(state: CaState, chain: ProviderChain, nowMs: number): CaState {
  const named = new Map(chain.otherRootPems.map(pem => readCertificate(pem)).map(certificate => [rootIdOf(certificate), certificate]))
  let changed = false
  const roots = state.roots.map(root => {
    if (root.active || root.id === state.rotation?.rootId) return root
    if (named.has(root.id) === (root.rotatedOutAtMs === undefined)) return root
    changed = true
    const { rotatedOutAtMs: _, ...rest } = root
    return named.has(root.id) ? rest : { ...rest, rotatedOutAtMs: nowMs }
  })
  const known = new Set(roots.map(root => root.id))
  for (const [id, certificate] of named) {
    if (known.has(id)) continue
    changed = true
    roots.push(rootRecord(certificate, { kind: state.config.provider.kind, active: false, maxLeafTtlMs: state.config.leafCertTtlMs }))
  }
  if (roots.length > MAX_TRUSTED_ROOTS) throw tooManyRoots()
  return changed ? { ...state, roots } : state
}

export function tooManyRoots(): CaError {
  return new CaError('too-many-roots', `${MAX_TRUSTED_ROOTS} roots are trusted already; wait until rotated ones are pruned`)
}

/** First save of a rotation: the new root joins the bundle. The old one still signs. */
export function stageRotation(
  state: CaState,
  next: { certificate: Certificate; chain: ProviderChain; config: CaConfig; crossSign: Certificate | undefined; crossSigned: boolean },
  nowMs: number,
): CaState {
  const { certificate, crossSign } = next
  const crossSignPems = crossSign === undefined ? [] : [crossSign.pem, ...activeRoot(state).crossSignPems].slice(0, MAX_CROSS_SIGNS)
  const record = rootRecord(certificate, {
    kind: next.config.provider.kind,
    active: false,
    maxLeafTtlMs: next.config.leafCertTtlMs,
    crossSignPems,
  })
  // A root that comes back (rotated out earlier, or trusted besides) takes its place again.
  const roots = [...state.roots.filter(root => root.id !== record.id), record]
  if (roots.length > MAX_TRUSTED_ROOTS) throw tooManyRoots()
  const rotation = { rootId: record.id, chain: next.chain, config: next.config, crossSigned: next.crossSigned }
  const staged = { ...state, roots, rotation }
  return next.chain.otherRootPems.length === 0 ? staged : withOtherRoots(staged, next.chain, nowMs)
}

/** Second save: the new root signs, the old one is trusted on until it is pruned. Its key is forgotten with its chain. */
export function activateRotation(state: CaState, nowMs: number): CaState {
  const { rotation, ...rest } = state
  if (rotation === undefined) return state
  const roots = state.roots.map(root => {
    if (root.id === rotation.rootId) return { ...root, active: true }
    return root.active ? { ...root, active: false, rotatedOutAtMs: nowMs } : root
  })
  const activated = { ...rest, roots, chain: rotation.chain, config: rotation.config }
  return withOtherRoots(activated, rotation.chain, nowMs)
}

/** Until when a rotated root is trusted: RotatedOutAt + 2 x LeafCertTTL, and never less than its longest leaf may live. */
export function trustedUntilMs(root: RootRecord, config: CaConfig): number {
  if (root.rotatedOutAtMs === undefined) return Number.POSITIVE_INFINITY
  return root.rotatedOutAtMs + Math.max(2 * config.leafCertTtlMs, root.maxLeafTtlMs)
}

/** Drops rotated roots whose time is over, and cross-signs that have expired or lead only to dropped roots. Same state when nothing changes. */
export function pruneRoots(state: CaState, nowMs: number): CaState {
  const kept = state.roots.filter(root => nowMs <= trustedUntilMs(root, state.config))
  if (kept.length === state.roots.length) return state
  const certificates = kept.map(root => readRoot(root).certificate)
  const roots = kept.map(root => {
    if (root.crossSignPems.length === 0) return root
    // A cross-sign is of use while the root that made it is trusted; one further down the chain needs those before it.
    let useful = 0
    for (const [index, crossSign] of readRoot(root).crossSigns.entries()) {
      if (crossSign.notAfterMs > nowMs && certificates.some(certificate => isIssuedBy(crossSign, certificate))) useful = index + 1
    }
    return { ...root, crossSignPems: root.crossSignPems.slice(0, useful) }
  })
  return { ...state, roots }
}
