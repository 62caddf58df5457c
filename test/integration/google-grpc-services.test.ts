// Services by `google_grpc` through the real proxy: each kind asks a real gRPC server over TLS, with a certificate of its own and a token
// that is read with every call. The real Envoy passes the same tests (OUTRIGGER_BIN), but for texts that are ours alone.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { HealthStatus } from '../../src/xds/gen/envoy/config/core/v3/health_check_pb.js'
import { type StreamAccessLogsMessage, StreamAccessLogsMessageSchema } from '../../src/xds/gen/envoy/service/accesslog/v3/als_pb.js'
import { CheckRequestSchema, CheckResponseSchema } from '../../src/xds/gen/envoy/service/auth/v3/external_auth_pb.js'
import {
  RateLimitRequestSchema,
  RateLimitResponse_Code,
  RateLimitResponseSchema,
} from '../../src/xds/gen/envoy/service/ratelimit/v3/rls_pb.js'
import { Front, Lettered, to } from '../support/front-proxy.js'
import { GrpcServices } from '../support/grpc-services.js'
import { HealthDiscoveryServer } from '../support/health-discovery-server.js'
import { LoadStatsServer } from '../support/load-stats-server.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { freePort, type ProxyProcess, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'

const ours = process.env['OUTRIGGER_BIN'] === undefined
const ca = new AnyCa()
const own = ca.leaf({ dns: ['localhost'] })
const client = ca.service('web')
const folder = mkdtempSync(join(tmpdir(), 'outrigger-google-services-'))
const tokenFile = join(folder, 'token')
const keys = [{ private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.cert) }]
const secured = () => grpc.ServerCredentials.createSsl(Buffer.from(ca.pem), keys, true)

const apps = new Lettered(1)
const services = new GrpcServices()
const bare = new GrpcServices()
/** Calls by method: the token and the authority that came with each. */
const seen: string[] = []
const logs: StreamAccessLogsMessage[] = []
let verdict = 0
let overallCode = RateLimitResponse_Code.OK
let hds: HealthDiscoveryServer
let lrs: LoadStatsServer

const raw = (bytes: Buffer): Buffer => bytes
const note = (what: string, metadata: grpc.Metadata): void => void seen.push(`${what} ${String(metadata.get('x-token')[0])}`)
const collect = (path: string, what: string) => ({
  path,
  read: raw,
  write: raw,
  handle: (_: Buffer, metadata: grpc.Metadata) => {
    note(what, metadata)
    return Buffer.alloc(0)
  },
})
const check = {
  path: '/envoy.service.auth.v3.Authorization/Check',
  read: (bytes: Buffer) => fromBinary(CheckRequestSchema, bytes),
  write: (code: number) => toBinary(CheckResponseSchema, create(CheckResponseSchema, { status: { code } })),
}

beforeAll(async () => {
  services
    .add({
      ...check,
      handle: (_, metadata) => {
        note('check', metadata)
        return verdict
      },
    })
    .add({
      path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
      read: bytes => fromBinary(RateLimitRequestSchema, bytes),
      write: (code: RateLimitResponse_Code) => toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, { overallCode: code })),
      handle: (_, metadata) => {
        note('limit', metadata)
        return overallCode
      },
    })
    .add(collect('/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'spans'))
    .add(collect('/opentelemetry.proto.collector.logs.v1.LogsService/Export', 'records'))
    .add(collect('/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'metrics'))
    .addStream<StreamAccessLogsMessage, never>(
      {
        path: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
        read: bytes => fromBinary(StreamAccessLogsMessageSchema, bytes),
        write: () => Buffer.alloc(0),
      },
      call => {
        note('logs', call.metadata)
        call.on('data', (message: StreamAccessLogsMessage) => logs.push(message))
        call.on('error', () => {})
      },
    )
  bare.add({ ...check, handle: () => 0 })
  await Promise.all([apps.listen(), services.listen(secured()), bare.listen()])
  hds = await new HealthDiscoveryServer({
    interval: { seconds: 0n, nanos: 50_000_000 },
    clusterHealthChecks: [
      {
        clusterName: 'checked',
        healthChecks: [
          {
            timeout: { seconds: 1n },
            interval: { seconds: 1n },
            unhealthyThreshold: 1,
            healthyThreshold: 1,
            healthChecker: { case: 'tcpHealthCheck', value: {} },
          },
        ],
        localityEndpoints: [
          {
            locality: { zone: 'z' },
            endpoints: [
              {
                address: {
                  address: {
                    case: 'socketAddress',
                    value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: apps.ports[0]! } },
                  },
                },
              },
            ],
          },
        ],
      },
    ],
  }).listen(secured())
  lrs = await new LoadStatsServer({ sendAllClusters: true, loadReportingInterval: { nanos: 50_000_000 } }).listen(secured())
  writeFileSync(tokenFile, 'first')
  writeFileSync(join(folder, 'key.pem'), client.key)
})

afterAll(async () => {
  await stopAll()
  await apps.close()
  services.close()
  bare.close()
  hds.close()
  lrs.close()
  rmSync(folder, { recursive: true, force: true })
})

const ssl = {
  root_certs: { inline_string: ca.pem },
  private_key: { filename: join(folder, 'key.pem') },
  cert_chain: { inline_string: client.cert },
}
const google = (target_uri: string, stat_prefix: string, more: object = {}) => ({
  timeout: '5s',
  google_grpc: { target_uri, stat_prefix, channel_credentials: { ssl_credentials: ssl }, ...more },
})
const withToken = {
  credentials_factory_name: 'envoy.grpc_credentials.file_based_metadata',
  call_credentials: [
    {
      from_plugin: {
        name: 'envoy.grpc_credentials.file_based_metadata',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig',
          secret_data: { filename: tokenFile },
          header_key: 'x-token',
          header_prefix: 'token ',
        },
      },
    },
  ],
}
const authz = (grpc_service: object): object =>
  typed('envoy.filters.http.ext_authz', 'filters.http.ext_authz.v3.ExtAuthz', { transport_api_version: 'V3', grpc_service })
const clusters = (): object[] => [staticCluster('app', apps.ports[0]!)]
const stat = async (proxy: ProxyProcess, name: string): Promise<number> =>
  Number(/: (\d+)/.exec((await proxy.get(`/stats?filter=^${name}$`)).body)?.[1] ?? -1)

it('every kind of service reaches its server', async () => {
  const service = (prefix: string) => google(`localhost:${services.port}`, prefix, withToken)
  const front = await Front.start({
    routes: [to('/', 'app', { rate_limits: [{ actions: [{ generic_key: { descriptor_value: 'all' } }] }] })],
    filters: [
      authz(service('authz')),
      typed('envoy.filters.http.ratelimit', 'filters.http.ratelimit.v3.RateLimit', {
        domain: 'shop',
        timeout: '5s',
        rate_limit_service: { grpc_service: service('limit'), transport_api_version: 'V3' },
      }),
    ],
    manager: {
      tracing: {
        provider: {
          name: 'envoy.tracers.opentelemetry',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig',
            service_name: 's',
            grpc_service: service('spans'),
          },
        },
      },
      access_log: [
        typed('als', 'access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
          common_config: { log_name: 'als', transport_api_version: 'V3', grpc_service: service('als'), buffer_flush_interval: '0.05s' },
        }),
        typed('otel', 'access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig', {
          common_config: {
            log_name: 'otel',
            transport_api_version: 'V3',
            grpc_service: service('records'),
            buffer_flush_interval: '0.05s',
          },
        }),
      ],
    },
    clusters: clusters(),
    bootstrap: {
      node: { id: 'n', cluster: 'c' },
      stats_flush_interval: '0.2s',
      stats_sinks: [
        {
          name: 'otel',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig',
            grpc_service: service('metrics'),
          },
        },
      ],
      cluster_manager: {
        load_stats_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [google(`localhost:${lrs.port}`, 'lrs')] },
      },
      hds_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [google(`dns:///localhost:${hds.port}`, 'hds')] },
    },
  })
  expect(await front.status('/one'), front.proxy.log).toBe(200)
  for (const what of ['check', 'limit', 'logs', 'spans', 'records', 'metrics']) {
    await until(`${what} in ${seen.join()}`, () => seen.includes(`${what} token first`))
  }
  const entries = () => logs.flatMap(({ logEntries }) => (logEntries.case === 'httpLogs' ? logEntries.value.logEntry : []))
  await until('an access log entry', () => entries().some(({ request }) => request?.path === '/one'))
  await until('a health report', () => hds.report.join() === `checked z ${apps.ports[0]} ${HealthStatus.HEALTHY}`)

  await until('a load report', () => lrs.sums('app').issued > 0)

  writeFileSync(tokenFile, 'second')
  await until('the renewed token', async () => {
    await front.status('/again')
    return seen.includes('check token second')
  })
  verdict = 7
  expect(await front.status('/denied')).toBe(403)
  verdict = 0
  overallCode = RateLimitResponse_Code.OVER_LIMIT
  expect(await front.status('/much')).toBe(429)
  overallCode = RateLimitResponse_Code.OK

  const { proxy } = front
  const calls = seen.filter(call => call.startsWith('check')).length
  await until('all calls are counted', async () => (await stat(proxy, 'grpc.authz.streams_closed_0')) === calls)
  expect(await stat(proxy, 'grpc.authz.streams_total')).toBe(calls)
  expect(await stat(proxy, 'grpc.authz.streams_closed_13')).toBeLessThan(1)
  // One for each process that asks.
  expect(await stat(proxy, 'grpc.authz.google_grpc_client_creation')).toBeGreaterThan(0)
  expect(await stat(proxy, 'grpc.als.streams_total')).toBeGreaterThan(0)
  expect(await stat(proxy, 'grpc.hds.streams_total')).toBe(1)
  expect((await proxy.get('/clusters')).body).not.toContain('localhost')
  expect((await proxy.get('/stats')).body).not.toMatch(/cluster\.[^.]*localhost/)
  await proxy.kill()
})

it('a server that has another name is not asked, unless that name is expected', async () => {
  const target = `127.0.0.1:${services.port}`
  const refused = await Front.start({ routes: [to('/', 'app')], filters: [authz(google(target, 'authz'))], clusters: clusters() })
  seen.length = 0
  expect(await refused.status('/')).toBe(403)
  expect(seen).toEqual([])
  await until('it is counted', async () => (await stat(refused.proxy, 'grpc.authz.streams_closed_13')) === 1)
  const named = { channel_args: { args: { 'grpc.ssl_target_name_override': { string_value: 'localhost' } } } }
  const taken = await Front.start({ routes: [to('/', 'app')], filters: [authz(google(target, 'authz', named))], clusters: clusters() })
  expect(await taken.status('/')).toBe(200)
  expect(seen).toHaveLength(1)
})

it('without root_certs the roots of the system judge', async () => {
  const target = `localhost:${services.port}`
  const by_system = { channel_credentials: { ssl_credentials: {} } }
  const front = await Front.start({ routes: [to('/', 'app')], filters: [authz(google(target, 'authz', by_system))], clusters: clusters() })
  seen.length = 0
  expect(await front.status('/')).toBe(403)
  expect(seen).toEqual([])
})

it('in the clear: the first endpoint that can be reached', async () => {
  const closed = await freePort()
  const target = `ipv4:127.0.0.1:${closed},127.0.0.1:${bare.port}`
  const service = { google_grpc: { target_uri: target, stat_prefix: 'authz' }, timeout: '5s' }
  const front = await Front.start({ routes: [to('/', 'app')], filters: [authz(service)], clusters: clusters() })
  expect(await front.status('/')).toBe(200)
  expect(await front.status('/')).toBe(200)
  await until('both are counted', async () => (await stat(front.proxy, 'grpc.authz.streams_closed_0')) === 2)
})

it('a name that DNS does not know is an answer, not a wait', async () => {
  const service = { google_grpc: { target_uri: 'nobody.invalid:50', stat_prefix: 'authz' }, timeout: '30s' }
  const front = await Front.start({ routes: [to('/', 'app')], filters: [authz(service)], clusters: clusters() })
  expect(await front.status('/')).toBe(403)
  if (!ours) return
  await until('the log says why', () => front.proxy.log.includes('the authorization service (nobody.invalid:50) gives no answer'))
  expect(front.proxy.log).toMatch(/nobody\.invalid:50: DNS [a-z ]* nobody\.invalid/)
})

it('call credentials that cannot be read send nothing', async () => {
  rmSync(tokenFile)
  const front = await Front.start({
    routes: [to('/', 'app')],
    filters: [authz(google(`localhost:${services.port}`, 'authz', withToken))],
    clusters: clusters(),
  })
  seen.length = 0
  expect(await front.status('/')).toBe(403)
  expect(seen).toEqual([])
  if (ours) await until('the log says why', () => front.proxy.log.includes('the file of its call credentials cannot be read'))
})
