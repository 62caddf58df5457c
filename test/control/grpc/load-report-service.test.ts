// Who may report load, and what of a report is taken: through the gRPC port, as a stock client speaks to it.
import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { LoadStatsRequestSchema, LoadStatsResponseSchema } from '../../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { OWN_METRICS, OWN_METRICS_KEY, STREAM_LOAD_STATS } from '../../../src/xds/load-reports/load-report.js'

const MANAGEMENT = 'b3f4f0a2-2f1d-4a63-9f2b-6d9a8d0c1e22'
const READER = 'aaaaaaaa-2f1d-4a63-9f2b-6d9a8d0c1e22'
let plane: ControlPlane
let client: Client
let trustDomain: string

const put = async (path: string, body: unknown): Promise<void> => {
  const response = await fetch(`http://${plane.httpAddress}${path}`, {
    method: 'PUT',
    body: JSON.stringify(body),
    headers: { 'x-consul-token': MANAGEMENT },
  })
  expect(response.status, await response.text()).toBe(200)
}
// biome-ignore lint/suspicious/noExplicitAny: JSON of the API under test
const get = async (path: string, token = MANAGEMENT): Promise<any> => {
  const response = await fetch(`http://${plane.httpAddress}${path}`, { headers: { 'x-consul-token': token } })
  return response.status === 200 ? await response.json() : response.status
}

beforeAll(async () => {
  plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    nodeName: 'n1',
    loadReportIntervalMs: 1000,
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
  })
  await plane.start()
  client = new Client(plane.grpcAddress, credentials.createInsecure())
  await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } })
  for (const Name of ['web', 'api']) await put('/v1/agent/service/register', { Name, Port: 80, Connect: { SidecarService: {} } })
  trustDomain = (await get('/v1/connect/ca/roots')).TrustDomain
  await put('/v1/acl/policy', { Name: 'reader', Rules: 'service "web" { policy = "read" } node_prefix "" { policy = "read" }' })
  await put('/v1/acl/token', { SecretID: READER, Policies: [{ Name: 'reader' }] })
})
afterAll(async () => {
  client.close()
  await plane.stop()
})

type Request = MessageInitShape<typeof LoadStatsRequestSchema>
type Answer = MessageShape<typeof LoadStatsResponseSchema>

class Stream {
  private readonly call: ClientDuplexStream<Request, Answer>
  readonly metadata: Promise<Metadata>
  readonly answer: Promise<Answer>
  readonly end: Promise<StatusObject>

  constructor(token: string | undefined) {
    const metadata = new Metadata()
    if (token !== undefined) metadata.set('x-consul-token', token)
    this.call = client.makeBidiStreamRequest(
      STREAM_LOAD_STATS,
      (request: Request) => Buffer.from(toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, request))),
      (bytes: Buffer) => fromBinary(LoadStatsResponseSchema, bytes),
      metadata,
    )
    this.call.on('error', () => {})
    this.metadata = new Promise(resolve => this.call.once('metadata', resolve))
    this.answer = new Promise(resolve => this.call.once('data', resolve))
    this.end = new Promise(resolve => this.call.once('status', resolve))
  }

  send(request: Request): this {
    this.call.write(request)
    return this
  }

  close(): void {
    this.call.cancel()
  }
}

const node = (id: string) => ({ id, cluster: 'x' })
const cluster = (clusterName: string, locality: object): object => ({ clusterName, upstreamLocalityStats: [locality] })

it('asks a registered proxy for all clusters and for what our own proxies have', async () => {
  const stream = new Stream(MANAGEMENT).send({ node: node('web-sidecar-proxy') })
  expect(await stream.answer).toMatchObject({ sendAllClusters: true, loadReportingInterval: { seconds: 1n, nanos: 0 } })
  expect((await stream.metadata).get(OWN_METRICS_KEY)).toEqual(['1'])
  stream.close()
})

it('takes what a report says of the mesh, and shows it to who may read both ends', async () => {
  const stream = new Stream(MANAGEMENT).send({ node: node('web-sidecar-proxy') })
  await stream.answer
  const metrics = [
    { metricName: `${OWN_METRICS.latencyPrefix}5`, numRequestsFinishedWithMetric: 9n },
    { metricName: `${OWN_METRICS.latencyPrefix}999`, numRequestsFinishedWithMetric: 9n },
    { metricName: 'orca', numRequestsFinishedWithMetric: 9n },
  ]
  stream.send({
    clusterStats: [
      cluster(`v2.api.default.dc1.internal.${trustDomain}`, {
        totalSuccessfulRequests: 8n,
        totalErrorRequests: 2n,
        totalRequestsInProgress: 3n,
        totalIssuedRequests: 11n,
        loadMetricStats: metrics,
      }),
      cluster('local_app', { totalSuccessfulRequests: 7n }),
      cluster('somewhere', { totalSuccessfulRequests: 1n }),
      { clusterName: `quiet.default.dc1.internal.${trustDomain}` },
      // Nobody was there for these: by circuit breakers, and for want of a healthy host.
      { clusterName: `full.default.dc1.internal.${trustDomain}`, totalDroppedRequests: 4n },
      cluster(`down.default.dc1.internal.${trustDomain}`, {
        loadMetricStats: [{ metricName: OWN_METRICS.unreached, numRequestsFinishedWithMetric: 5n }],
      }),
    ] as never,
  })
  const seen = async (token?: string) => {
    for (;;) {
      const traffic = await get('/v1/outrigger/traffic?window=5m', token)
      if (token !== undefined || traffic.Edges.length > 0) return traffic
    }
  }
  expect(await seen()).toMatchObject({
    Edges: [
      { Source: 'web', Destination: 'api', Subset: 'v2', Totals: { Requests: 10, Failures: 2, SuccessRate: 0.8, Active: 3 } },
      { Destination: 'full', Totals: { Requests: 4, Failures: 4, SuccessRate: 0, P50: null } },
      { Destination: 'down', Totals: { Requests: 5, Failures: 5, SuccessRate: 0, P50: null } },
    ],
    Inbound: [{ Proxy: 'web-sidecar-proxy', Node: 'n1', Service: 'web', Totals: { Requests: 7 } }],
  })
  expect((await seen()).Edges[0].Totals.P50).toBe(8.5)
  expect(await seen(READER)).toMatchObject({ Edges: [], Inbound: [{ Service: 'web' }] })
  expect(await get('/v1/outrigger/traffic/series?source=web', READER)).toBe(403)
  expect(await get('/v1/outrigger/traffic/series?source=web&destination=nobody', READER)).toBe(403)
  expect(await get('/v1/outrigger/traffic/series?source=web')).toMatchObject([{ Totals: { Requests: 19 } }])
  // What it says it runs ends with its stream.
  stream.close()
  await expect.poll(async () => (await seen()).Edges[0].Totals.Active).toBe(0)
})

it.each([
  ['no token', undefined, 'web-sidecar-proxy', 7],
  ['a token without the right', READER, 'web-sidecar-proxy', 7],
  ['an unknown token', 'cccccccc-2f1d-4a63-9f2b-6d9a8d0c1e22', 'web-sidecar-proxy', 16],
  ['a proxy that is not registered', MANAGEMENT, 'nobody', 7],
  ['a service that is no proxy', MANAGEMENT, 'web', 7],
])('refuses %s', async (_, token, id, code) => {
  expect(await new Stream(token).send({ node: node(id) }).end).toMatchObject({ code })
})

it('refuses a report without a node, or far more often than was asked for', async () => {
  expect(await new Stream(MANAGEMENT).send({}).end).toMatchObject({ code: 3 })
  const eager = new Stream(MANAGEMENT)
  for (let i = 0; i < 30; i++) eager.send({ node: node('web-sidecar-proxy') })
  expect(await eager.end).toMatchObject({ code: 8 })
})
