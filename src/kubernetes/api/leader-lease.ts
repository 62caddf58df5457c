// Which of several processes acts: the one that holds a Lease (coordination.k8s.io/v1), as Kubernetes' own controllers do it. Used by
// commands/k8s. Invariant: who could not renew in time stops before another may begin: `renewForMs` is shorter than the lease, and both are
// judged by the own clock since the lease was last seen to change, never by the other's time stamps.
import { setTimeout as sleep } from 'node:timers/promises'
import { type KubeClient, KubeError, type KubeObject } from './kube-client.js'

export interface LeaseTimes {
  readonly leaseS: number
  /** How long the leader goes on without a renewal. */
  readonly renewForMs: number
  readonly retryEveryMs: number
}

/** client-go's. */
export const LEASE_TIMES: LeaseTimes = { leaseS: 15, renewForMs: 10_000, retryEveryMs: 2_000 }

export interface LeaseOptions {
  readonly namespace: string
  readonly name: string
  readonly identity: string
  readonly times: LeaseTimes
  readonly onLeading: () => void
  readonly onLost: () => Promise<void>
  readonly onProblem: (message: string) => void
}

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string | null
    readonly leaseDurationSeconds?: number
    readonly acquireTime?: string
    readonly renewTime?: string
    readonly leaseTransitions?: number
  }
}

export class LeaderLease {
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private readonly collection: string
  private leading = false
  private renewedAtMs = 0
  /** When the cluster last answered, whoever holds the lease. */
  private answeredAtMs: number | null = null
  /** Somebody else's lease, as last seen to change. */
  private seen = { version: '', atMs: 0 }

  constructor(
    private readonly client: KubeClient,
    private readonly options: LeaseOptions,
  ) {
    this.collection = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`
    this.running = this.run()
  }

  /** Whether the cluster has ever answered. */
  get started(): boolean {
    return this.answeredAtMs !== null
  }

  /** Whether it did within the time of a lease. */
  get ready(): boolean {
    return this.answeredAtMs !== null && performance.now() - this.answeredAtMs < this.options.times.leaseS * 1000
  }

  /** Gives the lease back, so that another need not wait for its end. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
    if (!this.leading) return
    await this.lose()
    await this.release().catch((error: Error) => this.options.onProblem(`lease: ${error.message}`))
  }

  private async run(): Promise<void> {
    const { times, onLeading } = this.options
    const { signal } = this.stopping
    while (!signal.aborted) {
      const startedMs = performance.now()
      const held = await this.heldInTime()
      if (held === true) this.renewedAtMs = startedMs
      if (held === true && !this.leading && !signal.aborted) {
        this.leading = true
        onLeading()
      } else if (this.leading && (held === false || this.leftMs() <= 0)) await this.lose()
      await sleep(Math.min(times.retryEveryMs, this.leading ? Math.max(0, this.leftMs()) : Number.POSITIVE_INFINITY), undefined, {
        signal,
      }).catch(() => {})
    }
  }

  /** Undefined is not known: an answer that a leader waits for too long is none, since the renewal before it ends meanwhile. */
  private async heldInTime(): Promise<boolean | undefined> {
    const asked = this.tryAcquire().catch((error: Error) => {
      this.options.onProblem(`lease: ${error.message}`)
      return undefined
    })
    if (!this.leading) return asked
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>(resolve => {
      timer = setTimeout(resolve, Math.max(0, this.leftMs()), undefined)
    })
    return Promise.race([asked, late]).finally(() => clearTimeout(timer))
  }

  /** Of the time that the last renewal is good for. */
  private leftMs(): number {
    return this.renewedAtMs + this.options.times.renewForMs - performance.now()
  }

  private async lose(): Promise<void> {
    this.leading = false
    await this.options.onLost()
  }

  private async tryAcquire(): Promise<boolean> {
    const held = await this.acquire()
    this.answeredAtMs = performance.now()
    return held
  }

  private async acquire(): Promise<boolean> {
    const { name, namespace, identity, times } = this.options
    const path = `${this.collection}/${name}`
    const now = microTime()
    const lease = await this.client.find<Lease>(path)
    try {
      if (lease === undefined) {
        const spec = { holderIdentity: identity, leaseDurationSeconds: times.leaseS, acquireTime: now, renewTime: now, leaseTransitions: 0 }
        await this.client.create(this.collection, { ...KIND, metadata: { name, namespace }, spec })
        return true
      }
      const { spec = {} } = lease
      const ours = spec.holderIdentity === identity
      if (!ours && this.stillHeld(lease)) return false
      const taken = ours ? {} : { acquireTime: now, leaseTransitions: (spec.leaseTransitions ?? 0) + 1 }
      const next = { ...spec, ...taken, holderIdentity: identity, leaseDurationSeconds: times.leaseS, renewTime: now }
      await this.client.update(path, { ...lease, spec: next })
      return true
    } catch (error) {
      // Another was quicker.
      if (error instanceof KubeError && error.statusCode === 409) return false
      throw error
    }
  }

  private stillHeld({ spec, metadata: { resourceVersion = '' } }: Lease): boolean {
    if (!spec?.holderIdentity) return false
    const now = performance.now()
    if (resourceVersion !== this.seen.version) this.seen = { version: resourceVersion, atMs: now }
    return now - this.seen.atMs < (spec.leaseDurationSeconds ?? this.options.times.leaseS) * 1000
  }

  private async release(): Promise<void> {
    const path = `${this.collection}/${this.options.name}`
    const lease = await this.client.find<Lease>(path)
    if (lease?.spec?.holderIdentity !== this.options.identity) return
    await this.client.update(path, {
      ...lease,
      spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime() },
    })
  }
}

const KIND = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' }

/** Kubernetes' MicroTime. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z')
}
