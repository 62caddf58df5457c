// Load reports through the real proxy: what a server is told, compared with the real Envoy (ENVOY_BIN); with worker processes; and a mesh of
// our control plane whose sidecars report, shown by its HTTP API.
import { connect } from 'node:net'
import { toJson } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClusterStatsSchema } from '../../src/xds/gen/envoy/config/endpoint/v3/load_report_pb.js'
import { OWN_METRICS_KEY } from '../../src/xds/load-reports/load-report.js'
import { http2Upstream } from '../support/grpc-services.js'
import { fetchOnce } from '../support/http1-client.js'
import { LoadStatsServer } from '../support/load-stats-server.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import {
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  socketAddress,
  staticCluster,
  stopAll,
  tcpProxy,
  until,
} from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const INTERVAL = { seconds: 0n, nanos: 200_000_000 }
const origin = new HttpOrigin(
  ({ path }, socket) => void socket.write(http('ok', path.endsWith('fails') ? '500 Internal Server Error' : '200 OK')),
)
const echo = new EchoOrigin()
beforeAll(() => Promise.all([origin.listen(), echo.listen()]))
afterAll(async () => {
  await stopAll()
  await Promise.all([origin.close(), echo.close()])
})

const FIRST = { region: 'eu', zone: 'a', sub_zone: '1' }
const SECOND = { region: 'eu', zone: 'b' }

async function start(server: LoadStatsServer, bin?: string, flags: readonly string[] = []) {
  const [port, tcpPort, closed] = [await freePort(), await freePort(), await freePort()]
  const endpoint = (to: number): object => ({ endpoint: { address: socketAddress(to) } })
  const localities = [
    { locality: FIRST, lb_endpoints: [endpoint(origin.port)] },
    { locality: SECOND, priority: 1, lb_endpoints: [endpoint(origin.port)] },
  ]
  const routes = ['app', 'shed', 'full', 'down'].map(cluster => ({ match: { prefix: `/${cluster}` }, route: { cluster } }))
  const bootstrap = {
    node: { id: 'node-1', cluster: 'web', metadata: { a: 'b' } },
    cluster_manager: {
      load_stats_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: { initial_metadata: [{ key: 'x-consul-token', value: 'secret' }], envoy_grpc: { cluster_name: 'lrs' } },
      },
    },
    static_resources: {
      listeners: [
        listener('front', port, [hcm({ route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] } }, [router])]),
        listener('tcp', tcpPort, [tcpProxy('stream')]),
      ],
      clusters: [
        { ...staticCluster('app', 1), load_assignment: { cluster_name: 'app', endpoints: localities } },
        {
          ...staticCluster('shed', 1),
          load_assignment: {
            cluster_name: 'shed',
            endpoints: [{ lb_endpoints: [endpoint(origin.port)] }],
            policy: { drop_overloads: [{ category: 'throttle', drop_percentage: { numerator: 100 } }] },
          },
        },
        staticCluster('full', origin.port, { circuit_breakers: { thresholds: [{ max_requests: 0, max_pending_requests: 0 }] } }),
        staticCluster('down', closed),
        staticCluster('stream', echo.port),
        staticCluster('lrs', server.port, http2Upstream),
      ],
    },
  }
  const proxy = await ProxyProcess.start({
    bootstrap,
    flags: ['--base-id', String((process.pid % 50_000) + 3), ...flags],
    ...(bin ? { bin } : {}),
  })
  // What was counted before it was asked for is not reported.
  await until('the first interval is over', () => server.requests.length > 1)
  return { proxy, port, tcpPort }
}

/** A connection that has spoken, and stays. */
async function tcpClient(port: number): Promise<ReturnType<typeof connect>> {
  const socket = connect(port, '127.0.0.1')
  socket.write('x')
  await new Promise(resolve => socket.once('data', resolve))
  return socket
}

async function told(bin?: string, flags: readonly string[] = []) {
  const server = await new LoadStatsServer({
    sendAllClusters: true,
    loadReportingInterval: INTERVAL,
    reportEndpointGranularity: true,
  }).listen()
  const { proxy, port, tcpPort } = await start(server, bin, flags)
  const quiet = server.reportsOf('app')[0]!
  for (const path of ['/app', '/app', '/app/fails', '/shed', '/shed', '/full', '/down']) await fetchOnce(port, path)
  const socket = await tcpClient(tcpPort)
  await until('everything is reported', () => server.sums('app').issued === 3 && server.sums('stream').issued === 1)
  const seen = server.requests.length
  await until('one more report', () => server.requests.length > seen + 1)
  const running = server.reportsOf('stream').at(-1)!
  socket.destroy()
  const stats = (await proxy.get('/stats?filter=load_reporter')).body
  await proxy.kill()
  server.close()
  const one = server.reportsOf('app').find(({ upstreamLocalityStats }) => upstreamLocalityStats.length > 0)!
  const node = server.requests[0]!.node!
  const json = (message: typeof quiet): object => {
    const { loadReportInterval: _, ...rest } = toJson(ClusterStatsSchema, message) as Record<string, unknown>
    return rest
  }
  return {
    token: server.tokens[0],
    node: [node.id, node.cluster, node.metadata, node.clientFeatures.includes('envoy.lrs.supports_send_all_clusters')],
    nodeEachTime: server.requests.every(request => request.node?.id === 'node-1'),
    firstHasNoClusters: server.requests[0]!.clusterStats.length,
    clusters: [...new Set(server.requests.at(-1)!.clusterStats.map(({ clusterName }) => clusterName))].sort(),
    quiet: json(quiet),
    // Between which reports the requests fell is the clock's business; where they are told of is not.
    places: one.upstreamLocalityStats.map(({ locality, priority, upstreamEndpointStats }) => [
      locality?.zone,
      priority,
      upstreamEndpointStats.map(({ address }) => address?.address.case),
    ]),
    sums: Object.fromEntries(['app', 'shed', 'full', 'down', 'stream'].map(cluster => [cluster, server.sums(cluster)])),
    running: json(running),
    intervals: server
      .reportsOf('app')
      .every(({ loadReportInterval: interval }) => interval!.nanos >= 100_000_000 || interval!.seconds > 0n),
    stats: stats.replace(/\d+/g, n => (n === '0' ? '0' : 'some')),
  }
}

const EXPECTED = {
  token: 'secret',
  node: ['node-1', 'web', { a: 'b' }, true],
  nodeEachTime: true,
  firstHasNoClusters: 0,
  clusters: ['app', 'down', 'full', 'lrs', 'shed', 'stream'],
  quiet: { clusterName: 'app' },
  places: [['a', 0, ['socketAddress']]],
  sums: {
    app: { successes: 2, errors: 1, issued: 3, dropped: 0, categories: {} },
    shed: { successes: 0, errors: 0, issued: 0, dropped: 2, categories: { throttle: 2 } },
    full: { successes: 0, errors: 0, issued: 0, dropped: 1, categories: {} },
    down: { successes: 0, errors: 1, issued: 0, dropped: 0, categories: {} },
    stream: { successes: 0, errors: 0, issued: 1, dropped: 0, categories: {} },
  },
  intervals: true,
  stats: 'load_reporter.errors: 0\nload_reporter.requests: some\nload_reporter.responses: some\nload_reporter.retries: 0\n',
}

describe('a server is told', () => {
  it('of every cluster: successes, errors, drops, places', async () => {
    expect(await told()).toMatchObject(EXPECTED)
  })

  it.skipIf(envoyBin === undefined)('the same as by the real Envoy', async () => {
    const envoy = await told(envoyBin)
    expect(envoy).toMatchObject(EXPECTED)
    expect(await told()).toEqual(envoy)
  })

  it('the sums of all worker processes', async () => {
    const { sums } = await told(undefined, ['--concurrency', '2'])
    expect(sums).toEqual(EXPECTED.sums)
  })
})

it('of the clusters that are named alone; ours adds latencies and failed connections for our own control plane', async () => {
  const answer = { clusters: ['app', 'down', 'nobody'], loadReportingInterval: INTERVAL }
  const server = await new LoadStatsServer(answer, { [OWN_METRICS_KEY]: '1' }).listen()
  const { proxy, port } = await start(server)
  for (const path of ['/app', '/app', '/app', '/down', '/shed']) await fetchOnce(port, path)
  const metrics = (cluster: string) =>
    server
      .reportsOf(cluster)
      .flatMap(({ upstreamLocalityStats }) => upstreamLocalityStats.flatMap(({ loadMetricStats }) => loadMetricStats))
  const count = (cluster: string, prefix: string): number =>
    metrics(cluster)
      .filter(({ metricName }) => metricName.startsWith(prefix))
      .reduce((sum, { numRequestsFinishedWithMetric }) => sum + Number(numRequestsFinishedWithMetric), 0)
  await until('all is reported', () => count('app', 'outrigger.latency.') === 3 && count('down', 'outrigger.connect_failures') === 1)
  // Nothing is said of a cluster that had nothing to do.
  const names = server.requests.flatMap(({ clusterStats }) => clusterStats.map(({ clusterName }) => clusterName))
  expect([...new Set(names)].sort()).toEqual(['app', 'down'])
  await until('a report without anything', () => server.requests.at(-1)!.clusterStats.length === 0)
  await proxy.kill()
  server.close()
})

describe('a mesh', () => {
  const mesh = new MeshFixture(['--load-report-interval', '200ms'])
  let web: Registered
  let api: ProxyProcess

  interface Totals {
    readonly Requests: number
    readonly Failures: number
    readonly SuccessRate: number | null
    readonly P50: number | null
    readonly Active: number
  }
  interface Traffic {
    readonly NewestReport: string | null
    readonly Edges: readonly { readonly Source: string; readonly Destination: string; readonly Totals: Totals }[]
    readonly Inbound: readonly { readonly Proxy: string; readonly Service: string; readonly Totals: Totals }[]
  }
  const traffic = (query = ''): Promise<Traffic> => mesh.read<Traffic>(`/v1/outrigger/traffic?window=5m${query}`)
  const edge = async (source: string, destination: string): Promise<Totals | undefined> =>
    (await traffic()).Edges.find(({ Source, Destination }) => Source === source && Destination === destination)?.Totals

  beforeAll(async () => {
    await mesh.start()
    await mesh.register('api', { name: 'api', port: origin.port })
    await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
    web = await mesh.register('web', { name: 'web', upstreams: ['api', 'db', 'gone'] })
    await mesh.write('/v1/config', { Kind: 'service-defaults', Name: 'gone', Protocol: 'http' })
    await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
    await mesh.intention('db', [{ Name: 'web', Action: 'allow' }])
    api = (await Promise.all([mesh.sidecar('api'), mesh.sidecar('db', envoyBin), mesh.sidecar('web')]))[0]
    // The clusters of a new sidecar are reported from its second interval on.
    await until('the sidecars report', async () => {
      await fetchOnce(web.upstreams.get('api')!, '/warm')
      return (await edge('web', 'api')) !== undefined
    })
  }, 120_000)
  afterAll(() => mesh.stop())

  it('shows requests, failures and latencies of its edges, and what comes into its instances', async () => {
    const before = (await edge('web', 'api'))!
    for (let i = 0; i < 8; i++) await fetchOnce(web.upstreams.get('api')!, i < 6 ? '/' : '/fails')
    const after = await until('the edge has them', async () => {
      const totals = (await edge('web', 'api'))!
      return totals.Requests >= before.Requests + 8 && totals.Failures >= before.Failures + 2 ? totals : null
    })
    expect(after.Failures).toBe(before.Failures + 2)
    expect(after.P50).toBeGreaterThan(0)
    const { Inbound } = await until('the callee has them', async () => {
      const read = await traffic('&service=api')
      return read.Inbound[0]!.Totals.Requests >= after.Requests ? read : null
    })
    expect(Inbound).toMatchObject([{ Proxy: 'api-sidecar-proxy', Service: 'api' }])
    const series = await mesh.read<readonly { At: string; Totals: Totals }[]>(
      '/v1/outrigger/traffic/series?source=web&destination=api&window=5m',
    )
    expect(series.reduce((sum, { Totals }) => sum + Totals.Requests, 0)).toBeGreaterThanOrEqual(after.Requests)
  })

  it('counts requests for which nobody is there as failures', async () => {
    for (let i = 0; i < 3; i++) expect((await fetchOnce(web.upstreams.get('gone')!, '/')).status).toBe(503)
    await until('the edge has them', async () => {
      const totals = await edge('web', 'gone')
      return totals?.Requests === 3 && totals.Failures === 3 && totals.SuccessRate === 0 && totals.P50 === null
    })
  })

  it('counts connections where there are no requests', async () => {
    const socket = await tcpClient(web.upstreams.get('db')!)
    await until('the edge has it', async () => {
      const totals = await edge('web', 'db')
      return totals?.Requests === 1 && totals.SuccessRate === 1 && totals.Active === 1 && totals.P50 === null
    })
    socket.destroy()
    await until('it is gone', async () => (await edge('web', 'db'))!.Active === 0)
  })

  it('an intention in shadow is counted and logged by the callee, and refuses nobody', async () => {
    const Sources = [
      { Name: 'web', Action: 'deny' },
      { Name: '*', Action: 'allow' },
    ]
    const shadowed = await mesh.write('/v1/config', {
      Kind: 'service-intentions',
      Name: 'api',
      Sources,
      Meta: { 'outrigger-shadow': 'web' },
    })
    await mesh.acknowledged('api', shadowed)
    expect((await fetchOnce(web.upstreams.get('api')!, '/v1?secret=1')).status).toBe(200)
    expect((await api.get('/stats?filter=rbac.shadow_denied')).body).toMatch(/shadow_denied: 1\n/)
    await until('the log says it', () => api.log.includes('in shadow: GET /v1 from spiffe://'))
    expect(api.log).not.toContain('secret')
    const enforced = await mesh.write('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources })
    await mesh.acknowledged('api', enforced)
    expect((await fetchOnce(web.upstreams.get('api')!, '/v1')).status).toBe(403)
    await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  })

  it('refuses a window that is none', async () => {
    for (const window of ['2h', 'x', '-1s'])
      expect((await fetch(`${mesh.url}/v1/outrigger/traffic?window=${window}`)).status, window).toBe(400)
  })
})
