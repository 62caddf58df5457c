// The worker processes of a sidecar, seen from the primary: starts and replaces them, hands each accepted socket to the next in turn,
// sends on what was accepted over xDS, what was judged of hosts and what the admin was told, and gathers their counts. Made by Sidecar
// where --concurrency asks for more than one. One worker: worker-link.ts. Why so: docs/decisions/0009-workers.md.
// Invariant: a worker gets sockets of a listener only while it says that it serves it, after everything it has to know of the config.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { RecentQuery, RecentRequest } from '../../l7/log/recent-requests.js'
import { workerStats } from '../../metrics/stat-names.js'
import { StatsImport } from '../../metrics/stats-import.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { AdminWorkers, WorkerCommand } from '../../proxy/admin/worker-command.js'
import type { ProcessDemand } from '../../proxy/demands.js'
import type { WorkerTotals } from '../../proxy/process-role.js'
import type { Server, ServerLog } from '../../proxy/server.js'
import { HealthBoard, type HostReport } from '../../upstream/health/health-verdicts.js'
import { addedCounts } from '../../upstream/host/host.js'
import type { XdsFollowers } from '../xds-bridge.js'
import { FedResources, type FedUpdate } from './fed-resources.js'
import { WorkerLink } from './worker-link.js'
import type { SpawnWorker, WorkerCounts } from './worker-messages.js'

/** Counts are gathered so often: a worker that dies takes those since then along. */
const COLLECT_INTERVAL_MS = 1000
/** A worker that does not answer by then is left out of a scrape, or of an ACK. */
const MAX_ANSWER_MS = 5000
/** Clients accepted while no worker serves their listener; those beyond are turned away. */
const MAX_WAITING_SOCKETS = 1024
/** Listeners whose turn is remembered. */
const MAX_TURNS = 4096
/** A worker that ends again and again is started again after ever longer waits, up to this. */
const MAX_RESTART_DELAY_MS = 10_000
const FIRST_RESTART_DELAY_MS = 100
/** One that served so long begins anew at the shortest wait. */
const STEADY_MS = 10_000
/** Beyond the grace, for the exit itself. */
const EXIT_MS = 2000
const IDS_PER_WORKER = 2 ** 36
const TICKET_SEED_BYTES = 32

export interface WorkerPoolOptions {
  readonly count: number
  readonly spawn: SpawnWorker
  /** The texts of the bootstrap. */
  readonly bootstrap: readonly string[]
  readonly server: Server
  readonly log: ServerLog
  /** A request in a worker asks for what the configuration does not have. */
  readonly onDemand: (demand: ProcessDemand) => void
}

/** One place, whoever fills it. */
interface Place {
  readonly index: number
  link: WorkerLink | null
  startedAt: number
  delayMs: number
  timer: NodeJS.Timeout | null
}

interface WaitingSocket {
  readonly listener: string
  readonly socket: Socket
}

export class WorkerPool implements XdsFollowers, AdminWorkers {
  private readonly options: WorkerPoolOptions
  private readonly places: Place[]
  private readonly fed = new FedResources()
  private readonly board: HealthBoard
  private readonly stats
  private readonly imported: StatsImport
  private readonly ticketSeed = randomBytes(TICKET_SEED_BYTES)
  private readonly commands = new Map<string, WorkerCommand>()
  private readonly runtime = new Map<string, string>()
  /** Whose turn it is, by listener. */
  private readonly turns = new Map<string, number>()
  private waiting: WaitingSocket[] = []
  private collectTimer: NodeJS.Timeout | null = null
  private tellQueued = false
  private started = 0
  private everReady = false
  private stopping = false
  private onEmpty: (() => void) | null = null

  constructor(options: WorkerPoolOptions) {
    this.options = options
    const { server, count } = options
    this.places = Array.from({ length: count }, (_, index) => ({
      index,
      link: null,
      startedAt: 0,
      delayMs: FIRST_RESTART_DELAY_MS,
      timer: null,
    }))
    this.board = new HealthBoard(server.clusters, () => this.tellSoon())
    this.imported = new StatsImport(server.store)
    this.stats = workerStats(server.store)
  }

  start(): void {
    for (const place of this.places) this.fill(place)
    this.collectTimer = setInterval(() => void this.collect(false), COLLECT_INTERVAL_MS)
    this.collectTimer.unref()
  }

  /** Every worker has served; from then on one that is missing is only a place that is being filled. */
  get ready(): boolean {
    return this.everReady
  }

  totals(): WorkerTotals {
    const totals = { connections: 0, memory: { heapUsed: 0, heapTotal: 0, external: 0, rss: 0 } }
    for (const { last } of this.links()) {
      if (last === null) continue
      totals.connections += last.connections
      totals.memory.heapUsed += last.memory.heapUsed
      totals.memory.heapTotal += last.memory.heapTotal
      totals.memory.external += last.memory.external
      totals.memory.rss += last.memory.rss
    }
    return totals
  }

  // ---- life of a worker -------------------------------------------------------------------------------------------------------

  private fill(place: Place): void {
    const { spawn, bootstrap, log, server } = this.options
    place.startedAt = performance.now()
    const link = new WorkerLink(spawn, place.index, this.imported.worker(), {
      onReady: () => this.onReady(link),
      onServing: () => this.handWaiting(),
      onReport: report => this.onReport(report),
      onDemand: demand => this.options.onDemand(demand),
      onRefused: count => {
        this.stats.configRefused.value += count
        log('error', `worker ${place.index}: ${count} resources that were accepted could not be applied`)
      },
      onCounts: counts => this.takeCounts(counts),
      onUnsent: (listener, socket) => this.handOff(listener, socket),
      onExit: reason => this.onExit(place, link, reason),
    })
    place.link = link
    const firstConnectionId = ++this.started * IDS_PER_WORKER
    link.send({ kind: 'start', start: { index: place.index, firstConnectionId, bootstrap, ticketSeed: this.ticketSeed } })
    for (const update of this.fed.updates()) link.update(update)
    this.tellVerdicts()
    link.send({ kind: 'verdicts', verdicts: this.board.everything() })
    if (server.healthFailed) link.send({ kind: 'command', command: { command: 'health', failed: true } })
    if (this.runtime.size > 0) link.send({ kind: 'command', command: { command: 'runtime', values: [...this.runtime] } })
    for (const command of this.commands.values()) link.send({ kind: 'command', command })
    link.send({ kind: 'synced' })
  }

  private onReady(link: WorkerLink): void {
    this.stats.running.value = this.links().filter(({ ready }) => ready).length
    this.options.log('info', `worker ${link.index} serves (process ${link.pid})`)
    if (!this.everReady && this.places.every(place => place.link?.ready === true)) {
      this.everReady = true
      this.options.server.checkInit()
    }
    this.handWaiting()
  }

  private onExit(place: Place, link: WorkerLink, reason: string): void {
    link.release()
    place.link = null
    this.stats.running.value = this.links().filter(({ ready }) => ready).length
    if (this.stopping) {
      if (this.links().length === 0) this.onEmpty?.()
      return
    }
    this.stats.restarts.value++
    if (performance.now() - place.startedAt > STEADY_MS) place.delayMs = FIRST_RESTART_DELAY_MS
    this.options.log('error', `worker ${place.index} (process ${link.pid}) ended: ${reason}; another one starts in ${place.delayMs} ms`)
    place.timer = setTimeout(() => this.fill(place), place.delayMs)
    place.delayMs = Math.min(2 * place.delayMs, MAX_RESTART_DELAY_MS)
  }

  /** The workers let what runs finish within the grace. Resolves when all have ended. */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true
    if (this.collectTimer !== null) clearInterval(this.collectTimer)
    for (const { timer } of this.places) if (timer !== null) clearTimeout(timer)
    for (const { socket } of this.waiting) socket.destroy()
    this.waiting = []
    const gone = new Promise<void>(resolve => {
      this.onEmpty = resolve
    })
    if (this.links().length === 0) return
    for (const link of this.links()) link.send({ kind: 'stop', graceMs })
    const timer = setTimeout(() => {
      for (const link of this.links()) link.kill()
    }, graceMs + EXIT_MS)
    await gone
    clearTimeout(timer)
  }

  async recent(query: RecentQuery): Promise<readonly RecentRequest[]> {
    return (await Promise.all(this.links().map(link => link.recent(query)))).flat()
  }

  private links(): WorkerLink[] {
    return this.places.flatMap(({ link }) => (link === null ? [] : [link]))
  }

  // ---- sockets ----------------------------------------------------------------------------------------------------------------

  /** To the next worker in turn; where none serves the listener yet, it waits for one. */
  handOff(listener: string, socket: Socket): void {
    const turn = this.turns.get(listener) ?? 0
    for (let i = 0; i < this.places.length; i++) {
      const at = (turn + i) % this.places.length
      const { link } = this.places[at]!
      if (link?.serves(listener) !== true) continue
      // Listeners come and go: a turn that is forgotten begins with the first worker.
      if (this.turns.size >= MAX_TURNS) this.turns.clear()
      this.turns.set(listener, at + 1)
      link.hand(listener, socket)
      return
    }
    if (this.stopping || this.waiting.length >= MAX_WAITING_SOCKETS) socket.destroy()
    else this.waiting.push({ listener, socket })
  }

  private handWaiting(): void {
    const { waiting } = this
    this.waiting = []
    for (const { listener, socket } of waiting) this.handOff(listener, socket)
  }

  // ---- config -----------------------------------------------------------------------------------------------------------------

  async follow(update: FedUpdate): Promise<void> {
    this.fed.apply(update)
    // A cluster that begins to be checked anew is told as such before it comes.
    this.tellVerdicts()
    const late = new Promise<void>(resolve => setTimeout(resolve, MAX_ANSWER_MS).unref())
    await Promise.race([late, Promise.all(this.links().map(link => link.update(update)))])
  }

  forget(typeUrl: string, source: ConfigSource, names: readonly string[]): void {
    this.fed.forget(typeUrl, source, names)
    for (const link of this.links()) link.send({ kind: 'forget', typeUrl, source, names })
  }

  tell(command: WorkerCommand): void {
    if (command.command === 'runtime') for (const [key, value] of command.values) this.runtime.set(key, value)
    else if (command.command === 'log-levels') this.commands.set('log-levels', command)
    else if (command.command === 'overload') this.commands.set(`overload ${command.name}`, command)
    else if (command.command === 'drain') this.commands.set(`drain ${command.inboundOnly}`, command)
    for (const link of this.links()) link.send({ kind: 'command', command })
  }

  // ---- health -----------------------------------------------------------------------------------------------------------------

  /** Changes come in bursts: one message a turn. */
  private tellSoon(): void {
    if (this.tellQueued) return
    this.tellQueued = true
    setImmediate(() => this.tellVerdicts())
  }

  private tellVerdicts(): void {
    this.tellQueued = false
    const verdicts = this.board.take()
    if (verdicts.length > 0) for (const link of this.links()) link.send({ kind: 'verdicts', verdicts })
  }

  private onReport(report: HostReport): void {
    this.options.server.clusters.get(report.cluster)?.takeReport(report)
  }

  // ---- counts -----------------------------------------------------------------------------------------------------------------

  async collect(hosts: boolean): Promise<void> {
    const late = new Promise<void>(resolve => setTimeout(resolve, MAX_ANSWER_MS).unref())
    await Promise.race([late, Promise.all(this.links().map(link => link.collect(hosts)))])
    if (hosts) this.showHosts()
  }

  /** The link has taken the stats themselves. */
  private takeCounts({ rates, drops }: WorkerCounts): void {
    const { clusters } = this.options.server
    for (const { cluster, category, count } of drops) clusters.get(cluster)?.countDrops(category, count)
    for (const { cluster, host, external, localOrigin } of rates) {
      const monitor = clusters.get(cluster)?.host(host)?.outlier
      monitor?.external.add(...external)
      monitor?.localOrigin.add(...localOrigin)
    }
  }

  private showHosts(): void {
    const { clusters } = this.options.server
    for (const cluster of clusters.clusters()) for (const host of cluster.hosts) host.elsewhere = null
    for (const { last } of this.links()) {
      for (const { cluster, host: key, counts } of last?.hosts ?? []) {
        const host = clusters.get(cluster)?.host(key)
        if (host !== undefined) host.elsewhere = host.elsewhere === null ? counts : addedCounts(host.elsewhere, counts)
      }
    }
  }
}
