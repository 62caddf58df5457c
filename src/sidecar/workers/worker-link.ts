// One worker process as the primary sees it: what it serves, what it has been told and has answered, the sockets on their way to it.
// Made by WorkerPool. Invariant: of the sockets at most one is under way (Node passes handles one at a time), so that those behind it can
// go to another worker when this one ends.

import type { Socket } from 'node:net'
import type { RecentQuery, RecentRequest } from '../../l7/log/recent-requests.js'
import type { WorkerStats } from '../../metrics/stats-import.js'
import type { ProcessDemand } from '../../proxy/demands.js'
import type { HostReport } from '../../upstream/health/health-verdicts.js'
import type { FedUpdate } from './fed-resources.js'
import type { FromWorker, SpawnWorker, ToWorker, WorkerChannel, WorkerCounts } from './worker-messages.js'

export interface WorkerLinkEvents {
  onReady(): void
  /** The listeners that it serves changed. */
  onServing(): void
  onReport(report: HostReport): void
  onDemand(demand: ProcessDemand): void
  /** Resources that it could not apply. */
  onRefused(count: number): void
  onCounts(counts: WorkerCounts): void
  /** A socket that did not reach it. */
  onUnsent(listener: string, socket: Socket): void
  onExit(reason: string): void
}

interface QueuedSocket {
  readonly listener: string
  readonly socket: Socket
}

export class WorkerLink {
  readonly index: number
  /** It has everything in use that it was told before it said so. */
  ready = false
  private saidReady = false
  /** What it counted when it was last asked. */
  last: WorkerCounts | null = null
  private readonly channel: WorkerChannel
  private readonly stats: WorkerStats
  private readonly events: WorkerLinkEvents
  private listeners: ReadonlySet<string> = new Set()
  private readonly queue: QueuedSocket[] = []
  /** Until the worker says that it took it. */
  private underWay: QueuedSocket | null = null
  private ended = false
  private updates = 0
  private lastApplied = 0
  private collects = 0
  /** By serial: who waits for the answer. */
  private readonly applied = new Map<number, () => void>()
  private readonly collected = new Map<number, () => void>()
  private readonly asked = new Map<number, (requests: readonly RecentRequest[]) => void>()

  constructor(spawn: SpawnWorker, index: number, stats: WorkerStats, events: WorkerLinkEvents) {
    this.index = index
    this.stats = stats
    this.events = events
    this.channel = spawn(index, { onMessage: message => this.onMessage(message), onExit: reason => events.onExit(reason) })
  }

  get pid(): number {
    return this.channel.pid
  }

  serves(listener: string): boolean {
    return this.ready && !this.ended && this.listeners.has(listener)
  }

  send(message: ToWorker): void {
    if (!this.ended) this.channel.send(message)
  }

  kill(): void {
    this.channel.kill()
  }

  /** Resolves once the worker has it in use; at once while it starts, as it gets no sockets before it has everything. */
  update(update: FedUpdate): Promise<void> {
    const serial = ++this.updates
    this.send({ kind: 'update', serial, update })
    if (!this.ready || this.ended) return Promise.resolve()
    return new Promise(resolve => this.applied.set(serial, resolve))
  }

  /** Resolves once its counts up to now are in. */
  collect(hosts: boolean): Promise<void> {
    if (!this.ready || this.ended) return Promise.resolve()
    const serial = ++this.collects
    this.send({ kind: 'collect', serial, hosts })
    return new Promise(resolve => this.collected.set(serial, resolve))
  }

  recent(query: RecentQuery): Promise<readonly RecentRequest[]> {
    if (!this.ready || this.ended) return Promise.resolve([])
    const serial = ++this.collects
    this.send({ kind: 'recent', serial, query })
    return new Promise(resolve => this.asked.set(serial, resolve))
  }

  hand(listener: string, socket: Socket): void {
    this.queue.push({ listener, socket })
    if (this.underWay === null) this.sendNext()
  }

  private sendNext(): void {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      if (!this.channel.sendSocket({ kind: 'socket', listener: next.listener }, next.socket)) continue
      this.underWay = next
      return
    }
  }

  /** Of the two descriptors of the connection the one here is not needed any more. */
  private onTaken(): void {
    this.underWay?.socket.destroy()
    this.underWay = null
    this.sendNext()
  }

  /** The process has ended: nobody waits for it any more. */
  release(): void {
    this.ended = true
    this.ready = false
    for (const done of [...this.applied.values(), ...this.collected.values()]) done()
    for (const answer of this.asked.values()) answer([])
    this.applied.clear()
    this.collected.clear()
    this.asked.clear()
    this.stats.release()
    const left = [...(this.underWay === null ? [] : [this.underWay]), ...this.queue.splice(0)]
    this.underWay = null
    for (const { listener, socket } of left) this.events.onUnsent(listener, socket)
  }

  /** Updates may have been sent while it got ready: the ACK of those did not wait for it. */
  private checkReady(): void {
    if (this.ready || !this.saidReady || this.lastApplied < this.updates) return
    this.ready = true
    this.events.onReady()
  }

  private onMessage(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.saidReady = true
        this.checkReady()
        return
      case 'taken':
        this.onTaken()
        return
      case 'serving':
        this.listeners = new Set(message.listeners)
        this.events.onServing()
        return
      case 'applied':
        if (message.refused > 0) this.events.onRefused(message.refused)
        this.lastApplied = message.serial
        settle(this.applied, message.serial)
        this.checkReady()
        return
      case 'report':
        this.events.onReport(message.report)
        return
      case 'demand':
        this.events.onDemand(message.demand)
        return
      case 'counts':
        // Counts that were not asked for with hosts keep those of before: a fall to nothing would be taken for a worker that died.
        this.last = message.counts.hosts.length > 0 || this.last === null ? message.counts : { ...message.counts, hosts: this.last.hosts }
        this.stats.apply(message.counts.stats)
        this.events.onCounts(message.counts)
        settle(this.collected, message.serial)
        return
      case 'recent':
        this.asked.get(message.serial)?.(message.requests)
        this.asked.delete(message.serial)
    }
  }
}

function settle(waiting: Map<number, () => void>, serial: number): void {
  waiting.get(serial)?.()
  waiting.delete(serial)
}
