// The certificate authority of the mesh: who is trusted, who signs, and how that changes without a refused handshake.
// Made by the control plane (or cli); drives a CaProvider, persists through a CaStore, tells its listeners what to push.
// Invariant: what was handed out is persisted before; the bundle grows before anything is signed under a new root, and shrinks only
// when nothing signed under an old one can be alive.
//
//   rotation:  [settled] --save 1--> [staged: bundle has both roots, the old one signs]   'roots'
//                        --save 2--> [settled: the new one signs, the old one is trusted] 'leaf-reissue'
//                        --prune---> [old root gone]                                      'roots'
//   A crash before save 1 leaves no trace; one between the saves is finished by `init`; after save 2 there is nothing to finish.
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { heldClock, systemClock, type WallClock } from '../../io/clock.js'
import { CaError, reasonOf } from '../x509/certificate-error.js'
import { BACKDATE_MS, type Certificate, isIssuedBy, readCertificate } from '../x509/x509.js'
import { BuiltinProvider } from './builtin-provider.js'
import { type CaConfig, type ConfigProblem, checkCaConfig, DEFAULT_CA_CONFIG, type ProviderConfig } from './config.js'
import { FileProvider } from './file-provider.js'
import { LeafSigner } from './leaf-signer.js'
import type { CaProvider, ProviderChain, ProviderContext } from './provider.js'
import { caRenewal } from './renewal.js'
import {
  activateRotation,
  activeRoot,
  firstState,
  type IndexedCaRoots,
  indexedRoots,
  pruneRoots,
  readIntermediate,
  readRoot,
  rootIdOf,
  stageRotation,
  trustBundlePem,
  trustDomainOf,
  withOtherRoots,
} from './roots.js'
import { type CaState, CaStateChanged, type CaStore } from './store.js'
import { isSameRootMount } from './vault/vault-config.js'
import { VaultProvider } from './vault/vault-provider.js'

/** `roots`: the bundle changed, push it. `leaf-reissue`: another root signs now, renew every leaf (jitter: `reissueDelayMs`). */
export interface CaEvent {
  readonly kind: 'roots' | 'leaf-reissue'
  readonly activeRootId: string
}

export interface CertificateAuthorityOptions {
  readonly store: CaStore
  /** Used when the store is empty; afterwards the stored one counts and `updateConfig` changes it, as Consul does. */
  readonly config?: CaConfig
  /** When given, identities of other datacenters are refused. */
  readonly datacenter?: string
  /** Serves the state as it is: nothing is renewed, rotated or pruned, and no file of the operator's and no Vault is asked, whoever wants a leaf. */
  readonly inert?: boolean
  readonly clock?: WallClock
  /**
   * Called between the two steps of a rotation: resolve when the grown bundle has reached the mesh (or enough time has passed).
   * Without it the second step follows at once, which a cross-signed rotation bears: there who has missed it trusts new leaves too.
   */
  readonly bundleSettled?: (stagedRootId: string, crossSigned: boolean) => Promise<void>
  /** Problems outside a call (operator's files, maintenance, listeners): one line each, for the log. */
  readonly onProblem?: (reason: string) => void
}

/** How often `start` prunes and renews: well below half the shortest life of an intermediate (3 h). */
const MAINTENANCE_INTERVAL_MS = 600_000
/** Shortest validity of a cross-sign (Consul's): longer when leaves live longer. */
const MIN_CROSS_SIGN_MS = 7 * 24 * 3_600_000

export class CertificateAuthority {
  /** Of leaves, by the root that is active. */
  readonly signer: LeafSigner
  private readonly options: CertificateAuthorityOptions
  private readonly clock: WallClock
  private readonly listeners = new Set<(event: CaEvent) => void>()
  private state: CaState | undefined
  private provider: CaProvider | undefined
  /** Changes of state run one after another. */
  private queue: Promise<unknown> = Promise.resolve()
  /** The provider of a staged rotation made by this process: it may hold keys that the state does not. */
  private staged: CaProvider | undefined
  private timer: NodeJS.Timeout | undefined
  private lastWarning = ''
  private closed = false
  /** Resolves on `close`, so that a hook that never settles can't hold it up. */
  private readonly closing: Promise<void>
  private endClosing: () => void = () => {}

  constructor(options: CertificateAuthorityOptions) {
    this.options = options
    this.clock = options.clock ?? heldClock
    this.signer = new LeafSigner({
      state: () => this.current(),
      provider: () => this.provider!,
      clock: this.clock,
      datacenter: options.datacenter,
    })
    this.closing = new Promise(resolve => {
      this.endClosing = resolve
    })
  }

  /**
   * Loads the state, or makes cluster id, root and intermediate; finishes a rotation that a crash has cut off. Once before all else.
   * Throws `CaError`: `config`, `state-corrupt`, `state-locked`, and those of the provider when there is no state yet.
   */
  async init(): Promise<void> {
    if (this.state !== undefined) return
    await this.exclusive(async () => {
      const loaded = await this.options.store.load()
      if (loaded === undefined) await this.beginState()
      else await this.resumeState(loaded)
      this.watchProvider()
    })
    if (this.options.inert === true) return
    await this.resumeRotation()
    // A CA that was down for long may have an intermediate to renew before it can sign. Not while a hook is waited for.
    if (this.current().rotation === undefined) await this.maintain().catch(error => this.problem(`CA maintenance: ${reasonOf(error)}`))
  }

  /** Of several that begin with the same store, all go on with what the first one made. */
  private async beginState(): Promise<void> {
    try {
      await this.createState()
    } catch (error) {
      const made = error instanceof CaStateChanged ? await this.options.store.load() : undefined
      if (made === undefined) throw error
      await this.resumeState(made)
    }
  }

  /** Another process may have changed what the store has: from now on it is what this one goes by. */
  followStore(): Promise<void> {
    return this.exclusive(async () => {
      const loaded = await this.options.store.load()
      const before = this.current()
      if (loaded === undefined || isDeepStrictEqual(loaded, before)) return
      this.state = loaded
      this.staged?.close()
      this.staged = undefined
      if (!isDeepStrictEqual(loaded.config.provider, before.config.provider)) this.useProvider(this.createProvider(loaded.config.provider))
      this.emit('roots')
      if (activeRoot(loaded).id !== activeRoot(before).id) this.emit('leaf-reissue')
    })
  }

  private async createState(): Promise<void> {
    const config = this.options.config ?? DEFAULT_CA_CONFIG
    refuseProblems(checkCaConfig(config))
    const clusterId = randomUUID()
    const provider = this.createProvider(config.provider)
    try {
      const chain = await provider.chain(this.context(clusterId, config))
      await this.save(firstState(clusterId, config, chain))
      this.provider = provider
    } finally {
      if (this.provider !== provider) provider.close()
    }
  }

  private async resumeState(loaded: CaState): Promise<void> {
    this.state = loaded
    const given = this.options.config
    if (given !== undefined && !isDeepStrictEqual(given, loaded.config))
      this.problem(
        'the CA configuration given at the start differs from the one in force, which stays (as in Consul, it is for the first start)',
      )
    this.provider = this.createProvider(loaded.config.provider)
    if (loaded.config.provider.kind !== 'files' || this.options.inert === true) return
    try {
      // The operator's key is not in the state: read it; the files may also have changed while nobody looked.
      await this.adopt(await this.provider.chain(this.context(loaded.clusterId, loaded.config)))
    } catch (error) {
      // Roots are still served; signing is refused by name until the files are good again.
      this.problem(`CA files: ${reasonOf(error)}`)
    }
  }

  private async resumeRotation(): Promise<void> {
    const rotation = this.state?.rotation
    if (rotation === undefined) return
    // Nobody is connected yet, so a hook has nothing to wait for; but without cross-signs it must not be skipped.
    if (rotation.crossSigned || this.options.bundleSettled === undefined) return this.exclusive(() => this.finishLocked(false))
    this.exclusive(() => this.finishLocked(true)).catch(error => this.problem(`CA rotation: ${reasonOf(error)}`))
  }

  /** uuid, made once. */
  get clusterId(): string {
    return this.current().clusterId
  }

  /** `<cluster id>.consul`, lower case. */
  get trustDomain(): string {
    return trustDomainOf(this.clusterId)
  }

  get config(): CaConfig {
    return this.current().config
  }

  /** Consul's IndexedCARoots. */
  roots(): IndexedCaRoots {
    return indexedRoots(this.current())
  }

  /** Every trusted root, PEM, the active one first. */
  trustBundlePem(): string {
    return trustBundlePem(this.current())
  }

  /** Calls `listener` after each change, once it is persisted. Returns how to stop. */
  onChange(listener: (event: CaEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /**
   * Changes the configuration; a changed key type or root rotates. Throws `CaError`: `config` with every problem in one line,
   * `cross-sign-unsupported` unless `forceWithoutCrossSigning`, and the provider's. Nothing has changed then.
   */
  updateConfig(config: CaConfig): Promise<void> {
    return this.exclusive(async () => {
      refuseProblems(checkCaConfig(config))
      const state = await this.settled()
      if (sameProvider(state.config, config)) return this.save(withConfig(state, config))
      await this.rotateToNew(config, state.config.provider.kind === config.provider.kind ? state.chain : undefined)
    })
  }

  /** Runs inside `exclusive`. `current`: what the provider may keep. */
  private async rotateToNew(config: CaConfig, current: ProviderChain | undefined, force?: boolean): Promise<void> {
    const provider = this.createProvider(config.provider)
    try {
      const keepsRoot = isSameRootPlace(this.config.provider, config.provider)
      const context = { ...this.context(this.clusterId, config), keepsRoot }
      const chain = await provider.chain(current === undefined ? context : { ...context, current })
      await this.rotateTo(provider, chain, config, force)
    } finally {
      if (provider !== this.provider && provider !== this.staged) provider.close()
    }
  }

  /**
   * Rotates to a new root of the same configuration. `force`: also where the old root can't cross-sign it. A rotation that was cut off
   * is finished instead. Throws `CaError` `rotation-not-possible` where the root is the operator's.
   */
  rotateRoot(options: { readonly force?: boolean } = {}): Promise<void> {
    return this.exclusive(async () => {
      const before = this.current()
      if (before.rotation !== undefined) return this.finishLocked(true)
      const { config } = before
      if (config.provider.kind === 'files') {
        throw new CaError(
          'rotation-not-possible',
          `the root comes from ${config.provider.rootFile}: replace root, intermediate and key there to rotate`,
        )
      }
      if (config.provider.kind === 'vault') {
        const before = activeRoot(this.current()).id
        // Its default issuer may be another since.
        await this.rotateToNew(config, this.current().chain, options.force)
        if (activeRoot(this.current()).id !== before) return
        throw new CaError(
          'rotation-not-possible',
          `the root is that of ${config.provider.rootPath}/ in Vault: choose another RootPKIPath, or make another issuer the default there, to rotate`,
        )
      }
      if (config.provider.rootCertPem !== '') {
        throw new CaError(
          'rotation-not-possible',
          'the root is given in the configuration (RootCert): change RootCert and PrivateKey there to rotate',
        )
      }
      await this.rotateToNew(config, undefined, options.force)
    })
  }

  /** Drops roots whose time is over (RotatedOutAt + 2 x LeafCertTTL). `start` does it every ten minutes. */
  prune(nowMs: number = this.clock.wallNow()): Promise<void> {
    return this.exclusive(async () => {
      const state = this.current()
      const pruned = pruneRoots(state, nowMs)
      if (pruned === state) return
      await this.save(pruned)
      this.emit('roots')
    })
  }

  /**
   * Finishes a rotation whose second save failed, prunes roots, renews the intermediate once half its life is over, and rotates the root
   * before its end (`caRenewal` says when). What only the operator can renew is a problem, once a day.
   */
  async maintain(): Promise<void> {
    await this.exclusive(() => this.finishLocked(true))
    await this.prune()
    await this.exclusive(async () => {
      const state = this.current()
      const nowMs = this.clock.wallNow()
      const root = readCertificate(state.chain.rootPem)
      const renewal = caRenewal({ root, intermediate: readIntermediate(state.chain), config: state.config, nowMs })
      if (renewal.kind === 'root') return this.rotateDueRoot(root, nowMs)
      if (renewal.kind === 'intermediate') {
        const chain = await this.provider!.renewIntermediate(state.chain, this.context(state.clusterId, state.config))
        if (chain !== undefined) await this.save({ ...state, chain })
      }
      const warning = renewal.kind === 'operator' ? renewal.reason : ''
      if (warning !== '' && warning !== this.lastWarning) this.problem(warning)
      this.lastWarning = warning
    })
  }

  /** An expired root can't cross-sign its successor; nobody trusts anything under it any more, so nothing is lost by doing without. */
  private async rotateDueRoot(root: Certificate, nowMs: number): Promise<void> {
    this.problem(`the root ends at ${new Date(root.notAfterMs).toISOString()}: rotating to a new one`)
    await this.rotateToNew(this.current().config, undefined, nowMs >= root.notAfterMs ? true : undefined)
  }

  /** When the active root and the certificate that signs leaves end, epoch ms: for metrics. */
  expiries(): { readonly rootMs: number; readonly intermediateMs: number } {
    const { chain } = this.current()
    return { rootMs: readCertificate(chain.rootPem).notAfterMs, intermediateMs: readIntermediate(chain).notAfterMs }
  }

  /** Maintains every ten minutes and watches the operator's files. `close` ends it. */
  start(): void {
    this.timer ??= setInterval(() => {
      this.maintain().catch(error => this.problem(`CA maintenance: ${reasonOf(error)}`))
    }, MAINTENANCE_INTERVAL_MS)
    this.timer.unref()
  }

  /** Leaves maintenance to another process. */
  stopMaintenance(): void {
    clearInterval(this.timer)
    this.timer = undefined
  }

  /** Reads the operator's files now (provider "files"), and waits until what follows from it is done. */
  async checkFiles(): Promise<void> {
    await this.provider?.check()
    await this.queue
  }

  /** Stops timers and watches; what is under way still completes. */
  async close(): Promise<void> {
    this.closed = true
    this.endClosing()
    clearInterval(this.timer)
    this.provider?.close()
    await this.queue
    this.staged?.close()
  }

  private createProvider(config: ProviderConfig): CaProvider {
    // The built-in one signs by keys that are in the state, and says of others that they are not.
    if (config.kind === 'consul' || this.options.inert === true) return new BuiltinProvider()
    if (config.kind === 'files') return new FileProvider(config, this.clock)
    const clock = this.options.clock ?? systemClock
    return new VaultProvider(config, clock, reason => this.problem(`CA provider "vault": ${reason}`))
  }

  private watchProvider(): void {
    if (this.closed) return
    this.provider!.watch(
      chain =>
        this.exclusive(async () => {
          await this.adopt(chain)
          await this.finishLocked(true)
        }),
      reason => this.problem(`CA files (the last good ones go on): ${reason}`),
    )
  }

  /** Takes over what the operator's files say now: another root rotates, another intermediate signs, other roots join or leave the bundle. */
  private async adopt(chain: ProviderChain): Promise<void> {
    const state = this.current()
    const root = readCertificate(chain.rootPem)
    const rootId = rootIdOf(root)
    if (state.rotation?.rootId === rootId) {
      // Cut off while staged: go on from there, with the files as they are now.
      return this.save({ ...state, rotation: { ...state.rotation, chain } })
    }
    if (rootId !== activeRoot(state).id) return this.rotateTo(this.provider!, chain, state.config, true)
    const next = withOtherRoots(state, chain, this.clock.wallNow())
    if (next === state && JSON.stringify(chain) === JSON.stringify(state.chain)) return
    await this.save({ ...next, chain })
    if (next !== state) this.emit('roots')
  }

  /** Runs inside `exclusive`. Same root: only the configuration changes. */
  private async rotateTo(
    provider: CaProvider,
    chain: ProviderChain,
    config: CaConfig,
    force = config.forceWithoutCrossSigning,
  ): Promise<void> {
    const state = await this.settled()
    const root = readCertificate(chain.rootPem)
    if (rootIdOf(root) === activeRoot(state).id) {
      await this.save(withConfig({ ...state, chain }, config))
      return this.useProvider(provider)
    }
    const crossSign = await this.crossSign(state, root, force)
    const nowMs = this.clock.wallNow()
    const crossSigned = crossSign !== undefined || bringsCrossSign(chain, root, readRoot(activeRoot(state)).certificate)
    await this.save(stageRotation(state, { certificate: root, chain, config, crossSign, crossSigned }, nowMs))
    this.staged = provider
    this.emit('roots')
    await this.finishLocked(true)
  }

  private async crossSign(state: CaState, root: Certificate, force: boolean): Promise<Certificate | undefined> {
    const nowMs = this.clock.wallNow()
    const old = readCertificate(state.chain.rootPem)
    try {
      if (nowMs >= old.notAfterMs) throw new CaError('cross-sign-unsupported', 'the active root has expired')
      const notAfterMs = Math.min(nowMs + Math.max(MIN_CROSS_SIGN_MS, 2 * state.config.leafCertTtlMs), old.notAfterMs, root.notAfterMs)
      return await this.provider!.crossSign(state.chain, root, { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs })
    } catch (error) {
      if (force && error instanceof CaError && (error.code === 'cross-sign-unsupported' || error.code === 'signer-unavailable'))
        return undefined
      if (!(error instanceof CaError) || error.code !== 'cross-sign-unsupported') throw error
      throw new CaError(
        'cross-sign-unsupported',
        `${error.message}; to rotate without cross-signing, which can fail connections for a while, set ForceWithoutCrossSigning`,
        error,
      )
    }
  }

  /** The second step. Runs inside `exclusive`; nothing happens when no rotation is staged. */
  private async finishLocked(settle: boolean): Promise<void> {
    const rotation = this.current().rotation
    if (rotation === undefined) return
    if (settle && this.options.bundleSettled !== undefined) {
      await Promise.race([this.options.bundleSettled(rotation.rootId, rotation.crossSigned), this.closing])
      // Staged is a safe place to stop: `init` goes on from it.
      if (this.closed)
        throw new CaError('rotation-not-possible', 'the CA was closed before the rotation was finished; it goes on at the next start')
    }
    const provider = this.staged ?? (await this.providerFor(rotation.chain, rotation.config.provider))
    await this.save(activateRotation(this.current(), this.clock.wallNow()))
    this.staged = undefined
    this.useProvider(provider)
    this.emit('leaf-reissue')
  }

  /** For a rotation staged before a crash: the operator's files are read, unless the current provider has done so. */
  private async providerFor(chain: ProviderChain, config: ProviderConfig): Promise<CaProvider> {
    const provider = this.provider!
    if (config.kind === 'files' && provider.kind === 'files' && provider.canSign(chain)) return provider
    const next = this.createProvider(config)
    if (next.kind !== 'files') return next
    try {
      await next.chain(this.context(this.clusterId, this.config))
    } catch (error) {
      this.problem(`CA files: ${reasonOf(error)}`)
    }
    return next
  }

  private useProvider(provider: CaProvider): void {
    if (provider === this.provider) return
    this.provider?.close()
    this.provider = provider
    this.watchProvider()
  }

  /** The state with no rotation pending: one that was cut off is finished first. */
  private async settled(): Promise<CaState> {
    await this.finishLocked(true)
    return this.current()
  }

  private context(clusterId: string, config: CaConfig): ProviderContext {
    return { nowMs: this.clock.wallNow(), clusterId, trustDomain: trustDomainOf(clusterId), config }
  }

  private current(): CaState {
    if (this.state === undefined) throw new CaError('not-initialised', 'the CA is not initialised')
    return this.state
  }

  private async save(state: CaState): Promise<void> {
    await this.options.store.save(state)
    this.state = state
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.queue.then(work)
    this.queue = run.catch(() => {})
    return run
  }

  private emit(kind: CaEvent['kind']): void {
    const event = { kind, activeRootId: activeRoot(this.current()).id }
    for (const listener of this.listeners) {
      try {
        listener(event)
      } catch (error) {
        this.problem(`a listener of the CA failed: ${reasonOf(error)}`)
      }
    }
  }

  private problem(reason: string): void {
    this.options.onProblem?.(reason)
  }
}

/** Both take their root from one mount of Vault's. */
function isSameRootPlace(a: ProviderConfig, b: ProviderConfig): boolean {
  return a.kind === 'vault' && b.kind === 'vault' && isSameRootMount(a, b)
}

/** The same root follows from both: compared as Consul's provider id is made. */
function sameProvider(a: CaConfig, b: CaConfig): boolean {
  if (JSON.stringify(a.provider) !== JSON.stringify(b.provider)) return false
  // Its role and its mounts hold lifetimes too.
  if (a.provider.kind === 'vault') return isDeepStrictEqual(a, b)
  if (a.provider.kind === 'files' || a.provider.rootCertPem !== '') return true
  return a.privateKey.type === b.privateKey.type && a.privateKey.bits === b.privateKey.bits
}

/** The operator sends along a certificate of the new root that the old one has signed. */
function bringsCrossSign(chain: ProviderChain, root: Certificate, old: Certificate): boolean {
  return chain.extraChainPems.map(readCertificate).some(extra => extra.publicKey.equals(root.publicKey) && isIssuedBy(extra, old))
}

/** Another configuration under the same root, which remembers the longest leaf it may have signed. */
function withConfig(state: CaState, config: CaConfig): CaState {
  const roots = state.roots.map(root => (root.active ? { ...root, maxLeafTtlMs: Math.max(root.maxLeafTtlMs, config.leafCertTtlMs) } : root))
  return { ...state, config, roots }
}

function refuseProblems(problems: readonly ConfigProblem[]): void {
  if (problems.length > 0)
    throw new CaError('config', `CA configuration: ${problems.map(({ path, reason }) => `${path} ${reason}`).join('; ')}`)
}
