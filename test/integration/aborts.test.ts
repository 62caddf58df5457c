// 2,000 clients that give up, at every phase of a request: afterwards every gauge is back at zero, every socket is closed, and the
// proxy serves as before.
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const CLIENTS_PER_PHASE = 250
const AT_ONCE = 50
const origin = new HttpOrigin()
let proxy: ProxyProcess
let port: number

beforeAll(async () => {
  await origin.listen()
  origin.respond = (request, socket) => {
    if (request.path === '/never') return
    if (request.path === '/head') socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n')
    else if (request.path === '/part') socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n')
    else if (request.path === '/big') socket.write(http('y'.repeat(200_000)))
    else socket.write(http('ok'))
  }
  port = await freePort()
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [listener('front', port, [hcm({ route_config: routesTo('app') })])],
        clusters: [
          staticCluster('app', origin.port, { circuit_breakers: { thresholds: [{ max_connections: 10_000, max_requests: 10_000 }] } }),
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

interface Phase {
  readonly name: string
  readonly send: string
  /** Leave once the first bytes of the answer are there (else: once the request is written). */
  readonly awaitData?: boolean
  readonly reset?: boolean
  readonly halfClose?: boolean
}

const phases: Phase[] = [
  { name: 'before a byte is sent', send: '' },
  { name: 'in the head', send: 'GET /never HTTP/1.1\r\nhos' },
  { name: 'in the request body', send: 'POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\npart' },
  { name: 'while the origin thinks', send: 'GET /never HTTP/1.1\r\nhost: x\r\n\r\n' },
  { name: 'by reset, while the origin thinks', send: 'GET /never HTTP/1.1\r\nhost: x\r\n\r\n', reset: true },
  { name: 'after the response head', send: 'GET /head HTTP/1.1\r\nhost: x\r\n\r\n', awaitData: true },
  { name: 'in the response body', send: 'GET /part HTTP/1.1\r\nhost: x\r\n\r\n', awaitData: true, reset: true },
  {
    name: 'in a big body, with a second request waiting',
    send: 'GET /big HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(2),
    awaitData: true,
    reset: true,
  },
]

function abort(phase: Phase): Promise<void> {
  return new Promise(resolve => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const leave = (): void => void (phase.reset === true ? socket.resetAndDestroy() : socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('connect', () => {
      if (phase.send === '') leave()
      else if (phase.awaitData === true) socket.write(phase.send)
      else socket.write(phase.send, leave)
    })
    if (phase.awaitData === true) socket.once('data', leave)
  })
}

const gauges = [
  'http.ingress.downstream_rq_active',
  'http.ingress.downstream_cx_active',
  'http.ingress.downstream_cx_http1_active',
  'cluster.app.upstream_rq_active',
  'cluster.app.upstream_rq_pending_active',
  'server.total_connections',
]

async function allBack(): Promise<void> {
  await until('every gauge back at zero', async () => {
    const stats = await proxy.stats()
    const left = [...gauges, `listener.127.0.0.1_${port}.downstream_cx_active`].filter(name => stats.get(name) !== 0)
    if (left.length > 0) throw new Error(left.map(name => `${name} = ${stats.get(name)}`).join(', '))
    return true
  })
}

describe('clients that give up', () => {
  it.each(phases)('$name: nothing is left behind', async phase => {
    for (let i = 0; i < CLIENTS_PER_PHASE; i += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, () => abort(phase)))
    await allBack()
    expect((await fetchOnce(port, '/fine')).body).toBe('ok')
  })

  it('the origin holds no more connections than the pool says, and each of those is usable', async () => {
    await until(
      'the origin’s connections are the pool’s',
      async () => origin.sockets.size === (await proxy.stat('cluster.app.upstream_cx_active')),
    )
    expect(origin.sockets.size).toBeLessThan(60)
    for (let i = 0; i < 20; i++) expect((await fetchOnce(port, `/again${i}`)).body).toBe('ok')
    expect(await proxy.stat('cluster.app.circuit_breakers.default.rq_open')).toBe(0)
    await allBack()
  })
})
