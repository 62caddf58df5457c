// What gateways cost: `node bench/gateways.mjs [rounds]` after `npm run build`, with wrk installed. Two comparisons, each in alternating turns:
// - an API gateway and the sidecar of a client before the same service, both as our control plane configures them: CPU time a request of that
//   process alone (goal: the gateway takes at most 1.1 × the sidecar's);
// - bytes through a plain TCP proxy and through a mesh gateway's listener, which reads a ClientHello and finds one of 1,000 server names: CPU time
//   a MB, and the rate (goal: at least 0.9 × the plain one's). ENVOY_BIN measures this one for Envoy too.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { http1Load } from './e2e/load/load.mjs'
import { spawnPinned } from './e2e/load/run-tool.mjs'
import { answers, compare, freePort, until } from './e2e/measure/side-by-side.mjs'

const ROUNDS = Number(process.argv[2] ?? 12)
const SECONDS = 2
const WARM_UP_SECONDS = 10
const [PROXY_CORE, LOAD_CORE] = [0, 1]
const SERVICES = 1_000
const STREAM_BYTES = 100 * 1024 * 1024
const outrigger = join(import.meta.dirname, '../bin/outrigger')
const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
const children = []

function run(core, command, ...args) {
  const child = spawnPinned(core, command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  return child
}

async function apiGateway() {
  const [http, grpc, origin, upstream, edge] = await Promise.all(Array.from({ length: 5 }, freePort))
  run(LOAD_CORE, process.execPath, join(import.meta.dirname, 'e2e/origin.mjs'), 'http1', String(origin))
  const addresses = ['--http-addr', `127.0.0.1:${http}`, '--grpc-addr', `127.0.0.1:${grpc}`]
  run(LOAD_CORE, outrigger, 'control', '--data-dir', join(folder, 'state'), '--log-level', 'warn', ...addresses)
  const put = async (path, body) => {
    const answer = await fetch(`http://127.0.0.1:${http}${path}`, { method: 'PUT', body: JSON.stringify(body) })
    if (answer.status !== 200) throw new Error(`${path}: ${await answer.text()}`)
  }
  await until('the control plane answers', async () => (await fetch(`http://127.0.0.1:${http}/v1/status/leader`)).status === 200)
  await put('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
  await put('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: '*', Action: 'allow' }] })
  await put('/v1/config', { Kind: 'api-gateway', Name: 'edge', Listeners: [{ Name: 'http', Port: edge }] })
  await put('/v1/config', {
    Kind: 'http-route',
    Name: 'all',
    Parents: [{ Name: 'edge' }],
    Rules: [{ Services: [{ Name: 'api' }] }],
  })
  await put('/v1/agent/service/register', { Name: 'api', Port: origin, Connect: { SidecarService: {} } })
  const Upstreams = [{ DestinationName: 'api', LocalBindPort: upstream }]
  await put('/v1/agent/service/register', { Name: 'web', Port: 1, Connect: { SidecarService: { Proxy: { Upstreams } } } })
  await put('/v1/agent/service/register', { Kind: 'api-gateway', Name: 'edge', Address: '127.0.0.1' })
  const proxy = async (core, ...which) => {
    const admin = `127.0.0.1:${await freePort()}`
    const server = ['-http-addr', `http://127.0.0.1:${http}`, '-grpc-addr', `127.0.0.1:${grpc}`]
    return run(core, outrigger, 'connect', 'envoy', ...which, ...server, '-admin-bind', admin, '--', '-l', 'warning')
  }
  await proxy(LOAD_CORE, '-sidecar-for', 'api')
  const sidecar = await proxy(PROXY_CORE, '-sidecar-for', 'web')
  const gateway = await proxy(PROXY_CORE, '-gateway', 'api', '-service', 'edge')
  const sides = [
    { name: 'client sidecar', pid: sidecar.pid, port: upstream },
    { name: 'API gateway', pid: gateway.pid, port: edge },
  ]
  for (const { name, port } of sides) await until(`${name} answers`, answers(port))
  const load = ({ port }, seconds = SECONDS) => http1Load({ port, seconds, loadCore: LOAD_CORE, dir: folder }, { connections: 32 })
  for (const side of sides) await load(side, WARM_UP_SECONDS)
  await compare('API gateway', 'request', sides, ROUNDS, load)
}

const nameOf = i => `service-${i}.default.dc1.internal.bench.consul`

/** The first record of a client that asks for the name. */
async function clientHello(servername) {
  const server = net.createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const heard = new Promise(resolve => server.once('connection', socket => socket.once('data', resolve)))
  const client = tls.connect({ port: server.address().port, host: '127.0.0.1', servername })
  client.on('error', () => {})
  const hello = await heard
  client.destroy()
  server.close()
  return hello
}

function meshGatewayBootstrap(admin, plain, gateway, origin) {
  const address = port => ({ socket_address: { address: '127.0.0.1', port_value: port } })
  const tcpProxy = (stat_prefix, cluster) => ({
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', stat_prefix, cluster },
  })
  const inspector = {
    name: 'envoy.filters.listener.tls_inspector',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector' },
  }
  const sniCluster = {
    name: 'envoy.filters.network.sni_cluster',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster' },
  }
  const chains = Array.from({ length: SERVICES }, (_, i) => ({
    filter_chain_match: { server_names: [nameOf(i)] },
    filters: [tcpProxy(`mesh_gateway_local_peered.service-${i}`, 'origin')],
  }))
  return {
    admin: { address: address(admin) },
    static_resources: {
      listeners: [
        { name: 'plain', address: address(plain), filter_chains: [{ filters: [tcpProxy('plain', 'origin')] }] },
        {
          name: 'default',
          address: address(gateway),
          listener_filters: [inspector],
          filter_chains: [...chains, { filters: [sniCluster, tcpProxy('mesh_gateway_local.default', '')] }],
        },
      ],
      clusters: [
        {
          name: 'origin',
          type: 'STATIC',
          connect_timeout: '5s',
          load_assignment: { cluster_name: 'origin', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(origin) } }] }] },
        },
      ],
    },
  }
}

/** The whole stream that the origin sends after the first bytes. */
function stream(port, first) {
  return new Promise((resolve, reject) => {
    let bytes = 0
    const socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: { buffer: Buffer.allocUnsafe(256 * 1024), callback: n => (bytes += n) > 0 },
    })
    socket.on('connect', () => socket.write(first))
    socket.on('error', reject)
    socket.on('end', () => socket.end())
    socket.on('close', () => (bytes === STREAM_BYTES ? resolve() : reject(new Error(`${bytes} bytes came`))))
  })
}

async function meshGateway(name, bin, flags) {
  const [admin, plain, gateway, origin] = await Promise.all(Array.from({ length: 4 }, freePort))
  run(LOAD_CORE, process.execPath, join(import.meta.dirname, 'e2e/origin.mjs'), 'tcp-source', String(origin))
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(meshGatewayBootstrap(admin, plain, gateway, origin)))
  const { pid } = run(PROXY_CORE, bin, '-c', file, '-l', 'error', ...flags)
  await until(`${name} is ready`, async () => (await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200)
  const hello = await clientHello(nameOf(SERVICES - 1))
  const load = async ({ port }) => {
    const started = performance.now()
    let units = 0
    do {
      await stream(port, hello)
      units += STREAM_BYTES / 1e6
    } while (performance.now() - started < SECONDS * 1000)
    return { units, seconds: (performance.now() - started) / 1000 }
  }
  const sides = [
    { name: 'plain TCP', pid, port: plain },
    { name: 'by server name', pid, port: gateway },
  ]
  for (const side of sides) await load(side)
  await compare(`mesh gateway, ${name}`, 'MB', sides, ROUNDS, load)
}

try {
  await apiGateway()
  await meshGateway('Outrigger', join(import.meta.dirname, '../bin/outrigger-proxy'), ['--disable-hot-restart'])
  if (process.env.ENVOY_BIN) await meshGateway('Envoy', process.env.ENVOY_BIN, ['--concurrency', '1', '--disable-hot-restart'])
} finally {
  for (const child of children) child.kill()
  await Promise.all(children.map(child => child.exitCode ?? new Promise(resolve => child.once('exit', resolve))))
  rmSync(folder, { recursive: true })
}
