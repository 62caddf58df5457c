// The leaf certificate (and key) of each service that has a sidecar: issued on first need, kept over restarts, replaced at a random
// point of 60-90 % of its life, where the clock says that it is not valid, on demand (`ca rotate-leaf`), and soon after a root rotation. Made by `ControlPlane`; asks the
// `CertificateAuthority`; tells its listener which service has a new leaf. All instances of a service share one identity and leaf. Where
// replicas share the store, each has its services to sign for: the others do it only where nothing comes of that.
// Invariant: a leaf that was issued under a root that is active no more, or for another trust domain, is never served after a restart
// without a replacement being under way.
import type { CertificateAuthority } from '../../mtls/ca/authority.js'
import type { IssuedLeaf } from '../../mtls/ca/leaf-signer.js'
import { reissueDelayMs, renewAt } from '../../mtls/ca/renewal.js'
import type { StateSeal } from '../../mtls/ca/store.js'
import { serviceSpiffeId } from '../../mtls/spiffe.js'
import type { Replicas } from '../replicas/replicas.js'
import type { Store, StoredRecord } from '../store/store.js'

export interface Leaf {
  readonly service: string
  readonly uri: string
  readonly certPem: string
  readonly chainPem: string
  readonly keyPem: string
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly dnsSans?: readonly string[]
  /** The root that it was issued under. */
  readonly rootId: string
  readonly createIndex: number
  readonly modifyIndex: number
}

export interface LeafCertificatesOptions {
  readonly ca: CertificateAuthority
  readonly store: Store
  readonly seal: StateSeal | undefined
  readonly datacenter: string
  readonly random?: () => number
  readonly now?: () => number
  /** Who sign besides. Absent: nobody does. */
  readonly replicas?: Pick<Replicas, 'turnFor' | 'list'>
  /** Has it instances, or does anybody wait for its next leaf? One that nobody wants ends when it would be renewed. */
  isWanted?(service: string): boolean
  onLeaf(leaf: Leaf): void
  /** Host names that it holds besides its identity: an ingress gateway's. */
  dnsSans?(service: string): readonly string[]
  /** It has ended, and is told as gone. */
  onEnd?(service: string): void
  onProblem(service: string, reason: string): void
}

/** Many services may ask at once when the control plane starts with a large mesh file; the CA signs some dozens a second (`CSRMaxPerSecond`). */
const SIGN_WAIT_MS = 600_000
/** What a replica leaves to each that is before it. */
const TURN_MS = 3_000
/** Of `CSRMaxPerSecond`, while every leaf is replaced: the rest is for who asks now. */
const REISSUE_SHARE = 0.8
/** After a failed attempt, doubled with each further one. */
const RETRY_BASE_MS = 1_000
const RETRY_MAX_MS = 60_000
/** Timers count the time that has passed, not the clock: how often the leaves are looked at by the clock as well. */
const CLOCK_CHECK_MS = 60_000
/** Node's timers end at 24.8 days; a later renewal is looked at again then. */
const MAX_TIMER_MS = 2_147_483_647

type StoredLeaf = Omit<IssuedLeaf, 'notBefore' | 'notAfter'> & {
  readonly notBefore: string
  readonly notAfter: string
  /** Absent where there are none. */
  readonly dnsSans?: readonly string[]
}
type SealedLeaf = { readonly sealed: ReturnType<StateSeal['seal']> }

export class LeafCertificates {
  private readonly options: LeafCertificatesOptions
  private readonly random: () => number
  private readonly now: () => number
  private readonly leaves = new Map<string, Leaf>()
  private readonly timers = new Map<string, NodeJS.Timeout>()
  private readonly underWay = new Map<string, Promise<Leaf>>()
  private clockTimer: NodeJS.Timeout | undefined
  private unsubscribe: (() => void) | undefined
  private stopped = false

  constructor(options: LeafCertificatesOptions) {
    this.options = options
    this.random = options.random ?? Math.random
    this.now = options.now ?? Date.now
  }

  /** Reads what was kept, and plans renewals. */
  async start(): Promise<void> {
    const { ca, store } = this.options
    // One that another replica has issued, or dropped.
    if (store.isShared)
      this.unsubscribe = store.subscribe(['leaf'], ({ changes }) => {
        for (const { key, record } of changes) this.follow(key, record)
      })
    for (const record of await store.list('leaf')) this.adopt(record)
    this.clockTimer = setInterval(() => this.followClock(), CLOCK_CHECK_MS).unref()
    ca.onChange(event => {
      if (event.kind === 'leaf-reissue') for (const service of this.leaves.keys()) this.planReissue(service)
    })
  }

  stop(): void {
    this.stopped = true
    this.unsubscribe?.()
    clearInterval(this.clockTimer)
    for (const timer of this.timers.values()) clearTimeout(timer)
    this.timers.clear()
  }

  /** What was kept, if it is still good. */
  private adopt(record: StoredRecord): Leaf | undefined {
    const leaf = this.decode(record.key, record.value as StoredLeaf | SealedLeaf, record)
    if (leaf === undefined || leaf.uri !== this.uri(leaf.service) || !this.isValid(leaf)) return undefined
    this.leaves.set(leaf.service, leaf)
    this.planRenewal(leaf)
    return leaf
  }

  private follow(service: string, record: StoredRecord | undefined): void {
    if (record === undefined) this.forget(service)
    else {
      const leaf = this.adopt(record)
      if (leaf !== undefined) this.options.onLeaf(leaf)
    }
  }

  /** False: there was none. */
  private forget(service: string): boolean {
    clearTimeout(this.timers.get(service))
    this.timers.delete(service)
    if (!this.leaves.delete(service)) return false
    this.options.onEnd?.(service)
    return true
  }

  /** The root may have changed while it was being signed: the plan made then must not be replaced by that of a whole life. */
  private planRenewal(leaf: Leaf): void {
    if (leaf.rootId === this.options.ca.roots().ActiveRootID) this.plan(leaf.service, this.renewalDelay(leaf))
    else this.planReissue(leaf.service)
  }

  get(service: string): Leaf | undefined {
    return this.leaves.get(service)
  }

  all(): IterableIterator<Leaf> {
    return this.leaves.values()
  }

  /** The leaf of a service, issued now if there is none that is valid by the clock. Rejects with the CA's error. */
  ensure(service: string): Promise<Leaf> {
    const leaf = this.leaves.get(service)
    return leaf === undefined || !this.isValid(leaf) ? this.rotate(service) : Promise.resolve(leaf)
  }

  /** NaN while there is none. */
  firstExpirySeconds(): number {
    if (this.leaves.size === 0) return Number.NaN
    let first = Number.POSITIVE_INFINITY
    for (const { notAfter } of this.leaves.values()) first = Math.min(first, notAfter.getTime())
    return (first - this.now()) / 1_000
  }

  /**
   * Sees to it that the service has one, for who waits for `onLeaf`: what the CA can't give now is asked for again. `everywhere`: other
   * replicas were told of the need as well.
   */
  prepare(service: string, everywhere = false): void {
    if (this.leaves.has(service) || this.underWay.has(service) || this.timers.has(service)) return
    if (everywhere) this.renewInTurn(service)
    else this.renew(service, 0)
  }

  /** Each replica would: the others wait whether a new one comes of it, and on while they themselves have many to sign. */
  private renewInTurn(service: string): void {
    const turn = this.options.replicas?.turnFor(service) ?? 0
    if (turn === 0) {
      this.renew(service, 0)
      return
    }
    this.planTo(service, turn * TURN_MS, () => {
      if (this.msToSign(this.underWay.size) > TURN_MS) this.renewInTurn(service)
      else this.renew(service, 0)
    })
  }

  private isValid({ notBefore, notAfter }: Leaf): boolean {
    const now = this.now()
    return notBefore.getTime() <= now && now < notAfter.getTime()
  }

  /** The clock may have been set, or the machine have slept: what has ended by it, or not begun, is replaced now, and said. */
  private followClock(): void {
    for (const [service, leaf] of this.leaves) {
      if (this.isValid(leaf)) continue
      const { notBefore, notAfter } = leaf
      this.options.onProblem(service, `not valid by the clock (from ${notBefore.toISOString()} to ${notAfter.toISOString()}), replaced now`)
      this.renew(service, 0)
    }
  }

  /** The host names that the certificate should hold may be others now: then it is replaced. */
  namesChanged(service: string): void {
    const leaf = this.leaves.get(service)
    if (leaf !== undefined && !sameNames(leaf.dnsSans ?? [], this.wantedNames(service))) this.renewInTurn(service)
  }

  private wantedNames(service: string): readonly string[] {
    return this.options.dnsSans?.(service) ?? []
  }

  /** Issues a new leaf now; calls at the same time share one. Rejects with the CA's error, the old leaf stays then. */
  rotate(service: string): Promise<Leaf> {
    const underWay = this.underWay.get(service)
    if (underWay !== undefined) return underWay
    const issue = this.issue(service).finally(() => this.underWay.delete(service))
    this.underWay.set(service, issue)
    return issue
  }

  /** Drops the leaf of a service that has no sidecar any more. */
  release(service: string): void {
    if (!this.forget(service)) return
    const { store, onProblem } = this.options
    store.delete('leaf', service).catch((error: Error) => onProblem(service, error.message))
  }

  private async issue(service: string): Promise<Leaf> {
    const { ca, store, seal } = this.options
    const dnsSans = this.wantedNames(service)
    const issued = await ca.signer.issue({ uri: this.uri(service), dnsSans, maxWaitMs: SIGN_WAIT_MS })
    const names: Pick<Leaf, 'dnsSans'> = dnsSans.length === 0 ? {} : { dnsSans }
    const stored: StoredLeaf = { ...issued, ...names, notBefore: issued.notBefore.toISOString(), notAfter: issued.notAfter.toISOString() }
    const index = await store.put('leaf', service, seal === undefined ? stored : { sealed: seal.seal(JSON.stringify(stored)) })
    // Others by now: while it was signed, whoever said so found this one under way.
    if (!sameNames(dnsSans, this.wantedNames(service))) setImmediate(() => this.namesChanged(service))
    // Told already, by the store's commit, or by that of another replica since.
    const known = this.leaves.get(service)
    if (known !== undefined && known.modifyIndex >= index) return known
    const leaf = {
      ...issued,
      ...names,
      service,
      createIndex: this.leaves.get(service)?.createIndex ?? index,
      modifyIndex: index,
    }
    this.leaves.set(service, leaf)
    this.planRenewal(leaf)
    this.options.onLeaf(leaf)
    return leaf
  }

  private renewalDelay(leaf: Leaf): number {
    return Math.max(renewAt(leaf, this.random) - this.now(), RETRY_BASE_MS)
  }

  /** After a root rotation, so that no more are asked for at once than the CA signs. Who is not the first to sign it waits for that time to be over. */
  private planReissue(service: string): void {
    const { replicas } = this.options
    const leastWindowMs = this.msToSign(this.leaves.size / (replicas?.list().length ?? 1))
    const turn = replicas?.turnFor(service) ?? 0
    const beforeMs = turn === 0 ? 0 : reissueDelayMs(() => 1, leastWindowMs) + turn * TURN_MS
    this.plan(service, beforeMs + reissueDelayMs(this.random, leastWindowMs))
  }

  /** With what is left for who asks meanwhile. */
  private msToSign(leaves: number): number {
    const { csrMaxPerSecond } = this.options.ca.config
    return csrMaxPerSecond > 0 ? (1_000 * leaves) / (csrMaxPerSecond * REISSUE_SHARE) : 0
  }

  private plan(service: string, delayMs: number, attempt = 0): void {
    this.planTo(service, delayMs, () => this.renew(service, attempt))
  }

  private planTo(service: string, delayMs: number, act: () => void): void {
    clearTimeout(this.timers.get(service))
    if (this.stopped) return
    const timer = setTimeout(
      () => {
        if (delayMs > MAX_TIMER_MS) this.planTo(service, delayMs - MAX_TIMER_MS, act)
        else act()
      },
      Math.min(delayMs, MAX_TIMER_MS),
    )
    timer.unref()
    this.timers.set(service, timer)
  }

  private renew(service: string, attempt: number): void {
    if (this.options.isWanted?.(service) === false) {
      this.release(service)
      return
    }
    this.rotate(service).catch((error: Error) => {
      this.options.onProblem(service, error.message)
      this.plan(service, Math.min(RETRY_BASE_MS * 2 ** attempt, RETRY_MAX_MS), attempt + 1)
    })
  }

  private uri(service: string): string {
    const { ca, datacenter } = this.options
    return serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter, service })
  }

  private decode(
    service: string,
    value: StoredLeaf | SealedLeaf,
    record: { readonly createIndex: number; readonly modifyIndex: number },
  ): Leaf | undefined {
    try {
      const { seal } = this.options
      if ('sealed' in value && seal === undefined) return undefined
      const stored: StoredLeaf = 'sealed' in value ? JSON.parse(seal!.open(value.sealed)) : value
      return {
        ...stored,
        service,
        notBefore: new Date(stored.notBefore),
        notAfter: new Date(stored.notAfter),
        createIndex: record.createIndex,
        modifyIndex: record.modifyIndex,
      }
    } catch {
      // Sealed with another key: the CA's own state has already been refused or accepted; a leaf can simply be made anew.
      return undefined
    }
  }
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i])
}
