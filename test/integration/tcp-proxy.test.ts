// The TCP proxy in a real process: bytes both ways, ends and resets passed on, bounded memory, and nothing dialled for a denied client.
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EchoOrigin, TcpOrigin } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  listener,
  networkRbac,
  ProxyProcess,
  staticCluster,
  stopAll,
  tcpProxy,
  until,
} from '../support/proxy-process.js'

const echo = new EchoOrigin()
const driven: Socket[] = []
const handed = new TcpOrigin(socket => driven.push(socket))
const greeter = new TcpOrigin(socket => {
  socket.write('220 welcome\r\n')
  socket.on('data', chunk => socket.write(`got ${chunk}`))
  socket.on('end', () => socket.end())
})
const denyAll = { action: 'ALLOW', policies: {} }
let proxy: ProxyProcess
const ports = { echo: 0, driven: 0, greeter: 0, denied: 0, limited: 0, one: 0, down: 0 }

beforeAll(async () => {
  await Promise.all([echo.listen(), handed.listen(), greeter.listen()])
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort()
  const tcp = (cluster: string) =>
    tcpProxy(cluster, {
      stat_prefix: cluster,
      access_log: [fileAccessLog(`LOG ${cluster} %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%`)],
    })
  const thresholds = { circuit_breakers: { thresholds: [{ max_connections: 2 }] } }
  const onePerHost = { circuit_breakers: { per_host_thresholds: [{ max_connections: 1 }], thresholds: [{ max_pending_requests: 1 }] } }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('echo', ports.echo, [tcp('echo')]),
          listener('driven', ports.driven, [tcp('driven')]),
          listener('greeter', ports.greeter, [tcp('greeter')]),
          listener('denied', ports.denied, [networkRbac(denyAll, 'wall'), tcp('guarded')]),
          listener('limited', ports.limited, [tcp('limited')]),
          listener('one', ports.one, [tcp('one')]),
          listener('down', ports.down, [tcp('down')]),
        ],
        clusters: [
          staticCluster('echo', echo.port),
          staticCluster('driven', handed.port),
          staticCluster('greeter', greeter.port),
          staticCluster('guarded', greeter.port),
          staticCluster('limited', echo.port, thresholds),
          staticCluster('one', echo.port, onePerHost),
          staticCluster('down', await freePort()),
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await Promise.all([echo.close(), handed.close(), greeter.close()])
})

async function dial(port: number, allowHalfOpen = false): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Resolves when the socket is closed: whether by a reset. */
function closing(socket: Socket): Promise<boolean> {
  return new Promise(resolve => socket.resume().once('close', resolve))
}

async function readAll(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => (text += chunk))
  await once(socket, 'end')
  return text
}

async function drivenPair(): Promise<{ client: Socket; server: Socket }> {
  const at = driven.length
  const client = await dial(ports.driven, true)
  const server = await until('the upstream connection', () => driven[at])
  return { client, server }
}

describe('the TCP proxy', () => {
  it('moves bytes both ways and passes a half-close on: the answer after it still arrives', async () => {
    const client = await dial(ports.echo, true)
    const all = readAll(client)
    client.write('hello ')
    client.end('world')
    expect(await all).toBe('hello world')
    client.destroy()
    await until('the access log', () => /LOG echo - 11 11/.test(proxy.log))
  })

  it('passes the upstream’s half-close on while the client still sends', async () => {
    const { client, server } = await drivenPair()
    server.end('last words')
    expect(await readAll(client)).toBe('last words')
    client.end('and mine')
    expect(await readAll(server)).toBe('and mine')
    client.destroy()
  })

  it('passes resets on, in both directions', async () => {
    const up = await drivenPair()
    // Before the proxy knows that it is connected a reset is a failed connection, which ends the client in order.
    up.server.write('up')
    await once(up.client, 'data')
    const clientError = closing(up.client)
    up.server.resetAndDestroy()
    expect(await clientError).toBe(true)
    const down = await drivenPair()
    down.client.write('down')
    await once(down.server, 'data')
    const serverError = closing(down.server)
    down.client.resetAndDestroy()
    expect(await serverError).toBe(true)
  })

  it('counts who ended a connection: the peer by a reset or by the later FIN, else we; always with a request on it', async () => {
    const kinds = ['remote', 'local', 'remote_with_active_rq', 'local_with_active_rq']
    const read = async () => {
      const stats = await proxy.stats()
      return kinds.map(kind => stats.get(`cluster.driven.upstream_cx_destroy_${kind}`) ?? 0)
    }
    await proxy.untilStat('cluster.driven.upstream_cx_active', value => value === 0)
    const counted = async (end: (pair: { client: Socket; server: Socket }) => void) => {
      const before = await read()
      const pair = await drivenPair()
      pair.server.write('up')
      await once(pair.client, 'data')
      end(pair)
      await proxy.untilStat('cluster.driven.upstream_cx_active', value => value === 0)
      pair.client.destroy()
      return (await read()).map((value, i) => value - before[i]!)
    }
    expect(await counted(({ server }) => server.resetAndDestroy())).toEqual([1, 0, 1, 0])
    expect(await counted(({ client }) => client.resetAndDestroy())).toEqual([0, 1, 0, 1])
    const clientFirst = ({ client, server }: { client: Socket; server: Socket }) => {
      server.resume().once('end', () => server.end())
      client.end()
    }
    expect(await counted(clientFirst)).toEqual([1, 0, 1, 0])
  })

  it('carries server-first protocols', async () => {
    const client = await dial(ports.greeter)
    const [greeting] = await once(client, 'data')
    expect(String(greeting)).toBe('220 welcome\r\n')
    client.write('EHLO')
    const [answer] = await once(client, 'data')
    expect(String(answer)).toBe('got EHLO')
    client.destroy()
  })

  it('shows a denied client nothing and dials nothing for it', async () => {
    const before = greeter.connections
    const client = await dial(ports.denied)
    let bytes = 0
    client.on('data', chunk => (bytes += chunk.length))
    client.write('let me in')
    await closing(client)
    expect(bytes).toBe(0)
    expect(greeter.connections).toBe(before)
    expect(await proxy.stat('cluster.guarded.upstream_cx_total')).toBe(0)
    expect(await proxy.stat('wall.rbac.denied')).toBe(1)
  })

  it('stops at max_connections and counts the overflow', async () => {
    const first = await dial(ports.limited)
    const second = await dial(ports.limited)
    first.write('a')
    second.write('b')
    await Promise.all([once(first, 'data'), once(second, 'data')])
    const third = await dial(ports.limited)
    await closing(third)
    expect(await proxy.stat('cluster.limited.upstream_cx_overflow')).toBe(1)
    expect(await proxy.stat('cluster.limited.circuit_breakers.default.cx_open')).toBe(1)
    await until('the access log', () => /LOG limited \S*UO/.test(proxy.log))
    first.destroy()
    second.destroy()
    await proxy.untilStat('cluster.limited.upstream_cx_active', value => value === 0)
    const fourth = await dial(ports.limited)
    fourth.write('c')
    await once(fourth, 'data')
    fourth.destroy()
  })

  it('lets a client wait while the host has all connections that per_host_thresholds allows', async () => {
    const first = await dial(ports.one)
    first.write('a')
    await once(first, 'data')
    const second = await dial(ports.one)
    second.write('b')
    await proxy.untilStat('cluster.one.upstream_rq_pending_active', value => value === 1)
    const third = await dial(ports.one)
    await closing(third)
    expect(await proxy.stat('cluster.one.upstream_rq_pending_overflow')).toBe(1)
    expect(await proxy.stat('cluster.one.upstream_cx_active')).toBe(1)
    expect(await proxy.stat('cluster.one.upstream_cx_overflow')).toBeGreaterThan(0)
    first.destroy()
    expect(String((await once(second, 'data'))[0])).toBe('b')
    second.destroy()
    await proxy.untilStat('cluster.one.upstream_cx_active', value => value === 0)
    expect(await proxy.stat('cluster.one.upstream_rq_pending_active')).toBe(0)
  })

  it('closes the client when nobody listens, with UF', async () => {
    const client = await dial(ports.down)
    await closing(client)
    await until('the access log', () => /LOG down \S*UF/.test(proxy.log))
    expect(await proxy.stat('cluster.down.upstream_cx_connect_fail')).toBeGreaterThan(0)
  })

  it('keeps memory bounded when the reader is slow, and loses nothing', async () => {
    const { client, server } = await drivenPair()
    const total = 64 * 1024 * 1024
    const before = await proxy.residentBytes()
    client.pause()
    const chunk = Buffer.alloc(256 * 1024, 7)
    let sent = 0
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length
        if (!server.write(chunk)) {
          server.once('drain', pump)
          return
        }
      }
      server.end()
    }
    pump()
    // The reader takes nothing: after a while no more bytes move, and what moved fits in socket buffers.
    let last = -1
    await until('the sender is held back', async () => {
      const same = last === sent
      last = sent
      await new Promise(resolve => setTimeout(resolve, 100))
      return same
    })
    expect(sent).toBeLessThan(total / 2)
    expect((await proxy.residentBytes()) - before).toBeLessThan(32 * 1024 * 1024)
    let received = 0
    client.on('data', data => (received += data.length))
    client.resume()
    await once(client, 'end')
    expect(received).toBe(total)
    client.destroy()
  })

  it('leaves nothing behind', async () => {
    for (const name of ['echo', 'driven', 'greeter', 'limited', 'down', 'guarded'])
      await proxy.untilStat(`cluster.${name}.upstream_cx_active`, value => value === 0)
    await proxy.untilStat('server.total_connections', value => value === 0)
  })
})
