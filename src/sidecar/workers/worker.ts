// A worker process: a Server that binds nothing, judges no host and asks no management server, but takes all of that, and its clients'
// sockets, from the primary. Called by the command line of a process that WorkerPool started. Invariant: messages are carried out in the
// order they came, each update once the one before is in use, so a worker's config goes through the same states as the primary's.

import type { Socket } from 'node:net'
import { StatsExport } from '../../metrics/stats-export.js'
import type { Checked, ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { AdminLogging } from '../../proxy/admin/admin-options.js'
import { carryOut } from '../../proxy/admin/worker-command.js'
import { startConnectionIds } from '../../proxy/listener/connection.js'
import type { Server, ServerLog } from '../../proxy/server.js'
import { RemoteHealth } from '../../upstream/health/health-verdicts.js'
import type { PrimarySource, XdsBridge } from '../xds-bridge.js'
import { FedResources, type FedUpdate } from './fed-resources.js'
import type { ClusterDrops, CountedHost, FromWorker, HostRates, ToWorker, WorkerCounts, WorkerStart } from './worker-messages.js'

/** What serves in the worker, made by the sidecar. */
export interface WorkerParts {
  readonly server: Server
  readonly bridge: XdsBridge
}

export interface WorkerOptions {
  readonly start: WorkerStart
  readonly log: ServerLog
  readonly logging: AdminLogging
  readonly reopenLog: () => void
  readonly send: (message: FromWorker) => void
  /** The worker's work is done. */
  readonly exit: () => void
}

/** A cluster that waits for names (DNS) or endpoints must not keep a worker from serving the others for ever. */
const MAX_WARMING_MS = 15_000

export class Worker {
  private readonly options: WorkerOptions
  private readonly parts: WorkerParts
  private readonly health: RemoteHealth
  private readonly exported: StatsExport
  private readonly fed = new FedResources()
  private queue: Promise<void> = Promise.resolve()

  private constructor(options: WorkerOptions, make: (health: RemoteHealth, primary: PrimarySource) => WorkerParts) {
    this.options = options
    startConnectionIds(options.start.firstConnectionId)
    this.health = new RemoteHealth(report => options.send({ kind: 'report', report }))
    this.parts = make(this.health, {
      onWanted: (...wanted) => this.onWanted(...wanted),
      onDemand: demand => options.send({ kind: 'demand', demand }),
    })
    this.exported = new StatsExport(this.parts.server.store)
  }

  /** Resolves once the static resources are in use. */
  static async start(
    options: WorkerOptions,
    make: (health: RemoteHealth, primary: PrimarySource) => WorkerParts,
  ): Promise<Checked<Worker>> {
    const worker = new Worker(options, make)
    const { server, bridge } = worker.parts
    server.listeners.onChange = () =>
      options.send({ kind: 'serving', listeners: server.listeners.active.map(({ version }) => version.name) })
    const errors: readonly ConfigError[] = await server.start()
    if (errors.length > 0) return { ok: false, errors }
    bridge.startFed()
    return { ok: true, value: worker, warnings: [] }
  }

  take(message: ToWorker, socket: Socket | null): void {
    const { server } = this.parts
    switch (message.kind) {
      case 'socket':
        // Before a byte of it is read: what has not been said to be taken goes to another worker when this one ends.
        this.options.send({ kind: 'taken' })
        if (socket !== null) server.listeners.take(message.listener, socket)
        return
      case 'update':
        this.fed.apply(message.update)
        this.inOrder(async () => {
          const refused = await this.apply(message.update)
          this.options.send({ kind: 'applied', serial: message.serial, refused })
        })
        return
      case 'forget':
        this.fed.forget(message.typeUrl, message.source, message.names)
        return
      case 'verdicts':
        this.inOrder(() => {
          for (const verdict of message.verdicts) this.health.take(verdict)
        })
        return
      case 'command':
        this.inOrder(() => {
          carryOut(message.command, server, this.options.logging)
          if (message.command.command === 'reopen-logs') this.options.reopenLog()
        })
        return
      case 'synced':
        this.inOrder(() => this.sayReady())
        return
      case 'collect':
        this.options.send({ kind: 'counts', serial: message.serial, counts: this.counts(message.hosts) })
        return
      case 'recent':
        this.options.send({ kind: 'recent', serial: message.serial, requests: this.parts.server.recent.find(message.query) })
        return
      case 'stop':
        void this.stop(message.graceMs)
        return
      case 'start':
        throw new Error('a worker is started once')
      default:
        message satisfies never
    }
  }

  private inOrder(step: () => void | Promise<void>): void {
    this.queue = this.queue.then(step).catch((error: Error) => this.options.log('error', `worker: ${error.stack ?? error.message}`))
  }

  private apply(update: FedUpdate): Promise<number> {
    return this.parts.bridge.take(update)
  }

  /** It may have come before anybody wanted it. */
  private onWanted(typeUrl: string, source: ConfigSource, names: readonly string[]): void {
    this.inOrder(async () => {
      const resources = names.includes('*') ? this.fed.all(typeUrl, source) : names.flatMap(name => this.fed.get(typeUrl, source, name))
      const absent = this.fed.absent(typeUrl, source, names)
      if (resources.length + absent.length > 0) await this.apply({ typeUrl, source, resources, removed: [], absent })
    })
  }

  /** Once the clusters that came are warm. */
  private sayReady(): void {
    const { clusters } = this.parts.server
    const ready = (): void => {
      clearTimeout(timer)
      stopListening()
      this.inOrder(() => this.options.send({ kind: 'ready' }))
    }
    const timer = setTimeout(ready, MAX_WARMING_MS)
    const stopListening = clusters.onWarm(() => {
      if (clusters.awaitedCount === 0) ready()
    })
    if (clusters.awaitedCount === 0) ready()
  }

  private counts(withHosts: boolean): WorkerCounts {
    const { server } = this.parts
    const rates: HostRates[] = []
    const hosts: CountedHost[] = []
    const drops: ClusterDrops[] = []
    for (const cluster of server.clusters.clusters()) {
      for (const [category, count] of cluster.drops) drops.push({ cluster: cluster.name, category, count })
      cluster.drops.clear()
      if (!withHosts && !cluster.isJudged) continue
      for (const host of cluster.hosts) {
        const place = { cluster: cluster.name, host: host.key }
        if (host.outlier !== null) {
          const external = host.outlier.external.take()
          const localOrigin = host.outlier.localOrigin.take()
          if (external[0] + localOrigin[0] > 0) rates.push({ ...place, external, localOrigin })
        }
        if (withHosts) hosts.push({ ...place, counts: host.counts() })
      }
    }
    return { stats: this.exported.take(), connections: server.connectionCount, memory: process.memoryUsage(), rates, drops, hosts }
  }

  private async stop(graceMs: number): Promise<void> {
    const { server, bridge } = this.parts
    bridge.close()
    await server.shutdown(graceMs)
    this.options.exit()
  }
}
