// The live views of the command line against a control plane in this process: edges, stat, top, wait, tap, analyze, diff, and the dry run of an
// intention. What sidecars would report, a stock gRPC client reports here; their admin is a small HTTP server.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { screen } from '../../../../src/cli/commands/live/traffic.js'
import { LoadStatsRequestSchema } from '../../../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { OWN_METRICS, STREAM_LOAD_STATS } from '../../../../src/xds/load-reports/load-report.js'
import { CliFixture } from '../../../support/cli-fixture.js'

const cli = new CliFixture({ loadReportIntervalMs: 1000, defaultIntentionPolicy: 'allow' })
let client: Client
let admin: Server
let adminAddress: string
/** Answers of /recent_requests. */
let recent: readonly object[] = []

type Stream = ClientDuplexStream<object, Buffer>

function report(id: string, cluster: string, successes: number, errors = 0): Promise<void> {
  const write = (request: object): Buffer => Buffer.from(toBinary(LoadStatsRequestSchema, create(LoadStatsRequestSchema, request)))
  const stream: Stream = client.makeBidiStreamRequest(STREAM_LOAD_STATS, write, (bytes: Buffer) => bytes)
  stream.on('error', () => {})
  stream.resume()
  stream.write({ node: { id } })
  const load = {
    totalSuccessfulRequests: BigInt(successes),
    totalErrorRequests: BigInt(errors),
    loadMetricStats: [{ metricName: `${OWN_METRICS.latencyPrefix}4`, numRequestsFinishedWithMetric: BigInt(successes) }],
  }
  stream.write({ clusterStats: [{ clusterName: cluster, upstreamLocalityStats: [load] }] })
  stream.end()
  return once(stream, 'end').then(() => {})
}

beforeAll(async () => {
  await cli.start()
  client = new Client(cli.plane.grpcAddress, credentials.createInsecure())
  admin = createServer((_request, response) => response.end(JSON.stringify({ requests: recent }))).listen(0, '127.0.0.1')
  await once(admin, 'listening')
  adminAddress = `127.0.0.1:${(admin.address() as AddressInfo).port}`
  await cli.out('apply', '-f', cli.file('defaults.yaml', 'Kind: proxy-defaults\nName: global\nConfig: { protocol: http }\n'))
  const services = ['api', 'db'].map(Name => ({ Name, Port: 1, Connect: { SidecarService: {} } }))
  const Upstreams = [{ DestinationName: 'api', LocalBindPort: 9191 }]
  const web = { Name: 'web', Port: 1, Connect: { SidecarService: { Proxy: { Upstreams } } } }
  await cli.out('register', '-f', cli.file('services.json', JSON.stringify([...services, web])))
})
afterAll(async () => {
  client.close()
  admin.close()
  await cli.stop()
})

describe('before any report', () => {
  it.each(['edges', 'stat'])('%s says that there is none yet', async command => {
    const { code, out, err } = await cli.call(command)
    expect({ code, out }).toEqual({ code: 0, out: '' })
    expect(err).toContain('No sidecar has reported traffic yet')
  })
})

describe('traffic', () => {
  beforeAll(async () => {
    const roots = (await (await fetch(`http://${cli.plane.httpAddress}/v1/connect/ca/roots`)).json()) as { TrustDomain: string }
    await report('web-sidecar-proxy', `v2.api.default.dc1.internal.${roots.TrustDomain}`, 75, 25)
    await report('api-sidecar-proxy', 'local_app', 75, 25)
  })

  it('edges shows who calls whom, how well, and by which identity', async () => {
    const [head, row] = (await cli.out('edges', '--window', '5m')).split('\n')
    expect(head).toMatch(/^SOURCE +DESTINATION +SUCCESS +RPS +P50 +P90 +P99 +ACTIVE +IDENTITY$/)
    expect(row).toMatch(/^web +api \(v2\) +75\.00% +[\d.]+ +6\.0ms +6\.8ms +7\.0ms +0 +spiffe:\/\/.*\/svc\/web$/)
    expect(await cli.out('edges', 'db')).toBe('')
    expect(JSON.parse(await cli.out('edges', '--json', '--window', '5m'))).toMatchObject([{ Source: 'web', Totals: { Requests: 100 } }])
  })

  it('stat shows services, and their instances', async () => {
    expect(await cli.out('stat', '--window', '5m')).toMatch(/^SERVICE +INSTANCES .*\napi +1 +75\.00%/)
    expect(await cli.out('stat', 'api', '--instances', '--window', '5m')).toMatch(
      /^SERVICE +PROXY +NODE .*\napi +api-sidecar-proxy +node-1 /,
    )
  })

  it('top prints both once where there is no terminal, and never a control character', async () => {
    const out = await cli.out('top', '--window', '5m')
    expect(out).toMatch(/SERVICE[\s\S]*api[\s\S]*SOURCE[\s\S]*web/)
    expect(out).not.toContain('\x1b')
    expect((await cli.call('top', '--interval', '0')).err).toContain('must be a number of seconds')
  })

  it('the screen of top fits its terminal, the busiest first', () => {
    const totals = { Requests: 1, Failures: 0, SuccessRate: 1, P50: null, P90: null, P99: null, Active: 0 }
    const edges = Array.from({ length: 50 }, (_, i) => ({
      Source: 'web',
      Destination: `s${i}`,
      Subset: '',
      Identity: '',
      Totals: { ...totals, RequestsPerSecond: i },
    }))
    const services = edges.map(({ Destination: Service, Totals }) => ({ Service, Instances: 1, Totals }))
    const lines = screen({ NewestReport: 'x', Edges: edges, Services: services, Inbound: [] }, 40, 21).trimEnd().split('\n')
    expect(lines.length).toBeLessThanOrEqual(21)
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(40)
    expect(lines[1]).toMatch(/^s49 /)
  })

  it('the dry run of an intention says what it would change of what was seen', async () => {
    const out = await cli.out('intention', 'create', '-deny', '-dry-run', 'web', 'api')
    expect(out).toMatch(/web => api: would change\n[^\n]*NOW +THEN[^\n]*\nweb +api +allowed +refused +100 /)
    expect(await cli.out('intention', 'create', '-allow', '-dry-run', 'web', 'api')).toContain('no call that is declared or was seen')
    expect(await cli.out('intention', 'deny', 'web', 'api', '--dry-run')).toContain('web => api: would change')
    const json = JSON.parse(await cli.out('intention', 'deny', 'web', 'api', '--dry-run', '--json')) as object
    expect(json).toMatchObject({
      Source: 'web',
      Destination: 'api',
      Edges: [{ Source: 'web', Destination: 'api', Before: { Allowed: true }, After: { Allowed: false }, Requests: 100 }],
    })
    expect((await cli.call('intention', 'list')).err).toBe('There are no intentions.\n')
  })

  it('intentions speak JSON, and what is taken away can be tried too', async () => {
    expect(JSON.parse(await cli.out('intention', 'deny', 'web', 'api', '--json'))).toMatchObject({ SourceName: 'web', Action: 'deny' })
    expect(JSON.parse((await cli.call('intention', 'check', 'web', 'api', '--json')).out)).toEqual({
      Source: 'web',
      Destination: 'api',
      Allowed: false,
    })
    expect(JSON.parse(await cli.out('intention', 'match', 'api', '--json'))).toMatchObject([{ SourceName: 'web', Action: 'deny' }])
    const tried = JSON.parse(await cli.out('intention', 'delete', 'web', 'api', '--dry-run', '--json')) as object
    expect(tried).toMatchObject({ Edges: [{ Before: { Allowed: false }, After: { Allowed: true } }] })
    expect(JSON.parse(await cli.out('intention', 'delete', 'web', 'api', '--json'))).toMatchObject({ SourceName: 'web', Action: 'deny' })
  })
})

describe('wait', () => {
  it('exits with 2 and says which proxies are missing', async () => {
    const { code, err } = await cli.call('wait', '--for=synced', '--timeout', '10ms', 'api-sidecar-proxy', 'nobody')
    expect({ code, err }).toEqual({ code: 2, err: 'api-sidecar-proxy is not connected\nnobody is not registered\n' })
  })

  it.each([
    [['--for=ready'], '--for "ready": must be synced or connected'],
    [['--for=connected', '--index', '3'], '--index goes with --for=synced'],
    [['--for=synced', '--timeout', 'x'], '--timeout "x": must be a duration'],
  ])('refuses %s', async (args, reason) => {
    const { code, err } = await cli.call('wait', ...args)
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining(reason) })
  })
})

describe('tap', () => {
  const request = (more: object): object => ({
    request_id: Math.random().toString(36),
    started: new Date().toISOString(),
    listener: 'public_listener',
    direction: 'INBOUND',
    source: 'spiffe://td/ns/default/dc/dc1/svc/web',
    method: 'GET',
    authority: 'api',
    path: '/v1/items?token=secret',
    status: 200,
    flags: '-',
    details: 'via_upstream',
    tries: 1,
    timings: { end: 3 },
    ...more,
  })

  it('shows what fits its filters, without the query of a path', async () => {
    recent = [
      request({ status: 503, flags: 'UF', details: 'upstream_reset' }),
      request({ method: 'POST' }),
      request({ direction: 'OUTBOUND' }),
      request({ source: 'spiffe://td/ns/default/dc/dc1/svc/batch' }),
      request({ path: '/other' }),
      request({}),
    ]
    const all = await cli.out('tap', '--admin', adminAddress, '--path', '/v1', '--method', 'get', '--identity', 'web', '--count', '2')
    expect(all.split('\n').map(line => line.replace(/^\S+ \S+ /, ''))).toEqual([
      'in web 503 GET api/v1/items 3.0ms UF upstream_reset',
      'in web 200 GET api/v1/items 3.0ms',
      '',
    ])
    const failed = await cli.out('tap', '--admin', adminAddress, '--status', 'failed', '--json', '--count', '1')
    expect(JSON.parse(failed)).toMatchObject({ status: 503, path: '/v1/items' })
    expect(failed).not.toContain('secret')
  })

  it.each([
    [['--status', 'x'], '--status "x": must be a code'],
    [['--direction', 'up'], '--direction "up": must be inbound, outbound or all'],
    [['--count', '0'], '--count "0": must be a number'],
    [['nobody'], 'service "nobody" has no sidecar'],
    [['api'], 'none of them has told where its admin listens'],
  ])('refuses %s', async (args, reason) => {
    const { code, err } = await cli.call('tap', ...args)
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining(reason) })
  })
})

describe('plans', () => {
  const splitter = 'Kind: service-splitter\nName: api\nSplits:\n- { Weight: 50 }\n'
  const intentions = 'Kind: service-intentions\nName: api\nSources:\n- { Name: wbe, Action: deny }\n'
  const resolver = 'Kind: service-resolver\nName: api\nConnectTimeout: 7s\n'

  it('analyze says what would be refused and what is doubtful, by file', async () => {
    const wrong = cli.file('wrong.yaml', splitter)
    expect(await cli.call('analyze', wrong)).toMatchObject({
      code: 2,
      out: `✗ ${wrong}: service-splitter/api: Splits: the sum of all weights must be 100, not 50\n`,
    })
    const doubtful = cli.file('doubtful.yaml', intentions)
    expect(await cli.call('analyze', doubtful)).toMatchObject({ code: 0, out: expect.stringContaining('did you mean "web"?') })
    expect(await cli.call('analyze', '--strict', doubtful)).toMatchObject({ code: 2 })
    // What is doubtful is said of its own entry, also behind one that cannot be read.
    const both = cli.file('both.yaml', `Kind: service-defaults\nName: x\nProtocol: pigeon\n---\n${intentions}`)
    expect((await cli.call('analyze', both)).out).toMatch(
      /service-defaults\/x: Protocol: [\s\S]*! .*service-intentions\/api: .*did you mean "web"/,
    )
    const good = cli.file('good.yaml', resolver)
    expect(await cli.call('analyze', good)).toMatchObject({ code: 0, out: '✓ 1 entry: nothing is wrong\n' })
  })

  it('diff shows the resources of the proxies that would change, and writes nothing', async () => {
    const good = cli.file('good.yaml', resolver)
    const { code, out } = await cli.call('diff', '--exit-code', good)
    expect(code).toBe(2)
    expect(out).toMatch(/^\+ service-resolver\/api\n\nweb-sidecar-proxy\n {2}~ Cluster api\./)
    expect(out).not.toContain('db-sidecar-proxy')
    expect((await cli.call('config', 'read', '-kind', 'service-resolver', '-name', 'api')).code).toBe(1)
    await cli.out('apply', good)
    expect(await cli.call('diff', '--exit-code', good)).toEqual({
      code: 0,
      out: '= service-resolver/api\n\nNothing would change.\n',
      err: '',
    })
  })

  it('diff of what would be refused is an error', async () => {
    expect(await cli.call('diff', cli.file('wrong.yaml', splitter))).toMatchObject({
      code: 1,
      err: expect.stringContaining('the sum of all weights'),
    })
  })
})

describe('check', () => {
  it('names what intentions name and nobody knows: services of this mesh, and peers', async () => {
    const sources = [
      { Name: 'web', Action: 'allow' },
      { Name: 'wbe', Action: 'allow' },
      { Name: 'cart', Peer: 'east', Action: 'allow' },
    ]
    const outside = { Kind: 'service-defaults', Name: 'outside', Protocol: 'tcp', Destination: { Addresses: ['db.example'], Port: 5432 } }
    const entries = [
      outside,
      { Kind: 'service-intentions', Name: 'db', Sources: sources },
      { Kind: 'service-intentions', Name: 'outside', Sources: [{ Name: 'web', Action: 'allow' }] },
    ]
    await cli.out('apply', '-f', cli.file('peers.json', JSON.stringify(entries)))
    const { code, out } = await cli.call('check', '--json')
    expect(code).toBe(2)
    const checked = JSON.parse(out) as { check: string; findings: { wrong: string }[] }[]
    expect(checked.find(({ check }) => check === 'intentions')!.findings.map(({ wrong }) => wrong)).toEqual([
      'they name the service "wbe", which is not registered',
      'they name the peer "east", which there is not',
    ])
    expect(await cli.out('intention', 'list')).toMatch(/cart \(peer east\) +allow +db/)
  })
})
