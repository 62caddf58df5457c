// Some two hundred questions to the admin API, path by method by query by Accept, asked of ours and of the real Envoy: the same status, the
// same content type, the same form of JSON, the same text of a refusal. Where there is no Envoy (ENVOY_BIN), status and type are compared
// with those that Envoy 1.40 once gave (envoy-admin-answers.txt). What differs on purpose stands in DIFFERENT with its reason.
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, socketAddress, stopAll } from '../support/proxy-process.js'

const envoy = process.env['ENVOY_BIN']
const RECORDED = new URL('../support/envoy-admin-answers.txt', import.meta.url)

interface Probe {
  readonly method: string
  readonly path: string
  readonly accept: string
  readonly form: string
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

const TIME = 'filter=^cluster.app.upstream_rq_time'
const PROTOBUF = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'
const words = (text: string): string[] => text.trim().split(/\s+/)
const probe = (path: string, method = 'GET', accept = '', form = ''): Probe => ({ method, path, accept, form })

const BUCKETS = ['', 'none', 'summary', 'cumulative', 'disjoint', 'detailed', 'prometheusnative', 'bad']
const FORMATS = ['text', 'json', 'html', 'active-html', 'prometheus', '', 'xml']

const PROBES: readonly Probe[] = [
  ...words(`/ /help /nosuch /ready /live /startup /server_info /stats /clusters /listeners /config_dump /certs /memory /memory/tcmalloc /runtime
    /init_dump /hot_restart_version /contention /cpuprofiler /heapprofiler /allocprofiler /heap_dump /peak_heap_dump /logging
    /healthcheck/fail /drain_listeners /quitquitquit /reset_counters /reopen_logs /runtime_modify /stats/prometheus /stats/recentlookups
    /stats/recentlookups/enable /stats/recentlookups/clear /stats/recentlookups/disable // /stats/ /Stats /stats#x /%73tats /clusters/ /?x
    /stats?%66ormat=json /ready?x /certs?x`).map(path => probe(path)),
  ...FORMATS.flatMap(format => BUCKETS.map(buckets => probe(`/stats?format=${format}&histogram_buckets=${buckets}&${TIME}`))),
  ...BUCKETS.map(buckets => probe(`/stats/prometheus?histogram_buckets=${buckets}&${TIME}`)),
  ...['', '=', '=include', '=only', '=exclude', '=showonly'].flatMap(value =>
    ['text', 'json', 'prometheus'].map(format => probe(`/stats?hidden${value}&format=${format}&filter=server.live`)),
  ),
  ...['All', 'Counters', 'Gauges', 'Histograms', 'TextReadouts', 'bad', ''].flatMap(type =>
    ['text', 'json', 'prometheus'].map(format => probe(`/stats?type=${type}&format=${format}`)),
  ),
  ...words(`filter=( filter=http&invert_filter filter= filter=^$ usedonly usedonly=no filter=a+b filter=http%2Eingress%2E
    format=json&format=text`).map(query => probe(`/stats?${query}`)),
  ...words('usedonly filter=( text_readouts format=json native_histograms prefix=x').map(query => probe(`/stats/prometheus?${query}`)),
  ...words('format=json format=xml format= filter=^ap filter=( filter=none format=json&filter=none').map(query =>
    probe(`/clusters?${query}`),
  ),
  ...words('format=json format=text format=xml format=').map(query => probe(`/listeners?${query}`)),
  ...words(`include_eds include_eds=off resource=static_clusters resource=dynamic_listeners resource=bootstrap resource=nosuch resource=
    resource=static_endpoint_configs resource=static_endpoint_configs&include_eds resource=static_listeners resource=static_route_configs
    resource=static_secrets resource=dynamic_active_secrets resource=version_info resource=last_updated resource=dynamic_route_configs
    resource=inline_scoped_route_configs resource=dynamic_endpoint_configs resource=ecds_filters mask=bootstrap mask=bootstrap.node.id
    mask=nosuch mask= mask=, mask=static_clusters mask=last_updated mask=bootstrap.node.id,bootstrap.admin mask=bootstrap.nosuch
    mask=bootstrap,static_clusters mask=static_clusters.cluster.name mask=version_info resource=static_clusters&mask=cluster.name
    resource=static_clusters&mask=cluster.name,last_updated resource=static_clusters&mask=cluster resource=static_clusters&mask=nosuch
    resource=static_clusters&mask=cluster.nosuch resource=static_clusters&mask=cluster.load_assignment.endpoints
    resource=static_clusters&mask=last_updated resource=static_clusters&mask=cluster.load_assignment.cluster_name name_regex=app
    name_regex=.*p name_regex=( name_regex= name_regex=nosuch resource=static_clusters&name_regex=app
    resource=static_clusters&name_regex=nosuch include_eds&name_regex=app`).map(query => probe(`/config_dump?${query}`)),
  ...words('mask=listener mask= mask=nosuch').map(query => probe(`/init_dump?${query}`)),
  ...[
    PROTOBUF,
    'application/vnd.google.protobuf',
    'text/plain',
    'application/openmetrics-text',
    '*/*',
    `${PROTOBUF};q=0.1,text/plain;q=0.9`,
    `text/plain;q=0.1,${PROTOBUF};q=0.9`,
    `application/json,${PROTOBUF}`,
    'application/vnd.google.protobufx',
    'APPLICATION/vnd.google.protobuf',
  ].flatMap(accept => ['/stats/prometheus', '/stats?format=prometheus', '/stats'].map(path => probe(path, 'GET', accept))),
  ...BUCKETS.map(buckets => probe(`/stats/prometheus?histogram_buckets=${buckets}&${TIME}`, 'GET', PROTOBUF)),
  ...['0', 'x', '01', '8', '-3', '5000000000'].map(most =>
    probe(`/stats/prometheus?histogram_buckets=prometheusnative&native_histogram_max_buckets=${most}&${TIME}`, 'GET', PROTOBUF),
  ),
  ...['HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'].flatMap(method =>
    words('/ /ready /stats /clusters /help /nosuch /certs /config_dump?resource=static_secrets').map(path => probe(path, method)),
  ),
  ...['HEAD', 'PUT', 'DELETE'].flatMap(method =>
    words('/logging /healthcheck/fail /reset_counters /runtime_modify /stats/recentlookups/enable /reopen_logs').map(path =>
      probe(path, method),
    ),
  ),
  ...words(`/logging /logging?level=info /logging?level=bad /logging?level= /logging?http=debug /logging?nosuch=debug /logging?http=nosuch
    /logging?http= /logging?paths=http:debug,upstream:info /logging?paths=http /logging?paths= /logging?paths=, /logging?paths=nosuch:debug
    /logging?paths=http:bad /logging?paths=http:debug:x /logging?group=http:debug /logging?group= /logging?a=b&c=d
    /logging?http=info&http=debug /logging?level=error /runtime_modify /runtime_modify?foo=2 /runtime_modify?foo= /runtime_modify?foo
    /runtime_modify?nested.a=false /runtime_modify?nested.a=&foo= /stats/recentlookups/enable /stats/recentlookups/disable
    /stats/recentlookups/clear /reset_counters /reopen_logs /healthcheck/ok?x /healthcheck/ok`).map(path => probe(path, 'POST')),
  probe('/runtime_modify', 'POST', '', 'foo=7&bar=8'),
  probe('/runtime'),
  probe('/runtime_modify', 'POST', '', 'foo=&bar='),
  probe('/runtime'),
  probe('/healthcheck/fail', 'POST'),
  probe('/ready'),
  probe('/server_info'),
  probe('/healthcheck/ok', 'POST'),
  probe('/ready'),
]

/** Where our answer is another on purpose: of the whole answer, or of its body alone. */
const DIFFERENT: readonly (readonly [probe: RegExp, what: 'answer' | 'body', reason: string])[] = [
  [
    / \/(memory\/tcmalloc|contention|cpuprofiler|heapprofiler|allocprofiler|heap_dump|peak_heap_dump)\b/,
    'answer',
    'tools of its allocator',
  ],
  [/ \/(live|startup)$/, 'answer', 'ours alone'],
  [/(invalid path|\/help|\/nosuch|\/\/|\/stats\/|\/Stats|\/clusters\/)$/, 'body', 'the list of commands has ours and its own words'],
  [/ \/stats\/recentlookups$/, 'body', 'names are resolved when configuration is compiled'],
  [/filter=\(|name_regex=\(/, 'body', "another library's words for a bad regex"],
  [/&mask=/, 'body', 'Envoy prints the mask as protobuf debug text'],
]

function ask(port: number, { method, path, accept, form }: Probe): Promise<Answer> {
  const headers = {
    ...(accept === '' ? {} : { accept }),
    ...(form === '' ? {} : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length }),
  }
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method, headers, agent: false }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => (body += chunk))
      const answered = (): void => resolve({ status: response.statusCode!, type: response.headers['content-type'] ?? '', body })
      response.on('end', answered)
      // Envoy sends the body to a HEAD too; the head is all that is looked at.
      if (method === 'HEAD') answered()
    })
      .on('error', reject)
      .end(form)
  })
}

async function start(bin: string | undefined, origin: HttpOrigin): Promise<ProxyProcess> {
  const port = await freePort()
  const endpoint = { hostname: 'h.example', address: socketAddress(origin.port) }
  const proxy = await ProxyProcess.start({
    bootstrap: {
      node: { id: 'n', cluster: 'c', metadata: { a: 'b', nest: { x: [1, true, null] } }, locality: { region: 'r', zone: 'z' } },
      layered_runtime: {
        layers: [
          { name: 'fixed', static_layer: { foo: 1, nested: { a: true, b: 'text' } } },
          { name: 'admin', admin_layer: {} },
        ],
      },
      static_resources: {
        listeners: [listener('front', port, [hcm({ route_config: routesTo('app') })])],
        clusters: [
          {
            name: 'app',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'app',
              endpoints: [{ locality: { region: 'r', zone: 'z', sub_zone: 's' }, lb_endpoints: [{ endpoint }] }],
            },
            outlier_detection: {},
          },
          {
            name: 'other',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'other',
              endpoints: [
                { lb_endpoints: [{ health_status: 'UNHEALTHY', endpoint: { address: socketAddress(1) } }] },
                {
                  priority: 1,
                  lb_endpoints: [
                    {
                      metadata: { filter_metadata: { 'envoy.lb': { canary: true } } },
                      load_balancing_weight: 3,
                      endpoint: { address: { pipe: { path: '/tmp/none.sock' } } },
                    },
                  ],
                },
              ],
            },
          },
          { name: 'empty', type: 'STATIC' },
        ],
        secrets: [{ name: 'gen', generic_secret: { secret: { inline_string: 'x' } } }],
      },
    },
    ...(bin === undefined ? {} : { bin, flags: ['--use-dynamic-base-id'] }),
  })
  for (let i = 0; i < 3; i++) await fetchOnce(port, '/')
  return proxy
}

const nameOf = ({ method, path, accept, form }: Probe): string => [method, path, accept, form].filter(part => part !== '').join(' ')

/** The keys of JSON with the kinds of their values; anything else by its first word. */
function formOf({ type, body }: Answer): unknown {
  if (type !== 'application/json' || body === '') return body
  const form = (value: unknown): unknown => {
    if (Array.isArray(value)) {
      const forms = new Set(value.map(each => JSON.stringify(form(each))))
      return [...forms].sort()
    }
    if (typeof value !== 'object' || value === null) return value === null ? 'number' : typeof value
    const entries = Object.entries(value).filter(([key]) => !OWN_KEYS.includes(key))
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, each]) => [key, form(each)]))
  }
  return form(JSON.parse(body))
}

/** Of the node: what is said of the program. Of histograms: what depends on when the last interval ended. */
const OWN_KEYS = ['extensions', 'user_agent_build_version', 'interval', 'intervals', 'totals']

async function answersOf(proxy: ProxyProcess): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>()
  for (const each of PROBES) {
    // The same question again, after something was changed, is a probe of its own.
    const name = answers.has(nameOf(each)) ? `${nameOf(each)} again` : nameOf(each)
    answers.set(name, await ask(proxy.adminPort, each))
  }
  return answers
}

const different = (name: string, what: 'answer' | 'body'): boolean =>
  DIFFERENT.some(([pattern, of]) => pattern.test(name) && (of === 'answer' || of === what))
const lineOf = (name: string, { status, type }: Answer): string => `${name} => ${status} ${type}`

describe('the admin API', () => {
  const origin = new HttpOrigin()
  let proxy: ProxyProcess
  let ours: Map<string, Answer>
  beforeAll(async () => {
    await origin.listen()
    proxy = await start(undefined, origin)
    ours = await answersOf(proxy)
  })
  afterAll(async () => {
    await stopAll()
    await origin.close()
  })

  it('answers every probe with the status and type that Envoy 1.40 gave', () => {
    const recorded = readFileSync(RECORDED, 'utf8').trim().split('\n')
    const lines = [...ours].map(([name, answer]) => lineOf(name, answer))
    expect(lines.filter(line => !different(line.split(' => ')[0]!, 'answer'))).toEqual(
      recorded.filter(line => !different(line.split(' => ')[0]!, 'answer')),
    )
  })

  it.skipIf(envoy === undefined)(
    'answers as the real Envoy: status, type, form of JSON, text of refusals',
    async () => {
      const theirs = await answersOf(await start(envoy, origin))
      const wrong: string[] = []
      for (const [name, answer] of theirs) {
        const own = ours.get(name)!
        if (different(name, 'answer')) continue
        if (lineOf(name, own) !== lineOf(name, answer)) wrong.push(`${lineOf(name, answer)}, ours ${own.status} ${own.type}`)
        else if (different(name, 'body') || (answer.status === 200 && answer.type !== 'application/json')) continue
        else if (JSON.stringify(formOf(answer)) !== JSON.stringify(formOf(own)))
          wrong.push(`${name}:\n${JSON.stringify(formOf(answer))}\n${JSON.stringify(formOf(own))}`)
      }
      expect(wrong).toEqual([])
    },
    60_000,
  )

  it('speaks HTTP/2 to a client that begins with its preface, and guards it alike', async () => {
    const session = connect(`http://127.0.0.1:${proxy.adminPort}`)
    const get = (headers: Record<string, string>): Promise<{ status: number; body: string }> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':path': '/ready', ...headers })
        let status = 0
        let body = ''
        stream.on('response', head => {
          status = head[':status'] ?? 0
        })
        stream.on('data', chunk => (body += chunk))
        stream.on('end', () => resolve({ status, body }))
        stream.on('error', reject)
      })
    expect(await get({})).toEqual({ status: 200, body: 'LIVE\n' })
    expect((await get({ ':path': '/stats?filter=^http.admin.downstream_cx_http2_active' })).body).toBe(
      'http.admin.downstream_cx_http2_active: 1\n',
    )
    expect((await get({ ':authority': 'rebound.attacker.example' })).status).toBe(403)
    expect((await get({ ':path': '/quitquitquit' })).status).toBe(405)
    session.close()
  })

  it('has a page for people: each command a link or a button, what comes from outside escaped', async () => {
    const home = await ask(proxy.adminPort, probe('/'))
    expect(home.body).toContain('<a href="certs">certs</a>')
    expect(home.body).toContain('<form action="quitquitquit" method="post"')
    expect(home.body).toMatch(/<input type="text" name="filter" id="clusters-filter" form="clusters" value="">/)
    const stats = await ask(proxy.adminPort, probe('/stats?format=html&filter=<script>|server.live&type=Gauges'))
    expect(stats.body).toContain('<pre>\nserver.live: 1\n</pre>')
    expect(stats.body).toContain('value="&lt;script&gt;|server.live"')
    expect(stats.body).toContain('<option value="Gauges" selected>')
    expect(stats.body).not.toContain('<script>|')
    expect((await ask(proxy.adminPort, probe('/stats?format=active-html'))).body).toContain('id="stats-table"')
  })
})
