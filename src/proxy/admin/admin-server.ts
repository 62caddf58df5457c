// Envoy's admin API over HTTP: paths, verbs and answers as operators' tools expect them. Reads the Server and the StatsStore; only
// POSTs change anything. node:http is good enough here: it is not on any request's path.

import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { compileAccessLog } from '../../l7/log/access-log.js'
import { type OpenAccessLog, writeAccessLogs } from '../../l7/log/access-log-sink.js'
import { compileRegex } from '../../l7/match/regex.js'
import { PrometheusExposition } from '../../metrics/prometheus.js'
import { adminListenerStats, type HcmStats, hcmStats, type ListenerHttpHandles, type ListenerStats } from '../../metrics/stat-names.js'
import { statsJson, statsText } from '../../metrics/stats-page.js'
import { parseStatsQuery } from '../../metrics/stats-query.js'
import type { Address } from '../../model/address.js'
import type { Server } from '../server.js'
import { adminRefusal } from './admin-guard.js'
import type { AdminOptions } from './admin-options.js'
import { adminStream } from './admin-stream.js'
import { clustersJson, clustersText } from './clusters-page.js'
import { listenersJson, listenersText } from './listeners-page.js'
import { activeLoggers, changeLogLevels, LOGGING_USAGE } from './logging-page.js'
import { serverInfo } from './server-info.js'

type Handler = (request: AdminRequest) => void

interface AdminRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

/** Admin connections at once: scrapes are few, and each costs memory. */
const MAX_ADMIN_CONNECTIONS = 100
const RUNTIME_USAGE = `usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN
       or send the parameters as form values
use an empty value to remove a previously added override`

export class AdminServer {
  private readonly options: AdminOptions
  private readonly http: HttpServer
  private readonly prometheus: PrometheusExposition
  /** `http.admin.` */
  private readonly counted: HcmStats
  /** `listener.admin.` */
  private readonly listener: ListenerStats
  private readonly listenerHttp: ListenerHttpHandles
  private readonly routes = new Map<string, { readonly post: boolean; readonly help: string; readonly handle: Handler }>()
  private readonly accessLogs: readonly OpenAccessLog[]
  address: Address = { kind: 'socket', host: '', port: 0 }

  constructor(options: AdminOptions) {
    this.options = options
    this.prometheus = new PrometheusExposition(options.store)
    this.counted = hcmStats(options.store, 'admin')
    const { server } = options
    this.accessLogs = (server.options.bootstrap.admin?.accessLogs ?? []).map(model => ({
      log: compileAccessLog(model, { runtime: server.runtime, random: server.options.random }),
      sink: server.sinks.open(model.sink),
    }))
    this.listener = adminListenerStats(options.store)
    this.listenerHttp = this.listener.http('admin')
    this.http = createServer((request, response) => {
      this.countRequest(request, response)
      this.handle(request, response)
    })
    this.http.on('connection', socket => {
      const { main } = this.counted
      const { main: own, worker } = this.listener
      const total = [main.downstream_cx_total, main.downstream_cx_http1_total, own.downstream_cx_total, worker.downstream_cx_total]
      const active = [main.downstream_cx_active, main.downstream_cx_http1_active, own.downstream_cx_active, worker.downstream_cx_active]
      for (const counter of total) counter.value++
      for (const gauge of active) gauge.value++
      const since = performance.now()
      socket.once('close', () => {
        const byPeer = socket.readableEnded && !socket.writableFinished
        for (const counter of [main.downstream_cx_destroy, own.downstream_cx_destroy]) counter.value++
        if (byPeer) main.downstream_cx_destroy_remote.value++
        else main.downstream_cx_destroy_local.value++
        own.downstream_cx_length_ms.record(performance.now() - since)
        for (const gauge of active) gauge.value--
      })
    })
    this.http.maxConnections = MAX_ADMIN_CONNECTIONS
    this.addRoutes()
  }

  async listen(address: Address): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.http.once('error', reject)
      const done = (): void => {
        this.http.off('error', reject)
        resolve()
      }
      if (address.kind === 'pipe') this.http.listen(address.path, done)
      else this.http.listen(address.port, address.host, done)
    })
    const bound = this.http.address()
    this.address = bound !== null && typeof bound === 'object' ? { kind: 'socket', host: bound.address, port: bound.port } : address
  }

  async close(): Promise<void> {
    this.http.closeAllConnections()
    await new Promise<void>(resolve => this.http.close(() => resolve()))
  }

  private countRequest(request: IncomingMessage, response: ServerResponse): void {
    const startedMs = Date.now()
    const startedAt = performance.now()
    const { main } = this.counted
    main.downstream_rq_total.value++
    main.downstream_rq_http1_total.value++
    main.downstream_rq_active.value++
    response.once('close', () => {
      main.downstream_rq_active.value--
      this.counted.completed(response.statusCode, this.listenerHttp)
      if (this.accessLogs.length > 0) writeAccessLogs(this.accessLogs, adminStream(request, response, startedMs, startedAt))
    })
  }

  private handle(request: IncomingMessage, response: ServerResponse): void {
    const target = request.url ?? '/'
    const mark = target.indexOf('?')
    const path = mark === -1 ? target : target.slice(0, mark)
    const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1))
    request.resume()
    const refusal = adminRefusal(this.options.rules, target, request.headers.host, request.headers.origin)
    if (refusal !== null) {
      send(response, 403, refusal)
      return
    }
    const route = this.routes.get(path)
    if (route === undefined) {
      send(response, 404, `invalid path. admin commands are:\n${this.helpText()}`)
      return
    }
    if (route.post && request.method !== 'POST') {
      send(response, 405, `Method ${request.method} not allowed, POST required.`)
      return
    }
    try {
      route.handle({ method: request.method ?? 'GET', path, query, response })
    } catch (error) {
      if (!response.headersSent) send(response, 500, `${(error as Error).message}\n`)
      else response.destroy()
    }
  }

  private get(path: string, help: string, handle: Handler): void {
    this.routes.set(path, { post: false, help, handle })
  }

  private post(path: string, help: string, handle: Handler): void {
    this.routes.set(path, { post: true, help, handle })
  }

  private addRoutes(): void {
    const { server, store } = this.options
    this.get('/', 'Admin home page', ({ response }) => send(response, 200, `admin commands are:\n${this.helpText()}`))
    this.get('/help', 'print out list of admin commands', ({ response }) => send(response, 200, `admin commands are:\n${this.helpText()}`))
    this.get('/ready', 'print server state, return 200 if LIVE, otherwise return 503', ({ response }) => this.ready(response))
    this.get('/live', 'return 200 while the process runs', ({ response }) => send(response, 200, 'LIVE\n'))
    this.get('/server_info', 'print server version/status information', ({ response }) => json(response, serverInfo(this.options)))
    this.get('/stats', 'print server stats', request => this.stats(request))
    this.get('/stats/prometheus', 'print server stats in prometheus format', request => {
      request.query.set('format', 'prometheus')
      this.stats(request)
    })
    this.get('/clusters', 'upstream cluster status', ({ query, response }) => {
      const filter = compileRegex(query.get('filter') ?? '')
      if (filter === null) {
        send(response, 400, 'Invalid re2 regex\n')
        return
      }
      const clusters = [...server.clusters.clusters()].filter(({ name }) => filter.matcher(name).find())
      if (query.get('format') === 'json') json(response, clustersJson(clusters))
      else send(response, 200, clustersText(clusters))
    })
    this.get('/listeners', 'print listener info', ({ query, response }) => {
      if (query.get('format') === 'json') json(response, listenersJson(server))
      else send(response, 200, listenersText(server))
    })
    this.get('/config_dump', 'dump current Envoy configs', ({ query, response }) => {
      this.options.configDump.dump(query).then(
        ({ status, body }) => send(response, status, body, status === 200 ? 'application/json' : 'text/plain; charset=UTF-8'),
        (error: Error) => send(response, 500, `${error.message}\n`),
      )
    })
    this.get('/certs', 'print certs on machine', ({ response }) => json(response, { certificates: server.tlsContexts.certificates() }))
    this.get('/memory', 'print current allocation/heap usage', ({ response }) => json(response, memory()))
    this.get('/runtime', 'print runtime values', ({ response }) => json(response, runtimeValues(server)))
    this.get('/hot_restart_version', 'print the hot restart compatibility version', ({ response }) => send(response, 200, 'disabled\n'))
    this.get('/init_dump', 'dump current Envoy init manager information', ({ response }) =>
      json(response, {
        unready_targets_dumps:
          server.notReadyReason === '' ? [] : [{ name: 'init manager Server', target_names: server.notReadyReason.split('; ') }],
      }),
    )
    this.get('/xds', 'state of the connection to the control plane', ({ response }) => json(response, this.options.adsStatus() ?? {}))
    this.get('/config_unsupported', 'config that was accepted without effect', ({ response }) => json(response, unsupported(server)))
    this.post('/logging', 'query/change logging levels', ({ query, response }) => this.logging(query, response))
    this.post('/healthcheck/fail', 'cause the server to fail health checks', ({ response }) => {
      server.healthFailed = true
      send(response, 200, 'OK\n')
    })
    this.post('/healthcheck/ok', 'cause the server to pass health checks', ({ response }) => {
      server.healthFailed = false
      send(response, 200, 'OK\n')
    })
    this.post('/drain_listeners', 'drain listeners', ({ query, response }) => {
      server.drainListeners({
        inboundOnly: query.has('inboundonly'),
        graceful: query.has('graceful'),
        skipExit: query.has('skip_exit'),
      })
      send(response, 200, 'OK\n')
    })
    this.post('/quitquitquit', 'exit the server', ({ response }) => {
      send(response, 200, 'OK\n')
      this.options.stop()
    })
    this.post('/reset_counters', 'reset all counters to zero', ({ response }) => {
      store.resetCounters()
      send(response, 200, 'OK\n')
    })
    this.post('/reopen_logs', 'reopen access logs', ({ response }) => {
      server.sinks.reopen()
      send(response, 200, 'OK\n')
    })
    this.post(
      '/runtime_modify',
      'adds or modifies runtime values as passed in query parameters; an empty value removes one',
      ({ query, response }) => this.modifyRuntime(query, response),
    )
    for (const path of ['enable', 'disable', 'clear'])
      this.post(`/stats/recentlookups/${path}`, `${path} recording of stat name lookups (there are none here)`, ({ response }) =>
        send(response, 200, 'OK\n'),
      )
    this.get('/stats/recentlookups', 'stat names that were looked up: none, they are resolved when config is compiled', ({ response }) =>
      send(response, 200, 'Stat names are resolved when configuration is compiled, so nothing is looked up.\n\ntotal: 0\n'),
    )
  }

  private helpText(): string {
    return [...this.routes]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, { help, post }]) => `  ${path}${post ? ' (POST)' : ''}: ${help}\n`)
      .join('')
  }

  private ready(response: ServerResponse): void {
    const { server } = this.options
    const reason = server.notReadyReason
    const warnings = [...server.listeners.bindProblems, ...server.expiryWarnings()]
    const detail = [...(reason === '' ? [] : [reason]), ...warnings]
    if (detail.length > 0)
      response.setHeader(
        'x-outrigger-detail',
        detail
          .join('; ')
          .replace(/[^\x20-\x7e]/g, '?')
          .slice(0, 1000),
      )
    send(response, reason === '' ? 200 : 503, `${server.reportedState}\n`)
  }

  private stats({ path, query, response }: AdminRequest): void {
    const { server, store } = this.options
    const parsed = parseStatsQuery(path, query)
    if (!parsed.ok) {
      send(response, parsed.status, parsed.body)
      return
    }
    server.refreshGauges()
    if (parsed.query.format === 'prometheus') pieces(response, 'text/plain; charset=UTF-8', this.prometheus.pieces(parsed.query))
    else if (parsed.query.format === 'json') pieces(response, 'application/json', statsJson(store, parsed.query))
    else pieces(response, 'text/plain; charset=UTF-8', statsText(store, parsed.query))
  }

  private logging(query: URLSearchParams, response: ServerResponse): void {
    const { logging } = this.options
    const refused = changeLogLevels(query, logging)
    if (refused === null) send(response, 200, activeLoggers(logging))
    else send(response, 400, `error: ${refused}\n\n${LOGGING_USAGE}`)
  }

  /** The last admin layer of the runtime takes the values; an empty one removes what was set here. */
  private modifyRuntime(query: URLSearchParams, response: ServerResponse): void {
    const { runtime } = this.options.server
    if (!runtime.hasAdminLayer) send(response, 503, 'No admin layer specified\n')
    else if (query.size === 0) send(response, 400, RUNTIME_USAGE)
    else {
      runtime.modify([...query])
      send(response, 200, 'OK\n')
    }
  }
}

function send(response: ServerResponse, status: number, body: string, contentType = 'text/plain; charset=UTF-8'): void {
  response.writeHead(status, {
    'content-type': contentType,
    'cache-control': 'no-cache, max-age=0',
    'x-content-type-options': 'nosniff',
    'content-length': Buffer.byteLength(body),
    server: 'envoy',
  })
  response.end(body)
}

function json(response: ServerResponse, value: unknown): void {
  send(response, 200, `${JSON.stringify(value, null, 1)}\n`, 'application/json')
}

/** Long answers leave in pieces as the client takes them: a scrape of many series never blocks requests for long. */
function pieces(response: ServerResponse, contentType: string, source: Iterable<string>): void {
  response.writeHead(200, {
    'content-type': contentType,
    'cache-control': 'no-cache, max-age=0',
    'x-content-type-options': 'nosniff',
    server: 'envoy',
  })
  const iterator = source[Symbol.iterator]()
  const step = (): void => {
    for (;;) {
      const next = iterator.next()
      if (next.done === true) {
        response.end()
        return
      }
      if (!response.write(next.value)) {
        response.once('drain', step)
        return
      }
    }
  }
  step()
}

function memory(): object {
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage()
  return {
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal),
    pageheap_unmapped: '0',
    pageheap_free: '0',
    total_thread_cache: '0',
    total_physical_bytes: String(rss),
  }
}

function runtimeValues(server: Server): object {
  const { layers } = server.runtime
  const entries = [...server.runtime.entries()].map(([key, value]) => [
    key,
    { final_value: String(value), layer_values: layers.map(({ values }) => String(values.get(key) ?? '')) },
  ])
  return { layers: layers.map(({ name }) => name), entries: Object.fromEntries(entries) }
}

/** Per resource: the fields that were set and do nothing here. */
function unsupported(server: Server): object {
  const bootstrap = server.options.bootstrap.unsupported
  const listeners = server.listeners.active.map(({ version }) => ({ name: version.name, fields: version.model.unsupported }))
  const clusters = [...server.clusters.clusters()].map(({ name, config }) => ({ name, fields: config.unsupported }))
  return {
    bootstrap,
    listeners: listeners.filter(entry => entry.fields.length > 0),
    clusters: clusters.filter(entry => entry.fields.length > 0),
  }
}
