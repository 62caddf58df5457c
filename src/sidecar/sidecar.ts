// One sidecar as a program of its own or inside another: a bootstrap -> Server, xDS and admin, wired together. `cli` gives it flags, log
// and environment and keeps signals and exit codes; an embedding program does the same. Invariant: nothing here touches the process.

import { hostname } from 'node:os'
import { type Message, toBinary } from '@bufbuild/protobuf'
import { systemClock } from '../io/clock.js'
import type { Explanation } from '../l7/explain/explanation.js'
import { compileStringMatchers } from '../l7/match/string-matcher.js'
import { healthReporterStats, loadReporterStats } from '../metrics/reporting-stats.js'
import type { Counter, Gauge } from '../metrics/stat.js'
import { selectStats } from '../metrics/stats-query.js'
import { compileStatsConfig, StatsStore } from '../metrics/stats-store.js'
import { type Address, formatAddress } from '../model/address.js'
import type { AdminConfig, Bootstrap, NodeInfo } from '../model/bootstrap.js'
import type { Checked, ConfigError } from '../model/config-error.js'
import type { AdminRules } from '../proxy/admin/admin-guard.js'
import type { AdminLogging } from '../proxy/admin/admin-options.js'
import { AdminServer } from '../proxy/admin/admin-server.js'
import { explain } from '../proxy/explain/explain.js'
import { parseExplainQuestion } from '../proxy/explain/explain-query.js'
import type { PrimaryRole } from '../proxy/process-role.js'
import { Server, type ServerLog, type ServerOptions } from '../proxy/server.js'
import { type BootstrapOptions, parseBootstrap } from '../xds/bootstrap.js'
import type { AdsTargetSource } from '../xds/client/client.js'
import { NodeSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'
import { createConfigDump } from './config-dump.js'
import { configStatus } from './config-status.js'
import { filterReaders } from './custom-filters.js'
import { HealthReporter } from './health-discovery/health-reporter.js'
import { LoadReporter } from './load-reports/load-reporter.js'
import type { UserAgent } from './node-message.js'
import { nodeMessage } from './node-message.js'
import type { UnknownFields } from './resource-kinds/dynamic-decoder.js'
import { NewProcess } from './restart/new-process.js'
import { OldProcess } from './restart/old-process.js'
import type { OpenChannel, ToNewProcess, ToOldProcess } from './restart/restart-messages.js'
import { TrackedResources } from './tracked-resources.js'
import { Worker, type WorkerOptions } from './workers/worker.js'
import type { SpawnWorker } from './workers/worker-messages.js'
import { WorkerPool } from './workers/worker-pool.js'
import { XdsBridge } from './xds-bridge.js'

export { handleOf, socketOf } from '../io/socket-handoff.js'
export type {
  ExplainedCluster,
  ExplainedFilter,
  ExplainedListener,
  ExplainedRequest,
  Explanation,
} from '../l7/explain/explanation.js'
export type { RecentRequest } from '../l7/log/recent-requests.js'
export type { Checked, ConfigError } from '../model/config-error.js'
export type { LogSeverity } from '../proxy/server.js'
export { BootstrapPositions, type Position } from '../xds/bootstrap-positions.js'
export type { OpenChannel, ToNewProcess, ToOldProcess } from './restart/restart-messages.js'
export type { FromWorker, SpawnWorker, ToWorker, WorkerStart } from './workers/worker-messages.js'
export { OldProcess }

/** A bootstrap as the proxy runs it, and as it came, for /config_dump. */
export interface SidecarBootstrap {
  readonly model: Bootstrap
  readonly message: Message
  /** Fields that our protos do not know, where they are allowed. */
  readonly unknownFields: number
}

/** What the command line says of a bootstrap. */
export interface ReadOptions extends Pick<BootstrapOptions, 'serviceNode' | 'serviceCluster' | 'serviceZone' | 'customFilters'> {
  /** Fields that our protos do not know are ignored, and said, instead of refused. */
  readonly allowUnknownFields?: boolean
  /** Tags of every metric. */
  readonly statsTags?: readonly { readonly name: string; readonly value: string }[]
}

export interface SidecarOptions extends Omit<ServerOptions, 'bootstrap' | 'store' | 'node'> {
  /** What xDS servers are told of the program (`user_agent_name`, `user_agent_build_version`). */
  readonly userAgent: UserAgent
  /** Envoy's five-part version string, for admin. */
  readonly version: string
  /** The flags as admin shows them in /server_info. */
  readonly commandLine: object
  readonly logging: AdminLogging
  /** Fields of dynamic resources that our protos do not know. */
  readonly unknownDynamicFields: UnknownFields
  /** POST /quitquitquit. */
  readonly onQuit: () => void
  /** A static listener that had to wait for clusters could not be bound: as fatal as an error of start(). */
  readonly onFailure: (errors: readonly ConfigError[]) => void
  /** Everything that it waited for at the start is there. */
  readonly onLive?: () => void
  /** By the target URI of a google_grpc service: management servers that whoever runs this proxy chooses. */
  readonly managementServers?: ReadonlyMap<string, AdsTargetSource>
  /** Processes that serve in the place of this one; absent: it does all itself. */
  readonly workers?: WorkersOptions
  /** Absent: there is no hot restart. */
  readonly restart?: RestartOptions
}

export interface RestartOptions {
  readonly epoch: number
  readonly baseId: number
  /** The process that serves until this one does. */
  readonly old: OldProcess | null
  /** That process drains so long. */
  readonly parentShutdownMs: number
  /** What it counts is counted on here. */
  readonly withStats: boolean
}

export interface WorkersOptions {
  readonly count: number
  readonly spawn: SpawnWorker
  /** The texts of the bootstrap, which each worker reads. */
  readonly bootstrap: readonly string[]
}

/** What a worker process needs of its own: it has no admin. */
export type WorkerSidecarOptions = Omit<
  SidecarOptions,
  'workers' | 'restart' | 'managementServers' | 'commandLine' | 'version' | 'onQuit' | 'onFailure'
> &
  Pick<WorkerOptions, 'start' | 'send' | 'exit' | 'reopenLog'>

/** `texts`: the bootstrap file, then --config-yaml; later ones are merged over earlier ones. */
export function readBootstrap(texts: readonly string[], options: ReadOptions): Checked<SidecarBootstrap> {
  const { allowUnknownFields = false, statsTags = [], ...names } = options
  const parsed = parseBootstrap(texts, { ...names, unknownFields: allowUnknownFields ? 'count' : 'refuse' })
  if (!parsed.ok) return parsed
  const { value, message, warnings, unknownFields } = parsed
  const tags = [...value.stats.tags, ...statsTags.map(tag => ({ name: tag.name, regex: null, fixedValue: tag.value }))]
  return {
    ok: true,
    value: { model: { ...value, stats: { ...value.stats, tags } }, message, unknownFields },
    warnings: [...warnings, ...ignoredFields(value.unsupported), ...unknown(unknownFields)],
  }
}

/** The reason of a warning about a field that is configured and does nothing here. */
export const WITHOUT_EFFECT = 'accepted without effect'

function ignoredFields(paths: readonly string[]): ConfigError[] {
  return paths.map(path => ({ path, reason: WITHOUT_EFFECT }))
}

function unknown(fields: number): ConfigError[] {
  return fields === 0 ? [] : [{ path: '', reason: `${fields} fields that are not known are ignored` }]
}

export class Sidecar {
  private readonly server: Server
  private readonly bridge: XdsBridge
  private readonly admin: AdminServer | null
  private readonly pool: WorkerPool | null
  private readonly reporters: Reporters
  private readonly log: ServerLog
  private readonly restart: RestartOptions | null
  /** The admin listens, if there is one: at once, or when the process before this one has left its address. */
  readonly adminListens: Promise<void>
  private onAdminListens: () => void = () => {}

  private constructor(
    server: Server,
    bridge: XdsBridge,
    admin: AdminServer | null,
    pool: WorkerPool | null,
    reporters: Reporters,
    { log, restart }: Pick<SidecarOptions, 'log' | 'restart'>,
  ) {
    this.server = server
    this.bridge = bridge
    this.admin = admin
    this.pool = pool
    this.reporters = reporters
    this.log = log
    this.restart = restart ?? null
    this.adminListens = new Promise(resolve => {
      this.onAdminListens = resolve
    })
  }

  /** What start() would refuse; nothing is bound or dialled. */
  static check({ model }: SidecarBootstrap, options: SidecarOptions): readonly ConfigError[] {
    const made = newServer(model, options)
    if (!made.ok) return made.errors
    const server = made.value
    const errors = server.config.checkStatic(model)
    void server.close()
    return errors
  }

  /** Resolves once the admin listens and the static resources are in use; with errors, nothing is left open. */
  static async start({ model, message, unknownFields }: SidecarBootstrap, options: SidecarOptions): Promise<Checked<Sidecar>> {
    const { workers, restart } = options
    // The server and the pool need each other, and the pool the bridge.
    const pools: WorkerPool[] = []
    const made = newServer(model, workers === undefined ? options : { ...options, role: primaryRole(workers.count, () => pools[0]!) })
    if (!made.ok) return made
    const server = made.value
    const bridges: XdsBridge[] = []
    const pool =
      workers === undefined
        ? null
        : new WorkerPool({ ...workers, server, log: options.log, onDemand: demand => bridges[0]?.demand(demand) })
    if (pool !== null) pools.push(pool)
    const { store } = server
    const { log, random, userAgent, version, commandLine, logging, onQuit, unknownDynamicFields } = options
    server.gauges.stats.static_unknown_fields.value = unknownFields
    // As Envoy: the first six hex digits of the revision.
    server.gauges.stats.version.value = Number.parseInt(version.slice(0, 6), 16)
    const tracked = new TrackedResources()
    const bridge = new XdsBridge({
      bootstrap: model,
      server,
      store,
      tracked,
      userAgent,
      log,
      random,
      unknownFields: unknownDynamicFields,
      ...(options.customFilters === undefined ? {} : { customFilters: filterReaders(options.customFilters) }),
      ...(options.managementServers === undefined ? {} : { managementServers: options.managementServers }),
      ...(pool === null ? {} : { followers: pool }),
    })
    bridges.push(bridge)
    const configDump = createConfigDump({ bootstrap: message, node: model.node, userAgent, tracked, server })
    const admin =
      model.admin === null
        ? null
        : new AdminServer({
            server,
            store,
            configDump,
            configStatus: query => configStatus({ bootstrap: model, server, tracked }, query),
            rules: adminRules(model.admin, model.node),
            version,
            commandLine,
            logging,
            adsStatus: () => bridge.adsStatus,
            stop: onQuit,
            ...(pool === null ? {} : { workers: pool }),
          })
    const reporters = newReporters(model, server, pool, options)
    const sidecar = new Sidecar(server, bridge, admin, pool, reporters, options)
    server.onStartFailure = options.onFailure
    const adminAddress = model.admin?.address ?? null
    const waitsForAdmin = adminAddress !== null && restart?.old?.has(adminAddress) === true
    server.onLive = () => {
      options.onLive?.()
      void sidecar.takeOver(waitsForAdmin ? adminAddress : null)
    }
    const errors = waitsForAdmin ? [] : [...(await sidecar.listen(adminAddress))]
    if (errors.length === 0) pool?.start()
    if (errors.length === 0) errors.push(...(await server.start()))
    if (errors.length > 0) {
      await sidecar.close()
      return { ok: false, errors }
    }
    // Port 0 is another one once it listens.
    bridge.start(waitsForAdmin || admin === null ? adminAddress : admin.address)
    for (const reporter of reporters) void reporter.start()
    return { ok: true, value: sidecar, warnings: made.warnings }
  }

  /** In a process that WorkerPool of another one started. */
  static worker({ model }: SidecarBootstrap, options: WorkerSidecarOptions): Promise<Checked<Worker>> {
    const { log, random, userAgent, unknownDynamicFields: unknownFields, start } = options
    return Worker.start(options, (remoteHealth, primary) => {
      const made = newServer(model, {
        ...options,
        role: { kind: 'worker', index: start.index, ticketSeed: start.ticketSeed, remoteHealth },
      })
      if (!made.ok) throw new Error(made.errors.map(({ path, reason }) => `${path}: ${reason}`).join('; '))
      const server = made.value
      const { store } = server
      const tracked = new TrackedResources()
      const bridge = new XdsBridge({ bootstrap: model, server, store, tracked, userAgent, log, random, unknownFields, primary })
      return { server, bridge }
    })
  }

  /** This process serves: the one before it leaves the rest to it. */
  private async takeOver(adminAddress: Address | null): Promise<void> {
    const { restart } = this
    for (const { path, reason } of await this.listen(adminAddress)) this.log('error', `${path}: ${reason}`)
    restart?.old?.takeOver(this.server.store, { shutdownMs: restart.parentShutdownMs, withStats: restart.withStats })
  }

  /** Another process is here to serve after this one; `onHandedOver` when it does, and with how long this one has to drain. */
  offer(open: OpenChannel<ToNewProcess, ToOldProcess>, onHandedOver: (shutdownMs: number) => void): void {
    const { server, admin, pool, restart, log } = this
    const { predecessor, store } = server
    new NewProcess(open, {
      store,
      epoch: restart?.epoch ?? 0,
      offer: { firstStartedAt: predecessor?.firstStartedAt ?? server.startedAt, generation: (predecessor?.generation ?? 0) + 1 },
      sockets: () => [...server.listeners.offeredSockets(), ...(admin?.offeredSockets() ?? [])],
      handOver: shutdownMs => {
        log('info', `another process serves now: draining, and ending in ${shutdownMs / 1000} s`)
        admin?.handOver()
        server.handOver()
        pool?.tell({ command: 'drain', inboundOnly: false, graceful: false, skipExit: false })
        onHandedOver(shutdownMs)
      },
      counts: () => {
        const { heapUsed, external } = server.memoryUse()
        return { connections: server.connectionCount, allocatedBytes: heapUsed + external }
      },
      log: message => log('info', message),
    })
  }

  /** `address:port` that the admin listens on; null without one. */
  get adminAddress(): string | null {
    return this.admin === null ? null : formatAddress(this.admin.address)
  }

  /** Whether the stream of configuration is there. */
  get isConnected(): boolean {
    return this.bridge.adsStatus?.connected ?? false
  }

  /** Where listeners are bound now, by name: port 0 is resolved. */
  get listenerAddresses(): ReadonlyMap<string, readonly string[]> {
    return new Map(this.server.listeners.active.map(({ version, addresses }) => [version.name, addresses.map(formatAddress)]))
  }

  /** Where a request would go: the parameters and the answer of the admin's POST /explain. Throws what is wrong with a question. */
  explain(parameters: URLSearchParams): Promise<Explanation> {
    const parsed = parseExplainQuestion(parameters)
    if (!parsed.ok) throw new TypeError(parsed.reason)
    return explain(this.server, parsed.question)
  }

  /** Every counter and gauge by its name, as they are now. */
  stats(): ReadonlyMap<string, number> {
    this.server.refreshGauges()
    const { store } = this.server
    const values = new Map<string, number>()
    for (const kind of ['counter', 'gauge'] as const)
      for (const { name, stat } of selectStats(store, kind, { usedOnly: false, filter: null }))
        values.set(name, (stat as Counter | Gauge).value)
    return values
  }

  /** SIGUSR1: log files are opened anew, after whoever rotates them has moved the old ones. */
  reopenLogs(): void {
    this.server.sinks.reopen()
    this.pool?.tell({ command: 'reopen-logs' })
  }

  /** Takes nothing new, lets what runs finish within `graceMs`, cuts the rest, and closes. */
  async stop(graceMs: number): Promise<void> {
    this.bridge.close()
    await Promise.all([this.server.shutdown(graceMs), this.pool?.stop(graceMs)])
    for (const reporter of this.reporters) reporter.close()
    await this.admin?.close()
  }

  /** Ends a stop() that waits for what runs. */
  cut(): void {
    this.server.listeners.destroyAll()
  }

  /** Cuts everything, now; log lines that wait are written. */
  async close(): Promise<void> {
    this.bridge.close()
    for (const reporter of this.reporters) reporter.close()
    await this.admin?.close()
    await Promise.all([this.server.close(), this.pool?.stop(0)])
  }

  private async listen(address: Address | null): Promise<readonly ConfigError[]> {
    if (this.admin === null || address === null) return []
    try {
      await this.admin.listen(address)
    } catch (error) {
      return [{ path: 'admin.address', reason: `cannot bind '${formatAddress(address)}': ${(error as Error).message}` }]
    }
    this.log('info', `admin address: ${formatAddress(this.admin.address)}`)
    this.onAdminListens()
    return []
  }
}

function adminRules({ address, allowPaths }: AdminConfig, { metadata }: NodeInfo): AdminRules {
  const own = metadata['outrigger']
  const anyHost = typeof own === 'object' && own !== null && 'admin_any_host' in own && own['admin_any_host'] === true
  const named = address.kind === 'socket' ? [address.host.toLowerCase()] : []
  return {
    allowsPath: compileStringMatchers(allowPaths),
    ownNames: anyHost ? null : [...named, hostname().toLowerCase()],
  }
}

/** Who tells servers of loads and of health. */
type Reporters = readonly (LoadReporter | HealthReporter)[]

function newReporters(
  { node: info, loadStats, healthDiscovery }: Bootstrap,
  server: Server,
  pool: WorkerPool | null,
  { userAgent, log, random }: Pick<SidecarOptions, 'userAgent' | 'log' | 'random'>,
): Reporters {
  const node = nodeMessage(info, userAgent)
  const { clusters, grpcClient: client, store } = server
  const shared = { node, client, clock: systemClock, log }
  const reporters: (LoadReporter | HealthReporter)[] = []
  if (loadStats !== undefined) {
    const collect = pool === null ? {} : { collect: () => pool.collect(true) }
    reporters.push(new LoadReporter({ ...shared, service: loadStats, clusters, stats: loadReporterStats(store), ...collect }))
  }
  if (healthDiscovery !== undefined) {
    const stats = healthReporterStats(store)
    const checked = { clusters: server.newClusters(), rules: server.config }
    reporters.push(new HealthReporter({ ...shared, service: healthDiscovery, ...checked, stats, random }))
  }
  return reporters
}

function primaryRole(concurrency: number, pool: () => WorkerPool): PrimaryRole {
  return {
    kind: 'primary',
    concurrency,
    handOff: (listener, socket) => pool().handOff(listener, socket),
    ready: () => pool().ready,
    totals: () => pool().totals(),
    tellOverload: (name, value) => pool().tell({ command: 'overload', name, value }),
  }
}

function restartParts(restart: RestartOptions | undefined): Pick<ServerOptions, 'restartEpoch' | 'baseId' | 'predecessor'> {
  if (restart === undefined) return {}
  const { epoch, baseId, old } = restart
  return { restartEpoch: epoch, baseId, ...(old === null ? {} : { predecessor: old }) }
}

type OwnServerOptions = Omit<ServerOptions, 'bootstrap' | 'store' | 'node'> & Pick<SidecarOptions, 'userAgent' | 'restart'>

function newServer(bootstrap: Bootstrap, options: OwnServerOptions): Checked<Server> {
  const compiled = compileStatsConfig(bootstrap.stats, ({ name, regex }) => {
    options.log('warn', `stats tag ${name}: the regex '${regex}' takes too long and is not used any more`)
  })
  if (!compiled.ok) return { ok: false, errors: compiled.errors.map(({ path, reason }) => ({ path: `stats_config.${path}`, reason })) }
  const node = toBinary(NodeSchema, nodeMessage(bootstrap.node, options.userAgent))
  return {
    ok: true,
    value: new Server({
      ...options,
      ...restartParts(options.restart),
      bootstrap,
      node,
      program: options.userAgent,
      store: new StatsStore({ ...compiled.value, observed: bootstrap.statsSinks.some(sink => sink.kind === 'statsd') }),
    }),
    warnings: compiled.warnings,
  }
}
