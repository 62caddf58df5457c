// Health discovery (HDS) through the real proxy: whom it checks for a server and what it tells of them, compared with the real Envoy (ENVOY_BIN).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HealthStatus } from '../../src/xds/gen/envoy/config/core/v3/health_check_pb.js'
import { http2Upstream } from '../support/grpc-services.js'
import { HealthDiscoveryServer } from '../support/health-discovery-server.js'
import { HttpOrigin, http, TcpOrigin } from '../support/origins.js'
import { freePort, ProxyProcess, staticCluster, stopAll, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
let status = '200 OK'
const asked: string[] = []
const from = new Set<string>()
const app = new HttpOrigin(({ path }, socket) => {
  asked.push(path)
  from.add(`${path} ${socket.remoteAddress}`)
  socket.write(http('', status))
})
const silent = new TcpOrigin(() => {})
let closed = 0
beforeAll(async () => {
  await Promise.all([app.listen(), silent.listen()])
  closed = await freePort()
})
afterAll(async () => {
  await stopAll()
  await Promise.all([app.close(), silent.close()])
})

const MILLIS = 1_000_000
const span = (ms: number) => ({ seconds: 0n, nanos: ms * MILLIS })
const times = { timeout: span(300), interval: span(50), noTrafficInterval: span(50), unhealthyThreshold: 1, healthyThreshold: 1 }
const at = (port: number) => ({
  address: {
    address: {
      case: 'socketAddress' as const,
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: port } },
    },
  },
})
const web = (zone: string, path: string) => ({
  clusterName: 'web',
  healthChecks: [{ ...times, healthChecker: { case: 'httpHealthCheck' as const, value: { path } } }],
  localityEndpoints: [
    { locality: { region: 'eu', zone }, endpoints: [at(app.port), at(closed)] },
    { locality: { region: 'eu', zone: 'slow' }, endpoints: [at(silent.port)] },
  ],
})
const tcp = () => ({
  clusterName: 'tcp',
  healthChecks: [{ ...times, healthChecker: { case: 'tcpHealthCheck' as const, value: {} } }],
  localityEndpoints: [{ locality: { zone: 'b' }, endpoints: [at(app.port)] }],
})

const line = (cluster: string, zone: string, port: number, health: HealthStatus): string => `${cluster} ${zone} ${port} ${health}`
const { HEALTHY, UNHEALTHY, TIMEOUT } = HealthStatus

async function told(bin?: string) {
  status = '200 OK'
  from.clear()
  const server = await new HealthDiscoveryServer({ clusterHealthChecks: [web('a', '/first'), tcp()], interval: span(50) }).listen()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      node: { id: 'node-1', cluster: 'web', metadata: { a: 'b' } },
      hds_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: { envoy_grpc: { cluster_name: 'hds' } } },
      cluster_manager: { upstream_bind_config: { source_address: { address: '127.0.0.8', port_value: 0 } } },
      // One of ours has the name of one that the server names.
      static_resources: { clusters: [staticCluster('hds', server.port, http2Upstream), staticCluster('tcp', app.port)] },
    },
    flags: ['--base-id', String((process.pid % 50_000) + 5)],
    ...(bin ? { bin } : {}),
  })
  const says = (what: string, lines: readonly string[]) => until(what, () => JSON.stringify(server.report) === JSON.stringify(lines))
  const stat = async (name: string): Promise<number> => Number((await proxy.get(`/stats?filter=${name}$`)).body.split(': ')[1])
  const first = [line('web', 'a', app.port, HEALTHY), line('web', 'a', closed, UNHEALTHY), line('web', 'slow', silent.port, TIMEOUT)]
  const unchecked = line('tcp', 'b', app.port, HEALTHY)
  await says('all are judged', [...first, unchecked])
  const listed = server.requests.at(-1)!.requestType
  const flat = listed.case === 'endpointHealthResponse' ? listed.value.endpointsHealth.length : 0
  status = '503 Service Unavailable'
  await says('one has failed', [line('web', 'a', app.port, UNHEALTHY), ...first.slice(1), unchecked])
  status = '200 OK'
  await says('it is back', [...first, unchecked])
  const members = async (): Promise<number[]> =>
    Promise.all(['total', 'healthy', 'change'].map(what => stat(`cluster.tcp.membership_${what}`)))
  const membersBeside = await members()
  server.say({ clusterHealthChecks: [web('z', '/second')], interval: span(50) })
  await says('another path, another zone, one cluster less', [
    line('web', 'z', app.port, HEALTHY),
    line('web', 'z', closed, UNHEALTHY),
    line('web', 'slow', silent.port, TIMEOUT),
  ])
  await until('the new path is asked', () => asked.includes('/second'))
  const membersAlone = await members()
  const before = server.report
  // A check without a checker is nothing that anybody could do.
  for (const heard of [3, 4]) {
    server.say({ clusterHealthChecks: [{ ...web('bad', '/'), healthChecks: [{ ...times }] }], interval: span(50) })
    await until('the refused one was heard', async () => (await stat('hds_delegate.requests')) === heard)
  }
  const seen = server.requests.length
  await until('reports go on', () => server.requests.length > seen + 1)
  expect(server.report).toEqual(before)
  const updates = await stat('hds_delegate.updates')
  server.endStream()
  await until('it asks again', () => server.streams === 2)
  const clusters = (await proxy.get('/clusters')).body.includes('web::')
  const request = server.requests[0]!.requestType
  const { node, capability } = request.case === 'healthCheckRequest' ? request.value : {}
  // Its cluster may not have been ready for the first try.
  const errors = (await stat('hds_delegate.errors')) > 0
  await proxy.kill()
  server.close()
  return {
    node: [node?.id, node?.cluster, node?.metadata],
    capability: capability?.healthCheckProtocols,
    flat,
    updates,
    errors,
    clusters,
    from: [...from],
    members: [membersBeside, membersAlone],
    output: proxy.log,
  }
}

const ONE_MEMBER = [1, 1, 1]
const EXPECTED = {
  node: ['node-1', 'web', { a: 'b' }],
  capability: [0, 1],
  flat: 4,
  updates: 2,
  errors: true,
  clusters: false,
  // The bind address of the cluster manager is not for these.
  from: ['/first 127.0.0.1', '/second 127.0.0.1'],
  members: [ONE_MEMBER, ONE_MEMBER],
}

describe('health discovery', () => {
  it('checks whom the server names, and tells it what became of them', async () => {
    const { output, ...seen } = await told()
    expect(seen).toEqual(EXPECTED)
    expect(output.split('asks for what cannot be checked').length - 1).toBe(1)
  })

  it.skipIf(envoyBin === undefined)('as Envoy does', async () => {
    const { output: _, ...seen } = await told(envoyBin)
    expect(seen).toEqual(EXPECTED)
  })
})

it('a specifier that asks for what this proxy cannot do is refused whole', async () => {
  const events = { eventLogPath: '/nowhere/events.log' }
  const bad = { ...tcp(), clusterName: 'bad', healthChecks: [{ ...tcp().healthChecks[0]!, ...events }] }
  const server = await new HealthDiscoveryServer({ clusterHealthChecks: [tcp()], interval: span(50) }).listen()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      hds_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: { envoy_grpc: { cluster_name: 'hds' } } },
      static_resources: { clusters: [staticCluster('hds', server.port, http2Upstream)] },
    },
  })
  await until('a report', () => server.report.length > 0)
  server.say({ clusterHealthChecks: [web('a', '/'), bad], interval: span(50) })
  await until('it is refused', () => proxy.log.includes('/nowhere/events.log'))
  const seen = server.requests.length
  await until('reports go on', () => server.requests.length > seen + 1)
  expect(server.report).toEqual([line('tcp', 'b', app.port, HEALTHY)])
  expect(proxy.log).toContain('cluster_health_checks[1].health_checks[0].event_log_path')
  await proxy.kill()
  server.close()
})

it.each([
  ['an unknown cluster', { envoy_grpc: { cluster_name: 'nobody' } }, "'nobody' does not exist"],
  ['a target that is none', { google_grpc: { target_uri: 'x:0', stat_prefix: 'x' } }, "'x:0' is no host and port"],
])('a bootstrap that sends health reports to %s is refused', async (_, service, reason) => {
  const bootstrap = { hds_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: service } }
  const run = await ProxyProcess.run({ bootstrap, flags: ['--mode', 'validate'] })
  expect(run.code).toBe(1)
  const said = run.stdout + run.stderr
  expect(said).toContain('hds_config')
  expect(said).toContain(reason)
})
