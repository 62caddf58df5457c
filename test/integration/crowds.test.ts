// Many connections at once: bursts of connects, readers who do not read, TLS handshakes that never go on. Each is counted, none is timed:
// who connects is answered, who asks beside the crowd is answered, and what a crowd costs in memory has a bound.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, downstreamTls } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, staticCluster, stopAll } from '../support/proxy-process.js'

/** No more than the kernel queues where net.core.somaxconn is its default, 4096. */
const BURST = 4_000
const BURSTS = 3
const READERS = 100
/** What the kernel takes off the proxy's hands for one reader at most. */
const KERNEL_BUFFER = Number(/\d+$/.exec(readFileSync('/proc/sys/net/ipv4/tcp_wmem', 'utf8').trim())![0])
const LARGE = 4 * KERNEL_BUFFER
const BUFFER_LIMIT = 64 * 1024
/** Of memory, for each reader who does not read: its buffer on both sides, and the objects of two connections. */
const MAX_BYTES_PER_READER = 1024 * 1024
const WARM_UP = 100
/** A turn brings 1 MiB at most (src/io/read-turn.ts), and a request takes a turn at least. */
const ENOUGH_TURNS = (READERS * LARGE) / (1024 * 1024)
const HANDSHAKES = 1_000
/** Of memory, for each connection whose client has not said a whole ClientHello. */
const MAX_BYTES_PER_HANDSHAKE = 32 * 1024
/** After a whole one: TLS's state and our answer, which waits for the client's. */
const MAX_BYTES_AFTER_HELLO = 128 * 1024
/** Retrying would hide what these tests count. */
const ONCE = { retry: 0, timeout: 120_000 }

const somaxconn = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'))
const descriptors = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1])
const REQUEST = 'GET / HTTP/1.1\r\nhost: crowd\r\n\r\n'

const ca = new AnyCa()
const secured = { transport_socket: downstreamTls(ca.service('api'), ca.pem) }
const direct = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'here' } } }
const routes = (route: object) => ({ virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] })
const opened = new Set<Socket>()
let proxy: ProxyProcess
let origin: HttpOrigin
let ports: { direct: number; large: number }

beforeAll(async () => {
  const large = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${LARGE}\r\n\r\n`), Buffer.alloc(LARGE, 'b')])
  origin = await new HttpOrigin((request, socket) => {
    socket.write(request.path === '/large' ? large : http('small'))
  }).listen()
  ports = { direct: await freePort(), large: await freePort() }
  const toOrigin = { match: { prefix: '/' }, route: { cluster: 'origin', timeout: '0s' } }
  const bounded = { per_connection_buffer_limit_bytes: BUFFER_LIMIT }
  const thresholds = [{ max_connections: 2 * READERS, max_requests: 2 * READERS }]
  proxy = await ProxyProcess.start({
    // One process: it is stopped for a while, and its memory is measured.
    flags: ['--concurrency', '1'],
    bootstrap: {
      static_resources: {
        listeners: [
          listener('direct', ports.direct, [hcm({ route_config: routes(direct) })], { stat_prefix: 'direct' }),
          listener('large', ports.large, [hcm({ route_config: routes(toOrigin) })], { stat_prefix: 'large', ...bounded }),
        ],
        clusters: [staticCluster('origin', origin.port, { circuit_breakers: { thresholds }, ...bounded })],
      },
    },
  })
})

afterAll(async () => {
  for (const socket of opened) socket.destroy()
  await stopAll()
  await origin.close()
})

/** Of the process, as the kernel counts it: the same of every proxy. */
const residentBytes = ({ child }: ProxyProcess): number =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1])

async function dial(port: number): Promise<Socket> {
  const socket = net.connect(port, '127.0.0.1')
  opened.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => opened.delete(socket))
  await once(socket, 'connect')
  return socket
}

const dialAll = (count: number, port: number): Promise<Socket[]> => Promise.all(Array.from({ length: count }, () => dial(port)))

/** The first bytes of the answer to one request. */
async function ask(socket: Socket): Promise<string> {
  socket.write(REQUEST)
  const [bytes] = await once(socket, 'data')
  return String(bytes).slice(0, 12)
}

async function leave(sockets: readonly Socket[], stat: string): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await proxy.untilStat(`listener.${stat}.downstream_cx_active`, value => value === 0)
}

describe(`bursts of ${BURST} connects`, () => {
  const refusal =
    descriptors < BURST + 500
      ? `ulimit -n is ${descriptors}`
      : somaxconn < BURST
        ? `net.core.somaxconn is ${somaxconn}, the kernel's bound`
        : ''

  it(
    'the queue of a listener is as long as the system allows (net.core.somaxconn): all are connected while nobody accepts',
    ONCE,
    async ({ skip }) => {
      skip(refusal !== '', refusal)
      proxy.signal('SIGSTOP')
      const clients = await dialAll(BURST, ports.direct).finally(() => proxy.signal('SIGCONT'))
      expect(new Set(await Promise.all(clients.map(ask)))).toEqual(new Set(['HTTP/1.1 200']))
      await leave(clients, 'direct')
    },
  )

  it(`each of ${BURSTS * BURST} gets its answer`, ONCE, async ({ skip }) => {
    skip(refusal !== '', refusal)
    const before = await proxy.stat('listener.direct.downstream_cx_total')
    for (let burst = 0; burst < BURSTS; burst++) {
      const clients = Array.from({ length: BURST }, () => dial(ports.direct))
      const answers = await Promise.all(clients.map(async client => ask(await client)))
      expect(answers.filter(answer => answer === 'HTTP/1.1 200')).toHaveLength(BURST)
      await leave(await Promise.all(clients), 'direct')
    }
    expect((await proxy.stat('listener.direct.downstream_cx_total')) - before).toBe(BURSTS * BURST)
  })
})

describe(`${READERS} readers of a large body who read nothing`, () => {
  it('leave a good client all its answers, and take no more memory than their buffers', ONCE, async () => {
    const good = await Http1Client.connect(ports.large)
    const answered = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) expect((await good.get('/small')).status).toBe(200)
    }
    await answered(WARM_UP)
    const before = residentBytes(proxy)
    const readers = await dialAll(READERS, ports.large)
    for (const reader of readers) reader.pause().write('GET /large HTTP/1.1\r\nhost: crowd\r\n\r\n')
    await proxy.untilStat('cluster.origin.upstream_cx_rx_bytes_total', value => value >= READERS * BUFFER_LIMIT)
    // In so many turns of its event loop a proxy without a bound would have read all bodies.
    await answered(ENOUGH_TURNS)
    expect(await proxy.stat('cluster.origin.upstream_rq_active')).toBe(READERS)
    expect(await proxy.stat('cluster.origin.upstream_cx_rx_bytes_total')).toBeLessThan((READERS * LARGE) / 2)
    expect(residentBytes(proxy) - before).toBeLessThan(READERS * MAX_BYTES_PER_READER)
    // The first reads on after all, to the end of the body.
    const [first] = readers as [Socket, ...Socket[]]
    const whole = new Promise<void>(resolve => {
      let length = 0
      first.on('data', (bytes: Buffer) => {
        length += bytes.length
        if (length > LARGE) resolve()
      })
    })
    first.resume()
    await Promise.all([whole, answered(WARM_UP)])
    good.socket.destroy()
    await leave(readers, 'large')
  })
})

describe(`${HANDSHAKES} TLS handshakes that do not go on`, () => {
  /** Bytes of memory that each takes, in a process of their own: memory that others gave back would hide them. */
  const cost = async (sent: Buffer, answered = false): Promise<number> => {
    const port = await freePort()
    const process = await ProxyProcess.start({
      flags: ['--concurrency', '1'],
      bootstrap: {
        static_resources: {
          // Nothing ends a handshake while it is counted.
          listeners: [
            listener(
              'secure',
              port,
              [hcm({ route_config: routes(direct) })],
              { stat_prefix: 'secure' },
              { ...secured, transport_socket_connect_timeout: '600s' },
            ),
          ],
        },
      },
    })
    const crowd = async (count: number): Promise<void> => {
      const clients = await dialAll(count, port)
      const reached = answered ? clients.map(client => once(client, 'data')) : []
      for (const client of clients) client.write(sent)
      await Promise.all(reached)
      // Who comes after them is served; the proxy has seen them by then.
      const good = await Http1Client.connect(port, clientOptions(ca.service('web'), ca.pem))
      expect((await good.get('/')).body).toBe('here')
      good.socket.destroy()
    }
    // What the first ones cost the process once is not theirs.
    await crowd(HANDSHAKES / 10)
    const before = residentBytes(process)
    await crowd(HANDSHAKES)
    const bytes = (residentBytes(process) - before) / HANDSHAKES
    expect(await process.stat('listener.secure.downstream_cx_active')).toBeGreaterThanOrEqual(1.1 * HANDSHAKES)
    await process.kill()
    return bytes
  }

  it('take little memory where nothing was sent', ONCE, async () => {
    expect(await cost(Buffer.alloc(0))).toBeLessThan(MAX_BYTES_PER_HANDSHAKE)
  })

  it('take little memory after half a ClientHello', ONCE, async () => {
    const hello = await clientHello()
    expect(await cost(hello.subarray(0, hello.length / 2))).toBeLessThan(MAX_BYTES_PER_HANDSHAKE)
  })

  it('take what OpenSSL and its socket need after a whole ClientHello, and no more', ONCE, async () => {
    expect(await cost(await clientHello(), true)).toBeLessThan(MAX_BYTES_AFTER_HELLO)
  })
})

/** As Node sends it. */
async function clientHello(): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = tls.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, servername: 'api' }).on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}
