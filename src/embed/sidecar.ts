// A sidecar inside another program: the package's public `Sidecar`, over src/sidecar. Everything belongs to the instance and ends with
// close(); nothing of the process is touched: no signal handler, no exit, no output but access logs that the configuration sends to
// /dev/stdout. `%ENVIRONMENT()%` reads the process's environment.

import type { Explanation } from '../l7/explain/explanation.js'
import type { HttpFilter } from '../l7/filters/custom/custom-filter.js'
import { filtersByType } from '../l7/filters/custom/filters-by-type.js'
import type { SidecarOptions as RunningOptions, Sidecar as RunningSidecar } from '../sidecar/sidecar.js'
import { ENVOY_VERSION, envoyVersionString, USER_AGENT_NAME } from '../sidecar/version.js'
import { ConfigRefusedError } from './config-refused-error.js'
import type { Log } from './log-line.js'
import { registeredHttpFilters } from './register-http-filter.js'
import { type XdsOptions, xdsBootstrap } from './xds-bootstrap.js'

export interface SidecarOptions {
  /** Envoy's bootstrap: YAML or JSON text, or the object that it stands for. Either this or `xds`. */
  readonly bootstrap?: string | object
  /** Everything comes from this xDS server. */
  readonly xds?: XdsOptions
  /** HTTP filters of this sidecar alone; those of registerHttpFilter are known beside them. */
  readonly httpFilters?: readonly HttpFilter[]
  /** Hears everything that is said, of every level. */
  readonly log?: Log
  /** What goes wrong after the start: a static listener that waited for clusters and could not be bound. Absent: it is only logged. */
  readonly onError?: (error: Error) => void
  /** Over which time drains of listeners that are changed or removed are spread (Envoy's --drain-time-s). Default 600,000. */
  readonly drainTimeMs?: number
}

export interface DrainOptions {
  /** How long what runs may go on. Default 5,000. */
  readonly graceMs?: number
}

/** An imagined request, and from whom. */
export interface ExplainQuestion {
  readonly host: string
  /** Default GET. */
  readonly method?: string
  /** With its query. Default /. */
  readonly path?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  /** The listener that is asked about, by its name or its port; absent: every one. */
  readonly listener?: string
  readonly port?: number
  /** The client: a SPIFFE id, the name of a service of the mesh; absent: one without a certificate. */
  readonly source?: string
  readonly sourceAddress?: string
  /** The server name of its TLS. */
  readonly sni?: string
}

const DRAIN_TIME_MS = 600_000
const GRACE_MS = 5000

export class Sidecar {
  private readonly running: RunningSidecar
  private readonly live: Promise<void>
  private ending: Promise<void> | null = null

  private constructor(running: RunningSidecar, live: Promise<void>) {
    this.running = running
    this.live = live
  }

  /**
   * Resolves once the static resources are in use and their listeners are bound; what comes over xDS follows: see ready(). Rejects with
   * ConfigRefusedError, and nothing is left open.
   */
  static async start(options: SidecarOptions): Promise<Sidecar> {
    // Who runs a control plane alone does not load the proxy.
    const [{ Sidecar: Running, readBootstrap }, { filterReaders }] = await Promise.all([
      import('../sidecar/sidecar.js'),
      import('../sidecar/custom-filters.js'),
    ])
    const log: Log = options.log ?? (() => {})
    const filters = filtersByType([...registeredHttpFilters(), ...(options.httpFilters ?? [])])
    const read = readBootstrap([bootstrapText(options)], { customFilters: filterReaders(filters) })
    if (!read.ok) throw new ConfigRefusedError('bootstrap', read.errors)
    const say: RunningOptions['log'] = (level, message, fields = {}, component = 'main') => log({ level, message, fields, component })
    for (const { path, reason } of read.warnings) say('warn', path === '' ? reason : `${path}: ${reason}`, {}, 'config')
    let onLive = (): void => {}
    const live = new Promise<void>(resolve => {
      onLive = resolve
    })
    let sidecar: Sidecar | null = null
    const started = await Running.start(read.value, {
      log: say,
      customFilters: filters,
      drainTimeMs: options.drainTimeMs ?? DRAIN_TIME_MS,
      drainStrategy: 'gradual',
      random: Math.random,
      env: name => process.env[name],
      userAgent: { name: USER_AGENT_NAME, version: ENVOY_VERSION },
      version: envoyVersionString(),
      commandLine: {},
      logging: NO_LOGGERS,
      unknownDynamicFields: 'count',
      onQuit: () => void sidecar?.close(),
      onFailure: errors => {
        const error = new ConfigRefusedError('listeners', errors)
        say('error', error.message)
        options.onError?.(error)
      },
      onLive,
    })
    if (!started.ok) throw new ConfigRefusedError('sidecar', started.errors)
    sidecar = new Sidecar(started.value, live)
    return sidecar
  }

  /** Resolves when everything is there that the first configuration waits for: /ready says LIVE from then on. */
  ready(): Promise<void> {
    return this.live
  }

  /** Where each listener is bound now (port 0 is resolved), by its name. */
  listeners(): ReadonlyMap<string, readonly string[]> {
    return this.running.listenerAddresses
  }

  /** `host:port` of the admin endpoint; null without one. */
  get adminAddress(): string | null {
    return this.running.adminAddress
  }

  /** Every counter and gauge by Envoy's name, as they are now. */
  stats(): ReadonlyMap<string, number> {
    return this.running.stats()
  }

  /** Where a request would go and why: filter chain, filters, route and those before it, cluster, endpoints, timeouts. Nothing is sent or counted. */
  async explain({ headers = [], sourceAddress, ...question }: ExplainQuestion): Promise<Explanation> {
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries({ ...question, source_address: sourceAddress }))
      if (value !== undefined) parameters.set(name, String(value))
    for (const [name, value] of headers) parameters.append('header', `${name}:${value}`)
    return this.running.explain(parameters)
  }

  /** Takes no new connections, lets what runs finish within `graceMs`, cuts the rest, and closes. */
  drain({ graceMs = GRACE_MS }: DrainOptions = {}): Promise<void> {
    this.ending ??= this.running.stop(graceMs)
    return this.ending
  }

  /** Cuts everything, now. Resolves when access logs are written and every address is free. */
  close(): Promise<void> {
    if (this.ending === null) this.ending = this.running.close()
    else this.running.cut()
    return this.ending
  }
}

/** POST /logging: levels are the embedding program's matter. */
const NO_LOGGERS: RunningOptions['logging'] = {
  levelNames: [],
  levels: () => new Map(),
  setLevels: () => 'the embedding program decides what is logged',
}

function bootstrapText({ bootstrap, xds }: SidecarOptions): string {
  if ((bootstrap === undefined) === (xds === undefined)) throw new TypeError('Sidecar.start takes either bootstrap or xds')
  if (typeof bootstrap === 'string') return bootstrap
  return JSON.stringify(bootstrap ?? xdsBootstrap(xds!))
}
