// Who gets which connection, and how many are dialled, with connections that speak nothing: the sockets are real, the streams are counts.
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { BreakerThresholds, Cluster } from '../../../src/model/cluster.js'
import { HttpPool, type PooledConnection, type PoolFailure, type PoolProtocol } from '../../../src/upstream/connect/http-pool.js'
import type { Host } from '../../../src/upstream/host/host.js'
import { until } from '../../support/proxy-process.js'
import { endpoint, locality, staticCluster, testRegistry, thresholds } from '../fixtures.js'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

/** A connection of `limit` streams, which says so when the test calls `settings`. */
class Connection implements PooledConnection {
  usable = true
  activeStreams = 0
  maxStreams: number
  limitKnown: boolean
  fresh = true
  pooled = false

  constructor(
    private readonly socket: net.Socket,
    protocol: 'http1' | 'http2',
    private readonly pool: HttpPool<Connection>,
  ) {
    this.limitKnown = protocol === 'http1'
    this.maxStreams = this.limitKnown ? 1 : Math.max(1, pool.host.streamLimit)
    socket.on('error', () => {})
  }

  settings(limit: number): void {
    this.maxStreams = limit
    this.limitKnown = true
    this.pool.host.streamLimit = limit
    this.pool.onStreamLimit(this)
  }

  end(): void {
    this.activeStreams--
    this.pool.onStreamFree(this)
  }

  close(_graceful: boolean): void {
    this.usable = false
    this.socket.destroy()
    this.pool.onClosed(this)
  }
}

class Waiter {
  connection: Connection | null = null
  failure: PoolFailure | null = null

  onPoolReady(connection: Connection): void {
    this.connection = connection
    connection.activeStreams++
  }

  onPoolFailure(failure: PoolFailure): void {
    this.failure = failure
  }
}

async function world(limits: Partial<BreakerThresholds> = {}) {
  const server = net.createServer(socket => socket.on('error', () => {}))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const { registry } = testRegistry()
  const breakers = { default: { ...thresholds, ...limits }, high: thresholds }
  const http = { http2: { maxConcurrentStreams: 1024 } } as Cluster['http']
  registry.apply(staticCluster('c', [locality([endpoint('127.0.0.1', (server.address() as AddressInfo).port)])], { breakers, http }))
  const cluster = registry.get('c')!
  const host = cluster.hosts[0]!
  const connections: Connection[] = []
  const pool = (protocol: PoolProtocol, onEmpty?: (empty: HttpPool<Connection>) => void): HttpPool<Connection> => {
    const made = new HttpPool<Connection>(
      {
        host,
        protocol,
        breakers: cluster.breakers('DEFAULT'),
        connectTimeoutMs: 5_000,
        keepAlive: null,
        localAddress: '',
        sni: '',
        key: '',
        ...(onEmpty === undefined ? {} : { onEmpty }),
        createConnection: (socket, spoken, owner) => {
          const connection = new Connection(socket, spoken, owner)
          connections.push(connection)
          return connection
        },
      },
      null,
    )
    host.pools.set(`${protocol} ${host.pools.size}`, made)
    cleanups.push(() => made.close(false))
    return made
  }
  return { cluster, host, connections, pool, main: cluster.stats.main }
}

function acquire(pool: HttpPool<Connection>, count: number): Waiter[] {
  return Array.from({ length: count }, () => {
    const waiter = new Waiter()
    pool.acquire(waiter)
    return waiter
  })
}

const served = (waiters: Waiter[]): number => waiters.filter(waiter => waiter.connection !== null).length
const dialled = (host: Host): number => host.stats.cxTotal

describe('HTTP/2 connections to a host that takes few streams', () => {
  it('sends one stream before the SETTINGS, dials no other connection meanwhile, and serves the rest by the limit', async () => {
    const { host, connections, pool } = await world()
    const waiters = acquire(pool('http2'), 60)
    expect(dialled(host)).toBe(1)
    await until('a connection', () => connections.length === 1)
    expect([served(waiters), dialled(host)]).toEqual([1, 1])
    connections[0]!.settings(100)
    expect([served(waiters), dialled(host)]).toEqual([60, 1])
  })

  it('with a limit of 1 dials one connection a request, and none is refused', async () => {
    const { host, connections, pool } = await world()
    const waiters = acquire(pool('http2'), 60)
    await until('a connection', () => connections.length === 1)
    connections[0]!.settings(1)
    expect(dialled(host)).toBe(60)
    await until('all connections', () => connections.length === 60)
    expect(served(waiters)).toBe(60)
    expect(connections.every(connection => connection.activeStreams === 1)).toBe(true)
  })

  it('queues what the connections allowed by max_connections cannot take', async () => {
    const { host, connections, pool, main } = await world({ maxConnections: 2 })
    const waiters = acquire(pool('http2'), 5)
    await until('a connection', () => connections.length === 1)
    connections[0]!.settings(1)
    await until('the other connection', () => connections.length === 2)
    expect([served(waiters), main.upstream_rq_pending_active.value, dialled(host)]).toEqual([2, 3, 2])
    connections[0]!.end()
    connections[1]!.end()
    connections[0]!.end()
    expect([served(waiters), main.upstream_rq_pending_active.value]).toEqual([5, 0])
  })

  it('knows the limit of the host when it dials again', async () => {
    const { host, connections, pool } = await world()
    const http2 = pool('http2')
    acquire(http2, 1)
    await until('a connection', () => connections.length === 1)
    connections[0]!.settings(2)
    connections[0]!.close(true)
    const waiters = acquire(http2, 6)
    expect(dialled(host)).toBe(4)
    await until('three more', () => connections.length === 4)
    expect(served(waiters)).toBe(6)
  })

  it('goes on after a limit that shrinks under a burst', async () => {
    const { connections, pool } = await world()
    const http2 = pool('http2')
    const first = acquire(http2, 3)
    await until('a connection', () => connections.length === 1)
    connections[0]!.settings(10)
    expect(served(first)).toBe(3)
    connections[0]!.settings(1)
    const more = acquire(http2, 2)
    expect(served(more)).toBe(0)
    await until('two more', () => connections.length === 3)
    expect(served(more)).toBe(2)
  })
})

describe('max_connection_pools', () => {
  it('refuses a request whose pool would be one too many, and counts it', async () => {
    const { connections, pool, main, cluster } = await world({ maxConnectionPools: 1 })
    const [busy] = acquire(pool('http1'), 1)
    await until('a connection', () => connections.length === 1)
    expect(busy!.connection).not.toBeNull()
    const [refused] = acquire(pool('http2'), 1)
    expect(refused!.failure).toEqual({ kind: 'overflow', limit: 'max_connection_pools' })
    expect(main.upstream_cx_pool_overflow.value).toBe(1)
    expect(cluster.stats.circuitBreakers.default.cx_pool_open.value).toBe(1)
  })

  it('makes room by ending the idle connections of another pool of the host', async () => {
    const { connections, pool, main } = await world({ maxConnectionPools: 1 })
    acquire(pool('http1'), 1)
    await until('a connection', () => connections.length === 1)
    connections[0]!.end()
    const [waiter] = acquire(pool('http2'), 1)
    await until('the other', () => connections.length === 2)
    expect([waiter!.connection === connections[1], connections[0]!.usable, main.upstream_cx_pool_overflow.value]).toEqual([true, false, 0])
  })

  it('counts a pool no longer when its last connection has gone', async () => {
    const { connections, pool, cluster } = await world({ maxConnectionPools: 5 })
    acquire(pool('http1'), 2)
    acquire(pool('http2'), 1)
    await until('three connections', () => connections.length === 3)
    const breakers = cluster.breakers('DEFAULT')
    expect(breakers.connectionPools).toBe(2)
    for (const connection of connections) connection.close(true)
    expect(breakers.connectionPools).toBe(0)
  })

  it('counts a pool no longer when its only dial has failed', async () => {
    const { pool, host, cluster } = await world({ maxConnectionPools: 5 })
    host.address = { kind: 'socket', host: '127.0.0.1', port: 1 }
    const [waiter] = acquire(pool('http1'), 1)
    await until('the failure', () => waiter!.failure !== null)
    expect([waiter!.failure?.kind, cluster.breakers('DEFAULT').connectionPools]).toEqual(['connect', 0])
  })
})

describe('a pool that says when it is empty', () => {
  it('says so with its last connection, with a waiter that gave up, and with a request that the limit refused', async () => {
    const { connections, pool } = await world({ maxConnectionPools: 2 })
    let empty = 0
    const counting = () => void empty++
    acquire(pool('http1', counting), 1)
    await until('a connection', () => connections.length === 1)
    connections[0]!.end()
    expect(empty).toBe(0)
    connections[0]!.close(true)
    expect(empty).toBe(1)

    const busy = pool('http1')
    acquire(busy, 1)
    acquire(pool('http2'), 1)
    await until('both', () => connections.length === 3)
    const [refused] = acquire(pool('http1', counting), 1)
    expect([refused!.failure?.kind, empty]).toEqual(['overflow', 2])
  })
})
