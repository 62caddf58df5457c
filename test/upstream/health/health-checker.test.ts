import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { Cluster, HealthCheck } from '../../../src/model/cluster.js'
import type { HealthCheckRequest, HealthCheckResult, HealthCheckTransport } from '../../../src/upstream/health/health-check-transport.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  healthCheck,
  locality,
  manyEndpoints,
  outlierDefaults,
  seeded,
  testRegistry,
} from '../fixtures.js'

/** Answers when the test says so. */
class ScriptedTransport implements HealthCheckTransport {
  waiting: { request: HealthCheckRequest; done: (result: HealthCheckResult) => void; cancelled: boolean }[] = []
  check(request: HealthCheckRequest, done: (result: HealthCheckResult) => void) {
    const entry = { request, done, cancelled: false }
    this.waiting.push(entry)
    return {
      cancel: () => {
        entry.cancelled = true
        this.waiting = this.waiting.filter(each => each !== entry)
      },
    }
  }
  answer(result: HealthCheckResult): HealthCheckRequest {
    const { request, done } = this.waiting.shift()!
    done(result)
    return request
  }
  status(status: number, more: Partial<Extract<HealthCheckResult, { kind: 'http' }>> = {}): HealthCheckRequest {
    return this.answer({
      kind: 'http',
      status,
      degraded: false,
      immediateFail: false,
      healthcheckedCluster: null,
      body: Buffer.alloc(0),
      ...more,
    })
  }
  silence(): void {
    this.answer({ kind: 'network', timeout: false, reason: 'refused' })
  }
}

const httpCheck: HealthCheck['check'] = {
  kind: 'http',
  host: '',
  path: '/health',
  method: 'GET',
  http2: false,
  headersToAdd: [],
  headersToRemove: [],
  expectedStatuses: [],
  send: null,
  receive: [],
  responseBufferBytes: 1024,
  retriableStatuses: [],
  serviceName: null,
}

function make(check: HealthCheck, hosts = 1, more: Partial<Cluster> = {}) {
  const transport = new ScriptedTransport()
  const test = testRegistry({ healthCheckTransport: transport })
  test.registry.apply(cluster('c', { healthChecks: [check], healthyPanicPercent: 0, ...more }))
  test.registry.applyAssignment(assignment('c', [locality(manyEndpoints(hosts))]))
  return { ...test, transport, target: () => test.registry.get('c')! }
}

/** Time until the next check begins. */
function pause(test: ReturnType<typeof make>): number {
  for (let ms = 0; ms <= 200_000; ms += 500) {
    if (test.transport.waiting.length > 0) return ms
    test.clock.advance(500)
  }
  return -1
}

describe('HTTP health checks', () => {
  it('are the last step of warming: the first result counts at once', () => {
    const test = make(healthCheck(httpCheck), 2)
    expect(test.registry.get('c')).toBeUndefined()
    const request = test.transport.status(200)
    expect(request.address).toEqual({ kind: 'socket', host: '10.0.0.0', port: 80 })
    expect(request.authority).toBe('c')
    expect(test.registry.get('c')).toBeUndefined()
    test.transport.silence()
    expect(test.target().stats.main.membership_healthy.value).toBe(1)
    expect(test.target().pick(context(seeded(1)))!.key).toBe('10.0.0.0:80')
    const { healthCheck: stats } = test.target().stats
    expect([stats.attempt.value, stats.success.value, stats.failure.value, stats.network_failure.value, stats.healthy.value]).toEqual([
      2, 1, 1, 1, 1,
    ])
  })

  it('need unhealthy_threshold silences, but only one wrong status', () => {
    const test = make(healthCheck(httpCheck))
    test.transport.status(200)
    const [host] = test.target().hosts
    for (let i = 0; i < 2; i++) {
      pause(test)
      test.transport.silence()
    }
    expect(host!.healthy).toBe(true)
    pause(test)
    test.transport.silence()
    expect(host!.healthy).toBe(false)
    // healthy_threshold 2
    pause(test)
    test.transport.status(200)
    expect(host!.healthy).toBe(false)
    pause(test)
    test.transport.status(200)
    expect(host!.healthy).toBe(true)
    pause(test)
    test.transport.status(503)
    expect(host!.healthy).toBe(false)
    expect(test.logs.at(-1)).toBe('health check: cluster c: host 10.0.0.0:80 is unhealthy (active)')
  })

  it('count retriable statuses towards the threshold, and take only expected ones for a pass', () => {
    const test = make(
      healthCheck({ ...httpCheck, expectedStatuses: [{ start: 200, end: 203 }], retriableStatuses: [{ start: 500, end: 600 }] }),
    )
    test.transport.status(202)
    const [host] = test.target().hosts
    for (let i = 0; i < 2; i++) {
      pause(test)
      test.transport.status(500)
    }
    expect(host!.healthy).toBe(true)
    pause(test)
    test.transport.status(203)
    expect(host!.healthy).toBe(false)
  })

  it('wait by the interval of the state: no traffic, edge, unhealthy, healthy', () => {
    const test = make(healthCheck(httpCheck, { noTrafficHealthyIntervalMs: 30_000 }))
    test.transport.status(200)
    expect(pause(test)).toBe(30_000)
    test.transport.silence()
    expect(pause(test)).toBe(60_000)
    test.target().stats.main.upstream_cx_total.value = 1
    test.transport.status(200)
    expect(pause(test)).toBe(10_000)
    test.transport.silence()
    expect(pause(test)).toBe(2_000)
    test.transport.silence()
    expect(pause(test)).toBe(2_000)
    test.transport.silence()
    expect(pause(test)).toBe(5_000)
    test.transport.status(200)
    expect(pause(test)).toBe(1_000)
    test.transport.status(200)
    expect(pause(test)).toBe(10_000)
  })

  it('fail on timeout, cancel the exchange, and name it', () => {
    const test = make(healthCheck(httpCheck, { unhealthyThreshold: 1 }))
    test.transport.status(200)
    pause(test)
    const [pending] = test.transport.waiting
    test.clock.advance(1_000)
    expect(pending!.cancelled).toBe(true)
    const [host] = test.target().hosts
    expect(host!.hasFlag(HealthFlag.ACTIVE_HC_TIMEOUT)).toBe(true)
    expect(host!.healthy).toBe(false)
    pause(test)
    test.transport.status(503)
    expect(host!.hasFlag(HealthFlag.ACTIVE_HC_TIMEOUT)).toBe(false)
  })

  it('know degraded hosts, the service behind the port, and hosts that ask to be left out', () => {
    const serviceName = { kind: 'prefix', value: 'loc', ignoreCase: false } as const
    const test = make(healthCheck({ ...httpCheck, serviceName }))
    test.transport.status(200, { healthcheckedCluster: 'locations-production' })
    const [host] = test.target().hosts
    pause(test)
    test.transport.status(200, { degraded: true, healthcheckedCluster: 'locations' })
    expect(host!.health).toBe('degraded')
    pause(test)
    test.transport.status(200, { healthcheckedCluster: 'locations' })
    expect(host!.health).toBe('healthy')
    pause(test)
    test.transport.status(200, { healthcheckedCluster: 'other' })
    expect(host!.health).toBe('unhealthy')
    expect(test.target().stats.healthCheck.verify_cluster.value).toBe(1)
    test.target().recordImmediateHealthCheckFail(host!)
    expect(host!.excluded).toBe(true)
    expect(test.target().stats.healthCheck.passive_failure.value).toBe(1)
  })

  it.each([
    ['HTTP', { ...httpCheck, host: 'all.example' }],
    ['gRPC', { kind: 'grpc', serviceName: '', authority: 'all.example', initialMetadata: [] }],
  ] as const)("%s: the endpoint's own name comes before that of the check", (_name, check) => {
    const transport = new ScriptedTransport()
    const { registry } = testRegistry({ healthCheckTransport: transport })
    registry.apply(cluster('c', { healthChecks: [healthCheck(check)] }))
    const own = { ...endpoint('10.0.0.2', 80), healthCheckHostname: 'own.example' }
    registry.applyAssignment(assignment('c', [locality([endpoint('10.0.0.1', 80), own])]))
    expect(transport.waiting.map(({ request }) => request.authority)).toEqual(['all.example', 'own.example'])
  })

  it("use the endpoint's own port and name where given", () => {
    const transport = new ScriptedTransport()
    const { registry } = testRegistry({ healthCheckTransport: transport })
    registry.apply(cluster('c', { healthChecks: [healthCheck(httpCheck, { altPort: 9_000 })] }))
    const plain = endpoint('10.0.0.1', 80)
    const own = { ...endpoint('10.0.0.2', 80), healthCheckPort: 8_081, healthCheckHostname: 'check.example' }
    const skipped = { ...endpoint('10.0.0.3', 80), disableActiveHealthCheck: true }
    registry.applyAssignment(assignment('c', [locality([plain, own, skipped])]))
    expect(transport.waiting.map(({ request }) => [request.address, request.authority])).toEqual([
      [{ kind: 'socket', host: '10.0.0.1', port: 9_000 }, 'c'],
      [{ kind: 'socket', host: '10.0.0.2', port: 8_081 }, 'check.example'],
    ])
    transport.silence()
    transport.silence()
    expect(registry.get('c')!.pick(context(seeded(1)))!.key).toBe('10.0.0.3:80')
  })

  it('keep a healthy host that EDS no longer names until it fails, unless told otherwise', () => {
    const test = make(healthCheck(httpCheck, { unhealthyThreshold: 1 }), 2)
    test.transport.status(200)
    test.transport.status(200)
    test.registry.applyAssignment(assignment('c', [locality(manyEndpoints(1))]))
    expect(test.target().hosts).toHaveLength(2)
    expect(test.target().host('10.0.0.1:80')!.hasFlag(HealthFlag.PENDING_DYNAMIC_REMOVAL)).toBe(true)
    pause(test)
    test.transport.status(200)
    test.transport.silence()
    expect(test.target().hosts.map(host => host.key)).toEqual(['10.0.0.0:80'])
    const other = make(healthCheck(httpCheck), 2, { ignoreHealthOnHostRemoval: true })
    other.transport.status(200)
    other.transport.status(200)
    other.registry.applyAssignment(assignment('c', [locality(manyEndpoints(1))]))
    expect(other.target().hosts).toHaveLength(1)
  })

  it('do not count new hosts before their first check with ignore_new_hosts_until_first_hc', () => {
    const test = make(healthCheck(httpCheck), 1, { ignoreNewHostsUntilFirstHealthCheck: true })
    test.transport.status(200)
    test.registry.applyAssignment(assignment('c', [locality(manyEndpoints(3))]))
    expect(test.target().stats.main.membership_excluded.value).toBe(2)
    test.transport.silence()
    expect(test.target().stats.main.membership_excluded.value).toBe(1)
  })

  it('end an ejection when a check passes', () => {
    const test = make(healthCheck(httpCheck), 2, { outlier: { ...outlierDefaults, maxEjectionPercent: 100 } })
    test.transport.status(200)
    test.transport.status(200)
    const [host] = test.target().hosts
    for (let i = 0; i < 5; i++) test.target().recordResponse(host!, 500)
    expect(host!.healthy).toBe(false)
    test.target().stats.main.upstream_cx_total.value = 1
    pause(test)
    test.transport.status(200)
    expect(host!.healthy).toBe(true)
  })

  it('spread by jitter', () => {
    const starts = new Set<number>()
    for (let seed = 0; seed < 10; seed++) {
      const transport = new ScriptedTransport()
      const { registry, clock } = testRegistry({ healthCheckTransport: transport, random: seeded(seed) })
      registry.apply(cluster('c', { healthChecks: [healthCheck(httpCheck, { initialJitterMs: 10_000 })] }))
      registry.applyAssignment(assignment('c', [locality(manyEndpoints(1))]))
      let ms = 0
      for (; transport.waiting.length === 0 && ms < 10_000; ms += 100) clock.advance(100)
      starts.add(ms)
    }
    expect(starts.size).toBeGreaterThan(5)
  })

  it('leave nothing behind when the cluster goes', () => {
    const test = make(healthCheck(httpCheck), 3)
    test.registry.close()
    expect(test.transport.waiting).toEqual([])
    expect(test.clock.pending).toBe(0)
  })
})

describe('gRPC health checks', () => {
  it('pass on SERVING alone', () => {
    const test = make(healthCheck({ kind: 'grpc', serviceName: 's', authority: 'a.example', initialMetadata: [] }))
    expect(test.transport.answer({ kind: 'grpc', status: 0, serving: true, degraded: false }).authority).toBe('a.example')
    const [host] = test.target().hosts
    expect(host!.healthy).toBe(true)
    pause(test)
    test.transport.answer({ kind: 'grpc', status: 0, serving: false, degraded: false })
    expect(host!.healthy).toBe(false)
  })
})

describe('TCP health checks, on real sockets', () => {
  async function serve(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number; end(): void }> {
    const sockets = new Set<Socket>()
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => {})
      onConnection(socket)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const end = (): void => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    return { server, port: (server.address() as AddressInfo).port, end }
  }

  async function healthAfterFirstCheck(port: number, send: string | null, receive: string[]): Promise<boolean> {
    const { registry } = testRegistry()
    const check: HealthCheck['check'] = {
      kind: 'tcp',
      send: send === null ? null : Buffer.from(send),
      receive: receive.map(each => Buffer.from(each)),
    }
    await new Promise<void>(resolve => {
      registry.onWarm(() => resolve())
      registry.apply(cluster('c', { healthChecks: [healthCheck(check)] }))
      registry.applyAssignment(assignment('c', [locality([endpoint('127.0.0.1', port)])]))
    })
    const { healthy } = registry.get('c')!.hosts[0]!
    registry.close()
    return healthy
  }

  it('pass when the connection stands, with nothing to send or expect', async () => {
    const { port, end } = await serve(() => {})
    expect(await healthAfterFirstCheck(port, null, [])).toBe(true)
    end()
    expect(await healthAfterFirstCheck(port, null, [])).toBe(false)
  })

  it('pass when the expected bytes come in order, however split', async () => {
    const { port, end } = await serve(socket => {
      socket.on('data', data => {
        if (data.toString() !== 'PING') return
        socket.write('xx+PO')
        setImmediate(() => socket.write('NG..END'))
      })
    })
    expect(await healthAfterFirstCheck(port, 'PING', ['PONG', 'END'])).toBe(true)
    end()
  })

  it.each([
    [true, 1],
    [false, 3],
  ])('send on the connection of the check before where reuse_connection is %s', async (reuseConnection, connections) => {
    let opened = 0
    let pings = 0
    const { port, end } = await serve(socket => {
      opened++
      socket.on('data', () => {
        pings++
        socket.write('PONG')
      })
    })
    const { registry, clock } = testRegistry()
    const check = { kind: 'tcp', send: Buffer.from('PING'), receive: [Buffer.from('PONG')] } as const
    await new Promise<void>(resolve => {
      registry.onWarm(() => resolve())
      registry.apply(cluster('c', { healthChecks: [{ ...healthCheck(check), reuseConnection }] }))
      registry.applyAssignment(assignment('c', [locality([endpoint('127.0.0.1', port)])]))
    })
    const host = registry.get('c')!.hosts[0]!
    const { attempt, success, failure } = host.cluster.stats.healthCheck
    while (success.value + failure.value < 3) {
      // Time stands still while an exchange is under way: it never runs into its timeout.
      if (attempt.value === success.value + failure.value) clock.advance(500)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    expect([success.value, pings]).toEqual([3, 3])
    expect(opened).toBe(connections)
    expect(host.hasFlag(HealthFlag.FAILED_ACTIVE_HC)).toBe(false)
    registry.close()
    end()
  })

  it('without bytes to send make a new connection each time: a greeting comes once a connection', async () => {
    let opened = 0
    const { port, end } = await serve(socket => {
      opened++
      socket.write('220 ready')
    })
    const { registry, clock } = testRegistry()
    const check = { kind: 'tcp', send: null, receive: [Buffer.from('220')] } as const
    await new Promise<void>(resolve => {
      registry.onWarm(() => resolve())
      registry.apply(cluster('c', { healthChecks: [{ ...healthCheck(check), reuseConnection: true }] }))
      registry.applyAssignment(assignment('c', [locality([endpoint('127.0.0.1', port)])]))
    })
    const { attempt, success, failure } = registry.get('c')!.hosts[0]!.cluster.stats.healthCheck
    while (success.value + failure.value < 3) {
      if (attempt.value === success.value + failure.value) clock.advance(500)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    expect([success.value, opened]).toEqual([3, 3])
    registry.close()
    end()
  })

  it('fail when the peer closes without them', async () => {
    const { port, end } = await serve(socket => socket.end('END PONG'))
    expect(await healthAfterFirstCheck(port, null, ['PONG', 'END'])).toBe(false)
    end()
  })

  it('fail when the peer talks without end and never says them', async () => {
    const { port, end } = await serve(socket => {
      const chunk = Buffer.alloc(16 * 1024, 'x')
      const talk = (): void => {
        if (!socket.destroyed) socket.write(chunk, talk)
      }
      talk()
    })
    expect(await healthAfterFirstCheck(port, null, ['PONG'])).toBe(false)
    end()
  })
})

describe('several health checks of one cluster', () => {
  function makeTwo() {
    const transport = new ScriptedTransport()
    const test = testRegistry({ healthCheckTransport: transport })
    const checks = ['/live', '/ready'].map(path => ({
      ...healthCheck({ ...(httpCheck as Extract<HealthCheck['check'], { kind: 'http' }>), path }),
      unhealthyThreshold: 1,
      healthyThreshold: 1,
    }))
    test.registry.apply(cluster('c', { healthChecks: checks, healthyPanicPercent: 0 }))
    test.registry.applyAssignment(assignment('c', [locality(manyEndpoints(1))]))
    const path = ({ request: { check } }: ScriptedTransport['waiting'][number]) => (check.kind === 'http' ? check.path : '')
    /** The next round of both, with a status for each. */
    const round = (live: number, ready: number) => {
      for (let ms = 0; transport.waiting.length < 2 && ms < 200_000; ms += 500) test.clock.advance(500)
      expect(transport.waiting.map(path).sort()).toEqual(['/live', '/ready'])
      for (const entry of [...transport.waiting]) {
        transport.waiting = [entry, ...transport.waiting.filter(other => other !== entry)]
        transport.status(path(entry) === '/live' ? live : ready)
      }
    }
    return { ...test, transport, round, healthy: () => test.registry.get('c')?.pick(context(seeded(1))) !== null }
  }

  it('all run, and a host is healthy only while every one says so', () => {
    const test = makeTwo()
    expect(test.transport.waiting).toHaveLength(2)
    test.transport.status(200)
    // Warm only after the first result of every check.
    expect(test.registry.get('c')).toBeUndefined()
    test.transport.status(200)
    expect(test.healthy()).toBe(true)
    test.round(200, 503)
    expect(test.healthy()).toBe(false)
    test.round(503, 503)
    test.round(503, 200)
    expect(test.healthy()).toBe(false)
    test.round(200, 200)
    expect(test.healthy()).toBe(true)
    expect(test.registry.get('c')!.hosts[0]!.hasFlag(HealthFlag.FAILED_ACTIVE_HC)).toBe(false)
  })

  it('end with their host', () => {
    const test = makeTwo()
    test.transport.status(200)
    test.transport.status(503)
    expect(test.healthy()).toBe(false)
    test.registry.applyAssignment(assignment('c', []))
    test.clock.advance(200_000)
    expect(test.transport.waiting).toEqual([])
  })
})
