// The paths of the admin API, each with its help, parameters and handler: Envoy's, with its verbs and answers, and those of ours (/live,
// /xds, /config_unsupported, /config_status, /recent_requests, /explain). Made once by AdminServer. Only what is marked as a POST changes anything.

import { compileRegex } from '../../l7/match/regex.js'
import { PrometheusExposition } from '../../metrics/prometheus.js'
import { PROTOBUF_CONTENT_TYPE } from '../../metrics/prometheus-protobuf.js'
import { statsJson, statsText } from '../../metrics/stats-page.js'
import { KINDS_BY_TYPE, parseStatsQuery } from '../../metrics/stats-query.js'
import { EXPLAIN_PARAMETERS } from '../explain/explain-query.js'
import type { MemoryUse } from '../process-role.js'
import type { Server } from '../server.js'
import { answer, answerJson, answerPage, answerPieces, TEXT } from './admin-answer.js'
import type { AdminOptions } from './admin-options.js'
import { homePage } from './admin-page.js'
import { type AdminHandler, type AdminParameter, type AdminRequest, type AdminRoute, helpText } from './admin-route.js'
import { clustersJson, clustersText } from './clusters-page.js'
import { answerExplanation } from './explain-page.js'
import { initDump } from './init-dump-page.js'
import { listenersJson, listenersText } from './listeners-page.js'
import { activeLoggers, changeLogLevels, loggingUsage } from './logging-page.js'
import { answerRecentRequests } from './recent-requests-page.js'
import { modifyRuntime, showRuntime } from './runtime-page.js'
import { hotRestartVersion, serverInfo } from './server-info.js'
import { activeStatsPage, statsPage } from './stats-html-page.js'
import { carryOut, type WorkerCommand } from './worker-command.js'

const FORMAT: AdminParameter = { name: 'format', help: 'Format of the answer', kind: ['text', 'json'] }
const FILTERS: readonly AdminParameter[] = [
  { name: 'usedonly', help: 'Only stats that were written since the start', kind: 'flag' },
  { name: 'filter', help: 'Regular expression (RE2) that names must match somewhere', kind: 'text' },
  { name: 'invert_filter', help: 'Only names that the filter does not match', kind: 'flag' },
]
const STATS: readonly AdminParameter[] = [
  ...FILTERS,
  { name: 'format', help: 'Format of the answer', kind: ['html', 'active-html', 'text', 'json'] },
  { name: 'type', help: 'Kind of stats', kind: [...KINDS_BY_TYPE.keys()] },
  { name: 'histogram_buckets', help: 'How histograms are shown', kind: ['cumulative', 'disjoint', 'detailed', 'summary'] },
]
const PROMETHEUS: readonly AdminParameter[] = [
  ...FILTERS,
  { name: 'text_readouts', help: 'Text readouts too, as gauges with the text in a label', kind: 'flag' },
  { name: 'histogram_buckets', help: 'How histograms are shown', kind: ['cumulative', 'summary', 'prometheusnative'] },
]

/** By path, in the order of /help. */
export function adminRoutes(options: AdminOptions): ReadonlyMap<string, AdminRoute> {
  const routes: AdminRoute[] = []
  const get = (path: string, help: string, parameters: readonly AdminParameter[], handle: AdminHandler): void => {
    routes.push({ path, help, post: false, parameters, handle })
  }
  const post = (path: string, help: string, parameters: readonly AdminParameter[], handle: AdminHandler): void => {
    routes.push({ path, help, post: true, parameters, handle })
  }
  const { server, store } = options
  const showStats = gathered(options, false, statsHandler(options))

  get('/', 'Admin home page', [], ({ response }) => answerPage(response, homePage(sorted, server.reportedState, options.version)))
  get('/help', 'print out list of admin commands', [], ({ response }) => {
    answer(response, 200, `admin commands are:\n${helpText(sorted)}`)
  })
  get('/ready', 'print server state, return 200 if LIVE, otherwise return 503', [], request => ready(server, request))
  get('/live', 'return 200 while the process runs', [], ({ response }) => answer(response, 200, 'LIVE\n'))
  get('/startup', 'return 200 once all that the start waits for has come, 503 before', [], ({ response }) => {
    const isUp = server.state === 'LIVE' || server.state === 'DRAINING'
    answer(response, isUp ? 200 : 503, `${isUp ? 'STARTED' : server.reportedState}\n`)
  })
  get('/server_info', 'print server version/status information', [], ({ response }) => answerJson(response, serverInfo(options)))
  get('/stats', 'print server stats', STATS, showStats)
  get('/stats/prometheus', 'print server stats in prometheus format', PROMETHEUS, showStats)
  get(
    '/clusters',
    'upstream cluster status',
    [{ name: 'filter', help: 'Regular expression (RE2) that names must match somewhere', kind: 'text' }, FORMAT],
    gathered(options, true, request => clusters(server, request)),
  )
  get('/listeners', 'print listener info', [FORMAT], ({ query, response }) => {
    if (query.get('format') === 'json') answerJson(response, listenersJson(server))
    else answer(response, 200, listenersText(server))
  })
  get(
    '/config_dump',
    'dump current Envoy configs',
    [
      { name: 'resource', help: 'One list of the dump, for example dynamic_listeners', kind: 'text' },
      { name: 'mask', help: 'Fields to show, comma-separated, as a FieldMask; of each element where a resource is named', kind: 'text' },
      { name: 'name_regex', help: 'Only resources whose name matches the regular expression', kind: 'text' },
      { name: 'include_eds', help: 'The endpoints of the clusters too', kind: 'flag' },
    ],
    ({ query, response }) => {
      options.configDump.dump(query).then(
        ({ status, body }) => answer(response, status, body, status === 200 ? 'application/json' : 'text/plain'),
        (error: Error) => answer(response, 500, `${error.message}\n`),
      )
    },
  )
  get('/certs', 'print certs on machine', [], ({ response }) => answerJson(response, { certificates: server.tlsContexts.certificates() }))
  get(
    '/memory',
    'print current allocation/heap usage',
    [],
    gathered(options, false, ({ response }) => answerJson(response, memory(server.memoryUse()))),
  )
  get('/runtime', 'print runtime values', [], request => showRuntime(server.runtime, request))
  get('/hot_restart_version', 'print the hot restart compatibility version', [], ({ response }) =>
    answer(response, 200, `${hotRestartVersion(server)}\n`),
  )
  get(
    '/init_dump',
    'dump current Envoy init manager information',
    [{ name: 'mask', help: 'What to show: listener shows the listeners that wait', kind: 'text' }],
    ({ query, response }) => answerJson(response, initDump(server, query.get('mask') ?? '')),
  )
  get('/xds', 'state of the connection to the control plane', [], ({ response }) => answerJson(response, options.adsStatus() ?? {}))
  get(
    '/config_status',
    'what became of each resource: accepted, warming or rejected, since when and why; and what was accepted without effect',
    [
      { name: 'type', help: 'Resources of this type alone, for example Cluster', kind: 'text' },
      { name: 'name', help: 'The resource of this name alone', kind: 'text' },
      { name: 'state', help: 'Resources in this state alone', kind: ['accepted', 'warming', 'rejected', 'requested'] },
    ],
    ({ query, response }) => answerJson(response, options.configStatus(query)),
  )
  get(
    '/recent_requests',
    'what became of the requests of late, newest first; failed ones are kept longest',
    [
      { name: 'id', help: 'Requests with this x-request-id alone', kind: 'text' },
      { name: 'limit', help: 'How many at most (100)', kind: 'text' },
    ],
    request => answerRecentRequests(options, request),
  )
  get('/config_unsupported', 'config that was accepted without effect', [], ({ response }) => answerJson(response, unsupported(server)))
  get('/stats/recentlookups', 'stat names that were looked up: none, they are resolved when config is compiled', [], ({ response }) =>
    answer(response, 200, 'Stat names are resolved when configuration is compiled, so nothing is looked up.\n\ntotal: 0\n'),
  )
  for (const command of ['clear', 'disable', 'enable'])
    post(
      `/stats/recentlookups/${command}`,
      `${command} recording of stat name lookups (there are none here)`,
      [],
      ok(() => {}),
    )
  post(
    '/logging',
    'query/change logging levels',
    [
      { name: 'paths', help: 'Levels of several components: name1:level1,name2:level2', kind: 'text' },
      { name: 'level', help: 'Level of all components', kind: ['', ...options.logging.levelNames] },
    ],
    request => logging(options, request),
  )
  post(
    '/healthcheck/fail',
    'cause the server to fail health checks',
    [],
    ok(() => order(options, { command: 'health', failed: true })),
  )
  post(
    '/healthcheck/ok',
    'cause the server to pass health checks',
    [],
    ok(() => order(options, { command: 'health', failed: false })),
  )
  post(
    '/drain_listeners',
    'drain listeners',
    [
      { name: 'graceful', help: 'Tell clients first, and stop the listeners after --drain-time-s', kind: 'flag' },
      { name: 'skip_exit', help: 'Drain connections, but never stop the listeners', kind: 'flag' },
      { name: 'inboundonly', help: 'Only listeners with the traffic direction INBOUND', kind: 'flag' },
    ],
    ok(({ query }) =>
      order(options, {
        command: 'drain',
        inboundOnly: query.has('inboundonly'),
        graceful: query.has('graceful'),
        skipExit: query.has('skip_exit'),
      }),
    ),
  )
  post(
    '/explain',
    'where a request would go, and why: nothing is sent',
    EXPLAIN_PARAMETERS.map(parameter => ({ ...parameter, kind: 'text' })),
    request => answerExplanation(server, request),
  )
  post(
    '/quitquitquit',
    'exit the server',
    [],
    ok(() => options.stop()),
  )
  post(
    '/reset_counters',
    'reset all counters to zero',
    [],
    gathered(
      options,
      false,
      ok(() => store.resetCounters()),
    ),
  )
  post(
    '/reopen_logs',
    'reopen access logs',
    [],
    ok(() => order(options, { command: 'reopen-logs' })),
  )
  post('/runtime_modify', 'adds or modifies runtime values as passed in query parameters; an empty value removes one', [], request =>
    modifyRuntime(server.runtime, request, values => order(options, { command: 'runtime', values })),
  )
  const sorted = routes.sort((a, b) => (a.path < b.path ? -1 : 1))
  return new Map(sorted.map(route => [route.path, route]))
}

/** Answers OK, then does it: a command may end the process. */
function ok(command: AdminHandler): AdminHandler {
  return request => {
    answer(request.response, 200, 'OK\n')
    command(request)
  }
}

/** Done here and by every worker. */
function order({ server, logging: loggers, workers }: AdminOptions, command: WorkerCommand): void {
  carryOut(command, server, loggers)
  workers?.tell(command)
}

/** `handle` answers with what every worker has counted. */
function gathered({ workers }: AdminOptions, hosts: boolean, handle: AdminHandler): AdminHandler {
  if (workers === undefined) return handle
  return request => {
    workers
      .collect(hosts)
      .then(() => handle(request))
      .catch((error: Error) => {
        if (!request.response.headersSent) answer(request.response, 500, `${error.message}\n`)
      })
  }
}

function statsHandler({ server, store }: AdminOptions): AdminHandler {
  const prometheus = new PrometheusExposition(store)
  return ({ path, query: values, accept, response }) => {
    const parsed = parseStatsQuery(path, values, accept)
    if (!parsed.ok) {
      answer(response, parsed.status, parsed.body)
      return
    }
    server.refreshGauges()
    server.statsFlush.onAdmin()
    const { query } = parsed
    switch (query.format) {
      case 'text':
        answerPieces(response, TEXT, statsText(store, query))
        return
      case 'json':
        answerPieces(response, 'application/json', statsJson(store, query))
        return
      case 'html':
        answerPage(response, statsPage(store, query, STATS, values))
        return
      case 'active-html':
        answerPage(response, activeStatsPage(STATS, values))
        return
      case 'prometheus':
        answerPieces(response, TEXT, prometheus.pieces(query))
        return
      case 'prometheus-protobuf':
        answerPieces(response, PROTOBUF_CONTENT_TYPE, prometheus.protobuf(query))
        return
      default:
        query.format satisfies never
    }
  }
}

function ready(server: Server, { response }: AdminRequest): void {
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
  answer(response, reason === '' ? 200 : 503, `${server.reportedState}\n`)
}

function clusters(server: Server, { query, response }: AdminRequest): void {
  const filter = compileRegex(query.get('filter') ?? '')
  if (filter === null) {
    answer(response, 400, 'Invalid re2 regex')
    return
  }
  const shown = [...server.clusters.clusters()].filter(({ name }) => filter.matcher(name).find())
  if (query.get('format') === 'json') answerJson(response, clustersJson(shown))
  else answer(response, 200, clustersText(shown))
}

function logging({ logging: loggers, workers }: AdminOptions, { query, response }: AdminRequest): void {
  const refused = changeLogLevels(query, loggers)
  if (query.size > 0) workers?.tell({ command: 'log-levels', levels: [...loggers.levels()] })
  if (refused === null) answer(response, 200, activeLoggers(loggers))
  else answer(response, 400, `error: ${refused}\n\n${loggingUsage(loggers)}${activeLoggers(loggers)}`)
}

function memory({ heapUsed, heapTotal, external, rss }: MemoryUse): object {
  return {
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal),
    pageheap_unmapped: '0',
    pageheap_free: '0',
    total_thread_cache: '0',
    total_physical_bytes: String(rss),
  }
}

/** Per resource: the fields that were set and do nothing here. */
function unsupported(server: Server): object {
  const bootstrap = server.options.bootstrap.unsupported
  const listeners = server.listeners.active.map(({ version }) => ({ name: version.name, fields: version.model.unsupported }))
  const all = [...server.clusters.clusters()].map(({ name, config }) => ({ name, fields: config.unsupported }))
  return {
    bootstrap,
    listeners: listeners.filter(entry => entry.fields.length > 0),
    clusters: all.filter(entry => entry.fields.length > 0),
  }
}
