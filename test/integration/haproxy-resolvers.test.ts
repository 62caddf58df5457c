// HAProxy's resolvers as a judge of the DNS server: a real HAProxy fills a backend from SRV records, another from addresses, and follows the
// catalog while instances come, fail and go. Skipped by name where HAProxy is not installed.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, until } from '../support/proxy-process.js'

const hasHaproxy = spawnSync('haproxy', ['-v']).status === 0

describe.skipIf(!hasHaproxy)('HAProxy', () => {
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-haproxy-'))
  const origins = ['one', 'two', 'three'].map(name => new HttpOrigin((_, socket) => void socket.write(http(name))))
  let plane: ControlPlane
  let haproxy: ChildProcess
  let bySrv: number
  let byAddress: number

  const put = async (path: string, body?: object): Promise<void> => {
    const answer = await fetch(`http://${plane.httpAddress}${path}`, { method: 'PUT', body: JSON.stringify(body ?? {}) })
    expect(answer.status, await answer.text()).toBe(200)
  }
  const register = (i: number): Promise<void> =>
    put('/v1/agent/service/register', {
      ID: `web-${i}`,
      Name: 'web',
      Address: '127.0.0.1',
      Port: origins[i]!.port,
      Check: { CheckID: `web-${i}`, TTL: '10h', Status: 'passing' },
    })
  /** Who answers within some requests. */
  const answering = async (port: number): Promise<string[]> => {
    const seen = new Set<string>()
    for (let i = 0; i < 9; i++) {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
      seen.add(answer.status === 200 ? await answer.text() : String(answer.status))
    }
    return [...seen].sort()
  }
  const answersOf = (port: number, ...expected: string[]): Promise<unknown> =>
    until(`HAProxy calls ${expected.join(', ')}`, async () => {
      const seen = await answering(port)
      return seen.join() === [...expected].sort().join() || Promise.reject(new Error(seen.join()))
    })

  beforeAll(async () => {
    for (const origin of origins) await origin.listen()
    ;[bySrv, byAddress] = [await freePort(), await freePort()]
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', dns: { address: { host: '127.0.0.1', port: 0 } } })
    await plane.start()
    await register(0)
    const config = `
global
  maxconn 100
resolvers mesh
  nameserver here ${plane.dnsAddress}
  accepted_payload_size 4096
  resolve_retries 3
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold nx 200ms
  hold obsolete 0s
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  default-server init-addr none resolvers mesh resolve-prefer ipv4
frontend srv
  bind 127.0.0.1:${bySrv}
  default_backend instances
frontend address
  bind 127.0.0.1:${byAddress}
  default_backend node
backend instances
  balance roundrobin
  server-template web 5 _web._tcp.service.consul
backend node
  server web web.service.consul:${origins[0]!.port}
`
    writeFileSync(join(dir, 'haproxy.cfg'), config)
    haproxy = spawn('haproxy', ['-db', '-f', join(dir, 'haproxy.cfg')], { stdio: 'ignore' })
  })
  afterAll(async () => {
    haproxy.kill('SIGKILL')
    await plane.stop()
    for (const origin of origins) await origin.close()
    rmSync(dir, { recursive: true, force: true })
  })

  it('calls the instances of SRV records as they come, fail and go', async () => {
    await answersOf(bySrv, 'one')
    await register(1)
    await register(2)
    await answersOf(bySrv, 'one', 'two', 'three')
    await put('/v1/agent/check/fail/web-0')
    await answersOf(bySrv, 'two', 'three')
    await put('/v1/agent/service/deregister/web-1')
    await answersOf(bySrv, 'three')
    await put('/v1/agent/check/pass/web-0')
    await answersOf(bySrv, 'one', 'three')
  })

  it('calls the address of a name', async () => {
    await answersOf(byAddress, 'one')
  })
})
