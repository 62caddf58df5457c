// The listener's own access log (Consul's "Consul Listener Log"): one line a connection when it is gone, with the flag NR where no filter
// chain took it; requests belong to the connection manager's log. Runs the real proxy process.
import http from 'node:http'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EchoOrigin, TcpOrigin } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  networkRbac,
  ProxyProcess,
  proxyBin,
  socketAddress,
  staticCluster,
  stopAll,
  tcpProxy,
  typed,
} from '../support/proxy-process.js'

const FORMAT = '%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %BYTES_RECEIVED%'
const onlyNr = { filter: { response_flag_filter: { flags: ['NR'] } } }
const routes = { virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { path: '/known' }, direct_response: { status: 200 } }] }] }
const web = hcm({ access_log: [fileAccessLog(`request ${FORMAT}`)], route_config: routes })

const origin = new EchoOrigin()
let proxy: ProxyProcess
let httpPort: number
let nrPort: number
let tcpPort: number
let deniedPort: number

beforeAll(async () => {
  await origin.listen()
  httpPort = await freePort()
  nrPort = await freePort()
  tcpPort = await freePort()
  deniedPort = await freePort()
  const fromElsewhere = { filter_chain_match: { source_prefix_ranges: [{ address_prefix: '127.0.0.9', prefix_len: 32 }] } }
  const listener = (name: string, port: number, filters: readonly object[], more: object = {}, chain: object = {}): object => ({
    name,
    address: socketAddress(port),
    access_log: [{ ...fileAccessLog(`${name} ${FORMAT}`), ...more }],
    filter_chains: [{ filters, ...chain }],
  })
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('http', httpPort, [web]),
          listener('nr', nrPort, [web], onlyNr, fromElsewhere),
          listener('tcp', tcpPort, [tcpProxy('echo', { access_log: [fileAccessLog(`filter ${FORMAT}`)] })]),
          listener('denied', deniedPort, [networkRbac({ action: 'ALLOW', policies: {} }), web]),
        ],
        clusters: [staticCluster('echo', origin.port)],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  await origin.close()
})

const lines = (start: string): string[] => proxy.log.split('\n').filter(line => line.startsWith(`${start} `))

function get(port: number, path: string, agent: http.Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: '127.0.0.1', path, agent }, answer => answer.resume().on('end', () => resolve(answer.statusCode!)))
      .on('error', reject)
  })
}

it('has one line for a connection of many requests, and no path', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  expect(await get(httpPort, '/known', agent)).toBe(200)
  expect(await get(httpPort, '/unknown', agent)).toBe(404)
  agent.destroy()
  await proxy.untilLog(/^http - 0 - - - [1-9]\d*$/m)
  expect(lines('http')).toHaveLength(1)
  expect(lines('request')).toEqual([`request /known 200 - direct_response - 0`, `request /unknown 404 NR route_not_found - 0`])
})

it('says NR for a connection that no filter chain takes', async () => {
  const agent = new http.Agent()
  await expect(get(nrPort, '/known', agent)).rejects.toThrow()
  await proxy.untilLog(/^nr - 0 NR filter_chain_not_found - 0$/m)
})

it('names the policy that refused a connection before HTTP', async () => {
  await expect(get(deniedPort, '/known', new http.Agent())).rejects.toThrow()
  await proxy.untilLog(/^denied - 0 - - rbac_access_denied_matched_policy\[none\] \d+$/m)
})

it('has the TCP proxy’s line', async () => {
  const socket = net.connect(tcpPort, '127.0.0.1', () => socket.end('12345'))
  await new Promise(resolve => socket.resume().on('close', resolve))
  await proxy.untilLog(/^tcp - 0 - - - 5$/m)
  await proxy.untilLog(/^filter - 0 - - - 5$/m)
  expect(lines('tcp')).toHaveLength(1)
})

const envoyBin = process.env['ENVOY_BIN']
const PROXIES: readonly (readonly [string, string])[] = [
  ['outrigger', proxyBin],
  ...(envoyBin === undefined ? [] : [['envoy', envoyBin] as const]),
]

// Each value is the real Envoy's, which is asked too where ENVOY_BIN names one.
describe.each(PROXIES)('TCP connections under %s', (name, bin) => {
  const TCP =
    '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED% ' +
    '%UPSTREAM_REQUEST_ATTEMPT_COUNT% %ACCESS_LOG_TYPE% %DYNAMIC_METADATA(envoy.filters.network.rbac:t_shadow_engine_result)%'
  const server = new TcpOrigin(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      if (String(data) === 'reset') socket.resetAndDestroy()
      else socket.write('answer')
    })
    socket.on('end', () => socket.end())
  })
  const ports = { plain: 0, idle: 0, down: 0, shadow: 0, wall: 0, web: 0, greeting: 0 }
  let world: ProxyProcess

  beforeAll(async () => {
    await server.listen()
    for (const key of Object.keys(ports) as (keyof typeof ports)[]) ports[key] = await freePort()
    const all = (action: string): object => ({ action, policies: { p: { permissions: [{ any: true }], principals: [{ any: true }] } } })
    const shadow = typed('envoy.filters.network.rbac', 'filters.network.rbac.v3.RBAC', {
      stat_prefix: 'rbac',
      shadow_rules: all('DENY'),
      shadow_rules_stat_prefix: 't_',
    })
    const wall = networkRbac(all('DENY'), 'wall')
    const greeting = typed('envoy.filters.network.direct_response', 'filters.network.direct_response.v3.Config', {
      response: { inline_string: 'hello' },
    })
    const tcp = (key: keyof typeof ports, cluster: string, config: object = {}): object =>
      tcpProxy(cluster, { stat_prefix: key, access_log: [fileAccessLog(`${key} ${TCP}`)], ...config })
    const listener = (key: keyof typeof ports, filters: readonly object[]): object => ({
      name: key,
      address: socketAddress(ports[key]),
      access_log: [fileAccessLog(`${key}-listener ${TCP}`)],
      filter_chains: [{ filters }],
    })
    world = await ProxyProcess.start({
      bin,
      flags: ['--file-flush-interval-msec', '20', ...(name === 'envoy' ? ['--use-dynamic-base-id'] : [])],
      bootstrap: {
        static_resources: {
          listeners: [
            listener('plain', [tcp('plain', 'server')]),
            listener('idle', [tcp('idle', 'server', { idle_timeout: '0.2s' })]),
            listener('down', [tcp('down', 'down', { max_connect_attempts: 2 })]),
            listener('shadow', [shadow, tcp('shadow', 'server')]),
            listener('wall', [wall, tcp('wall', 'server')]),
            listener('greeting', [greeting]),
            listener('web', [wall, hcm({ stat_prefix: 'web', route_config: routes })]),
          ],
          clusters: [staticCluster('server', server.port), staticCluster('down', await freePort())],
        },
      },
    })
  })
  afterAll(() => server.close())

  /** Until the connection is closed; `half`: we end our side first. */
  function visit(port: number, text: string, half: boolean): Promise<void> {
    return new Promise(resolve => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume().on('close', () => resolve())
      if (half) socket.end(text)
      else socket.write(text)
    })
  }

  it.each([
    ['ends in order', 'plain', 'hi', true, '- - - 2 6 1', '-'],
    ['is reset by its upstream', 'plain', 'reset', false, 'UR - - 5 0 1', '-'],
    ['is idle for too long', 'idle', 'hi', false, '- - - 2 6 1', '-'],
    ['finds nobody listening', 'down', 'hi', false, 'UF,URX - - 0 0 2', '-'],
    ['would be refused by rules in shadow', 'shadow', 'hi', true, '- - - 2 6 1', 'denied'],
  ] as const)('the lines of one that %s', async (_case, key, text, half, facts, shadow) => {
    await visit(ports[key], text, half)
    await world.untilLog(`${key} ${facts} TcpConnectionEnd ${shadow}\n`)
    await world.untilLog(`${key}-listener ${facts} NotSet ${shadow}\n`)
  })

  it('one that has got a direct_response says so', async () => {
    await visit(ports.greeting, '', true)
    await world.untilLog('greeting-listener - direct_response - 0 0 0 NotSet -\n')
  })

  it('refused ones count as connections of their TCP proxy or connection manager', async () => {
    await visit(ports.wall, 'hi', false)
    await visit(ports.web, 'GET /known HTTP/1.1\r\nHost: a\r\n\r\n', false)
    const counters = ['tcp.wall.downstream_cx_total', ...['total', 'destroy', 'destroy_local'].map(end => `http.web.downstream_cx_${end}`)]
    await expect.poll(() => Promise.all(counters.map(counter => world.stat(counter)))).toEqual([1, 1, 1, 1])
    expect(await world.stat('http.web.downstream_cx_active')).toBe(0)
  })
})
