// Agents of other machines, as the control plane knows them: each holds its node's lease by renewing it, and with it the node's `serfHealth`.
// Asked by http-api/agents.ts; writes nodes and their checks to the catalog, and who holds what to the store.
//
//   take (node, id, secret) -> held: serfHealth passing -> not renewed for TTL_MS: critical -> taken again: passing
//                                                                            \-> for 72 hours: node and all on it are removed
//   leave -> node and all on it are removed at once
//
// Invariants: a node is held by the secret that took it first, until it has left or was removed; after a restart of the control plane every
// node has one whole term to come back before it counts as lost.
import type { Catalog } from '../catalog/catalog.js'
import type { CatalogDraft } from '../catalog/catalog-draft.js'
import type { NodeRegistration, StoredCheck } from '../catalog/catalog-types.js'
import { PLAIN_CHECK } from '../catalog/check-definition.js'
import { NODE } from '../catalog/maintenance-check.js'
import { hashOf, isSameHash } from '../secret-hash.js'
import { Renewals } from '../store/renewals.js'
import { put, remove, type Store, type StoredRecord } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'

export interface AgentLeaseRequest {
  readonly node: NodeRegistration
  readonly secret: string
  readonly version: string
}

export interface AgentLease {
  readonly node: string
  readonly nodeId: string
  readonly address: string
  readonly version: string
  readonly alive: boolean
}

export interface AgentTerms {
  /** Default 10 s, in which Consul notices a lost agent. */
  readonly ttlMs?: number
  /** Default 72 hours, Consul's `reconnect_timeout`. */
  readonly reapAfterMs?: number
}

export interface AgentLeasesOptions extends AgentTerms {
  readonly store: Store
  readonly catalog: Catalog
  readonly onProblem: (reason: string) => void
  readonly onNotice: (node: string, what: string) => void
}

/** Why a lease is not given: the status of the HTTP API and one line. */
export class LeaseError extends Error {
  constructor(
    readonly statusCode: 400 | 403 | 404 | 429,
    message: string,
  ) {
    super(message)
  }
}

const TTL_MS = 10_000
const REAP_AFTER_MS = 72 * 3_600_000
/** What a timer could not have written is tried again. */
const RETRY_MS = 1_000
const MAX_AGENTS = 5_000
/** The longest that a timer of Node's waits. */
const MAX_TIMER_MS = 2 ** 31 - 1
export const SERF_HEALTH = 'serfHealth'

interface StoredLease {
  readonly node: string
  readonly nodeId: string
  readonly address: string
  readonly version: string
  readonly secretHash: string
  /** Since when it is lost, in ms since 1970; 0 = it is not. */
  readonly lostAtMs: number
}

interface Held extends StoredLease {
  readonly modifyIndex: number
  /** Ends the term of one that is alive, or the patience with one that is lost. */
  timer: NodeJS.Timeout | undefined
}

export class AgentLeases {
  private readonly options: AgentLeasesOptions
  /** By node name in lower case. */
  private readonly held = new Map<string, Held>()
  private readonly ttl: number
  private stopped = false
  /** By node: the last of what changes its lease, so that a lease and its node come and go together. */
  private readonly turns = new Map<string, Promise<void>>()
  private readonly renewals: Renewals
  /** Of who counts agents as lost; other replicas only hear of it. */
  private lease: HeldLease | undefined
  private release: (() => Promise<void>) | undefined

  private constructor(options: AgentLeasesOptions) {
    this.options = options
    this.ttl = options.ttlMs ?? TTL_MS
    this.renewals = new Renewals(options.store, 'agents', key => this.rearm(key))
  }

  static async open(options: AgentLeasesOptions): Promise<AgentLeases> {
    const { store } = options
    const leases = new AgentLeases(options)
    store.subscribe(['agent-lease'], ({ changes }) => {
      for (const { key, record } of changes) leases.follow(key, record)
    })
    for (const record of await store.list('agent-lease')) leases.follow(record.key, record)
    leases.release = store.leases.contend('agents', lease => {
      leases.lease = lease
      for (const key of [...leases.held.keys()]) leases.rearm(key)
    })
    return leases
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.renewals.stop()
    for (const { timer } of this.held.values()) clearTimeout(timer)
    await this.release?.()
  }

  /** How long a lease lasts without being renewed. */
  get ttlMs(): number {
    return this.ttl
  }

  list(): AgentLease[] {
    return [...this.held.values()].map(({ node, nodeId, address, version, lostAtMs }) => ({
      node,
      nodeId,
      address,
      version,
      alive: lostAtMs === 0,
    }))
  }

  /** Takes or renews. True: it was not held, or lost, before, so its holder has to say again what is on the node. Throws `LeaseError`. */
  take(request: AgentLeaseRequest): Promise<boolean> {
    return this.inTurn(request.node.Node, key => this.takeNow(key, request))
  }

  private async takeNow(key: string, { node, secret, version }: AgentLeaseRequest): Promise<boolean> {
    const secretHash = hashOf(secret)
    const before = this.held.get(key)
    if (before !== undefined && !isSameHash(before.secretHash, secretHash))
      throw new LeaseError(
        403,
        `node "${node.Node}" is held by another agent (node ID ${before.nodeId}, ${before.address}): an agent with this name must leave first`,
      )
    if (before === undefined && this.held.size >= MAX_AGENTS) throw new LeaseError(429, `there are ${MAX_AGENTS} agents already`)
    const isNew = before === undefined || before.lostAtMs !== 0
    const lease: StoredLease = { node: node.Node, nodeId: node.ID, address: node.Address, version, secretHash, lostAtMs: 0 }
    await this.register(node)
    if (before === undefined || !sameLease(before, lease)) {
      const compare = { collection: 'agent-lease', key, modifyIndex: before?.modifyIndex ?? 0 } as const
      const { ok } = await this.options.store.transaction([put('agent-lease', key, lease)], [compare])
      if (!ok) throw new LeaseError(403, `node "${node.Node}" was taken by another agent, or removed, at the same time: try again`)
    } else this.rearm(key)
    this.renewals.renewed(key, this.ttl)
    if (isNew) this.options.onNotice(node.Node, before === undefined ? 'joined' : 'is back')
    return isNew
  }

  /** A renewal finds it all there, and waits for nobody. */
  private async register(node: NodeRegistration): Promise<void> {
    const { catalog } = this.options
    const set = (draft: CatalogDraft): void => {
      draft.setNode(node)
      draft.setCheck(node.Node, serfHealth('passing', 'Agent alive and reachable'))
    }
    const draft = catalog.draft()
    set(draft)
    if (draft.writes().length > 0) await catalog.change(set)
  }

  /** The agent goes, and its node with all on it. Throws `LeaseError` for another's secret. */
  leave(node: string, secret: string): Promise<void> {
    return this.inTurn(node, async key => {
      const lease = this.held.get(key)
      if (lease === undefined) throw new LeaseError(404, `no agent holds node "${node}"`)
      if (!isSameHash(lease.secretHash, hashOf(secret))) throw new LeaseError(403, `node "${node}" is held by another agent`)
      await this.remove(lease, 'left')
    })
  }

  /** What an operator does with an agent that will not come back. False: no agent has this node. */
  forceLeave(node: string): Promise<boolean> {
    return this.inTurn(node, async key => {
      const lease = this.held.get(key)
      if (lease === undefined) return false
      await this.remove(lease, 'was made to leave')
      return true
    })
  }

  private inTurn<T>(node: string, task: (key: string) => Promise<T>): Promise<T> {
    const key = node.toLowerCase()
    const run = (this.turns.get(key) ?? Promise.resolve()).then(() => task(key))
    const ended = run.then(
      () => {},
      () => {},
    )
    this.turns.set(key, ended)
    void ended.then(() => {
      if (this.turns.get(key) === ended) this.turns.delete(key)
    })
    return run
  }

  private rearm(key: string): void {
    const held = this.held.get(key)
    if (held !== undefined) this.keep(key, held, held.modifyIndex)
  }

  private follow(key: string, record: StoredRecord | undefined): void {
    if (record !== undefined) this.keep(key, record.value as StoredLease, record.modifyIndex)
    else {
      clearTimeout(this.held.get(key)?.timer)
      this.held.delete(key)
    }
  }

  private keep(key: string, lease: StoredLease, modifyIndex: number): void {
    clearTimeout(this.held.get(key)?.timer)
    const held: Held = { ...stored(lease), modifyIndex, timer: undefined }
    this.held.set(key, held)
    if (this.stopped) return
    if (lease.lostAtMs === 0) this.after(held, this.ttl, lease => this.inTurn(held.node, () => this.lost(key, held, lease)))
    else {
      const patience = lease.lostAtMs + (this.options.reapAfterMs ?? REAP_AFTER_MS) - Date.now()
      this.after(held, Math.max(0, patience), lease =>
        this.inTurn(held.node, async () => {
          // It may have come back meanwhile.
          if (this.held.get(key) === held) await this.remove(held, 'was lost for too long', lease)
        }),
      )
    }
  }

  private after(held: Held, ms: number, then: (lease: HeldLease) => Promise<void>): void {
    const run = (): void => {
      if (this.lease?.signal.aborted === false)
        then(this.lease).catch((error: Error) => {
          if (this.stopped) return
          this.options.onProblem(`node ${held.node}: ${error.message}`)
          // Nobody else would do it; where it was renewed meanwhile this timer is no longer its own.
          if (this.held.get(held.node.toLowerCase()) === held) held.timer = setTimeout(run, RETRY_MS).unref()
        })
    }
    held.timer = setTimeout(run, Math.min(ms, MAX_TIMER_MS))
    held.timer.unref()
  }

  private async lost(key: string, held: Held, task: HeldLease): Promise<void> {
    if (this.held.get(key) !== held || this.stopped) return
    const lease: StoredLease = { ...stored(held), lostAtMs: Date.now() }
    // It may have come back meanwhile.
    const compare = { collection: 'agent-lease', key, modifyIndex: held.modifyIndex } as const
    // Both or neither: nobody would make the node critical that is lost already.
    const isLost = await this.options.store.exclusive(async turn => {
      // Another replica may have renewed it while this waited for the store: that writes nothing.
      if (this.held.get(key) !== held) return false
      const draft = this.options.catalog.draft()
      if (draft.node(held.node) !== undefined) draft.setCheck(held.node, serfHealth('critical', 'Agent not live or unreachable'))
      return (await turn.transaction([put('agent-lease', key, lease), ...draft.writes()], [compare])).ok
    }, task)
    if (isLost) this.options.onNotice(held.node, 'is lost')
  }

  private async remove(held: StoredLease, what: string, task?: HeldLease): Promise<void> {
    const key = held.node.toLowerCase()
    const isGone = await this.options.store.exclusive(async turn => {
      // By a timer: at another replica it may have come back meanwhile.
      if (task !== undefined && this.held.get(key) !== held) return false
      const draft = this.options.catalog.draft()
      draft.deleteNode(held.node)
      await turn.transaction([...draft.writes(), remove('agent-lease', key)])
      return true
    }, task)
    if (isGone) this.options.onNotice(held.node, what)
  }
}

function serfHealth(status: StoredCheck['status'], output: string): StoredCheck {
  return {
    definition: { ...PLAIN_CHECK, Type: 'registered', CheckID: SERF_HEALTH, Name: 'Serf Health Status', ServiceID: NODE },
    status,
    output,
    registered: { Type: '', Interval: '', Timeout: '', ExposedPort: 0, Definition: {} },
  }
}

function stored({ node, nodeId, address, version, secretHash, lostAtMs }: StoredLease): StoredLease {
  return { node, nodeId, address, version, secretHash, lostAtMs }
}

function sameLease(a: StoredLease, b: StoredLease): boolean {
  return JSON.stringify(stored(a)) === JSON.stringify(stored(b))
}
