// The listener's own access log (Consul's "Consul Listener Log"): one line a connection when it is gone, with the flag NR where no filter
// chain took it; requests belong to the connection manager's log. Runs the real proxy process.
import http from 'node:http'
import net from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { EchoOrigin } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  networkRbac,
  ProxyProcess,
  socketAddress,
  staticCluster,
  stopAll,
  tcpProxy,
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
