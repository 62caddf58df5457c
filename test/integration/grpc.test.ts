// gRPC through the real proxy process, with grpc-js as client and server: every kind of call, deadlines, statuses both ways, local replies
// as trailers-only responses, streams that outlive config updates, the grpc filters.
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource } from '../support/ads-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { MatrixClient, overHttp2, readAll } from '../support/protocol-matrix.js'
import {
  assignment,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const raw = {
  requestSerialize: (b: Buffer) => b,
  requestDeserialize: (b: Buffer) => b,
  responseSerialize: (b: Buffer) => b,
  responseDeserialize: (b: Buffer) => b,
}
const definition: grpc.ServiceDefinition = {
  unary: { path: '/test.Echo/Unary', requestStream: false, responseStream: false, ...raw },
  fail: { path: '/test.Echo/Fail', requestStream: false, responseStream: false, ...raw },
  hang: { path: '/test.Echo/Hang', requestStream: false, responseStream: false, ...raw },
  collect: { path: '/test.Echo/Collect', requestStream: true, responseStream: false, ...raw },
  pour: { path: '/test.Echo/Pour', requestStream: false, responseStream: true, ...raw },
  chat: { path: '/test.Echo/Chat', requestStream: true, responseStream: true, ...raw },
}
const EchoClient = grpc.makeGenericClientConstructor(definition, 'test.Echo')
type Call = (
  message: Buffer,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  done: (e: grpc.ServiceError | null, r?: Buffer) => void,
) => grpc.ClientUnaryCall
type Echo = grpc.Client & Record<string, (...args: never[]) => unknown>

let server: grpc.Server
let upstreamPort: number
let web: HttpOrigin
let proxy: ProxyProcess
let port: number
let bridgePort: number
let client: Echo
let hanging = 0
let cancelled = 0
let pouredMessages = 0
let lastTimeout: unknown

beforeAll(async () => {
  server = new grpc.Server()
  server.addService(definition, {
    unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      lastTimeout = call.metadata.get('x-saw-timeout')[0] ?? call.getDeadline()
      const trailer = new grpc.Metadata()
      trailer.set('x-trailer', 'end')
      trailer.set('bytes-bin', Buffer.from([0, 1, 255]))
      done(null, call.request, trailer)
    },
    fail: (_call: unknown, done: grpc.sendUnaryData<Buffer>) => done({ code: grpc.status.NOT_FOUND, details: 'nö: 100%' }),
    hang: (call: grpc.ServerUnaryCall<Buffer, Buffer>) => {
      hanging++
      call.on('cancelled', () => cancelled++)
    },
    collect: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      let total = 0
      call.on('data', chunk => (total += chunk.length))
      call.on('end', () => done(null, Buffer.from(String(total))))
    },
    pour: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      const count = Number(call.request.toString())
      pouredMessages = 0
      const more = () => {
        while (pouredMessages < count && !call.cancelled) {
          pouredMessages++
          if (!call.write(Buffer.alloc(16_384, 'x'))) {
            call.once('drain', more)
            return
          }
        }
        call.end()
      }
      more()
    },
    chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', chunk => call.write(chunk))
      call.on('end', () => call.end())
      call.on('cancelled', () => cancelled++)
    },
  })
  upstreamPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  )
  web = await new HttpOrigin((request, socket) => {
    const status = request.headers.get('x-want') ?? '403 Forbidden'
    socket.write(http('an HTML page', status, { 'content-type': 'text/html' }))
  }).listen()
  port = await freePort()
  bridgePort = await freePort()
  const closedPort = await freePort()
  const to = (prefix: string, cluster: string, more: object = {}) => ({ match: { prefix }, route: { cluster, ...more } })
  const match = (authority: string, route: object) => ({
    match: { prefix: '/', headers: [{ name: ':authority', string_match: { exact: authority } }] },
    route,
  })
  const routes = {
    name: 'r',
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          match('closed', { cluster: 'closed' }),
          match('nobody', { cluster: 'nobody' }),
          match('web', { cluster: 'web' }),
          match('slow', { cluster: 'grpc', timeout: '0.2s' }),
          match('deadline', { cluster: 'grpc', timeout: '0s', max_stream_duration: { grpc_timeout_header_max: '0.3s' } }),
          match('clamped', { cluster: 'grpc', timeout: '0s', max_stream_duration: { grpc_timeout_header_max: '20s' } }),
          match('capped', { cluster: 'grpc', timeout: '0s', max_stream_duration: { max_stream_duration: '0.3s' } }),
          to('/test.Echo/', 'grpc', { timeout: '0s' }),
        ],
      },
    ],
  }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('in', port, [
            hcm({ route_config: routes }, [
              typed('envoy.filters.http.grpc_stats', 'filters.http.grpc_stats.v3.FilterConfig', {
                stats_for_all_methods: true,
                enable_upstream_stats: true,
              }),
              router,
            ]),
          ]),
          listener('bridge', bridgePort, [
            hcm({ stat_prefix: 'bridge', route_config: routes }, [
              typed('envoy.filters.http.grpc_http1_bridge', 'filters.http.grpc_http1_bridge.v3.Config'),
              router,
            ]),
          ]),
        ],
        clusters: [
          staticCluster('grpc', upstreamPort, overHttp2),
          staticCluster('closed', closedPort, overHttp2),
          { ...staticCluster('nobody', 1, overHttp2), load_assignment: assignment('nobody', []) },
          staticCluster('web', web.port),
        ],
      },
    },
  })
  client = connect()
})

afterAll(async () => {
  client.close()
  server.forceShutdown()
  await web.close()
  await stopAll()
})

function connect(to = port, authority?: string): Echo {
  return new EchoClient(`127.0.0.1:${to}`, grpc.credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    ...(authority === undefined ? {} : { 'grpc.default_authority': authority }),
  }) as Echo
}

interface Outcome {
  readonly code: number
  readonly details: string
  readonly body: string
  readonly trailers: grpc.Metadata
}

function unary(
  method: string,
  options: grpc.CallOptions = {},
  authority?: string,
  metadata = new grpc.Metadata(),
  message = 'hi',
): Promise<Outcome> {
  const through = authority === undefined ? client : connect(port, authority)
  return new Promise(resolve => {
    let body = ''
    const call = (through[method] as Call).call(through, Buffer.from(message), metadata, options, (_error, reply) => {
      body = reply?.toString() ?? ''
    })
    call.on('status', (status: grpc.StatusObject) => {
      setImmediate(() => {
        if (through !== client) through.close()
        resolve({ code: status.code, details: status.details, body, trailers: status.metadata })
      })
    })
  })
}

describe('calls', () => {
  it('carries a unary call with its trailers', async () => {
    const outcome = await unary('unary')
    expect([outcome.code, outcome.body, outcome.trailers.get('x-trailer')]).toEqual([0, 'hi', ['end']])
    expect(outcome.trailers.get('bytes-bin')).toEqual([Buffer.from([0, 1, 255])])
  })

  it('carries an error status with its message', async () => {
    expect(await unary('fail')).toMatchObject({ code: grpc.status.NOT_FOUND, details: 'nö: 100%' })
  })

  it('streams from the client', async () => {
    const total = await new Promise<string>((resolve, reject) => {
      const call = (client['collect'] as (done: (e: Error | null, r?: Buffer) => void) => grpc.ClientWritableStream<Buffer>).call(
        client,
        (error, reply) => (error ? reject(error) : resolve(reply!.toString())),
      )
      for (let i = 0; i < 200; i++) call.write(Buffer.alloc(16_384))
      call.end()
    })
    expect(total).toBe(String(200 * 16_384))
  })

  it('streams from the server, and stops the server while the client does not read', async () => {
    // Not grpc-js here: its client reads on whatever the application does.
    const c = new MatrixClient(2, port)
    const stream = c.http2.request({ ':method': 'POST', ':path': '/test.Echo/Pour', 'content-type': 'application/grpc', te: 'trailers' })
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, 4]), Buffer.from('6000')]))
    let same = 0
    let last = -1
    await until('the server stops', () => {
      same = pouredMessages === last ? same + 1 : 0
      last = pouredMessages
      return same >= 20 && pouredMessages > 0
    })
    expect(pouredMessages).toBeLessThan(3000)
    expect((await readAll(stream)).length).toBe(6000 * (16_384 + 5))
    c.close()
  })

  it('streams both ways, message by message', async () => {
    const call = (client['chat'] as () => grpc.ClientDuplexStream<Buffer, Buffer>).call(client)
    const got: string[] = []
    const done = new Promise<void>((resolve, reject) => {
      call.on('data', chunk => {
        got.push(chunk.toString())
        if (got.length < 20) call.write(Buffer.from(`m${got.length}`))
        else call.end()
      })
      call.on('end', resolve)
      call.on('error', reject)
    })
    call.write(Buffer.from('m0'))
    await done
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => `m${i}`))
  })

  it('tells the server when the client cancels', async () => {
    const before = [hanging, cancelled] as const
    const call = (client['hang'] as Call).call(client, Buffer.from(''), new grpc.Metadata(), {}, () => {})
    await until('the call reaches the server', () => hanging > before[0])
    call.cancel()
    await until('the server sees the cancellation', () => cancelled > before[1])
  })
})

describe('deadlines', () => {
  it('hands grpc-timeout on', async () => {
    await unary('unary', { deadline: Date.now() + 60_000 })
    expect(Number(lastTimeout) - Date.now()).toBeGreaterThan(50_000)
  })

  it('clamps grpc-timeout to grpc_timeout_header_max, answers DEADLINE_EXCEEDED and cancels upstream', async () => {
    const before = cancelled
    const outcome = await unary('hang', { deadline: Date.now() + 60_000 }, 'deadline')
    expect(outcome.code).toBe(grpc.status.DEADLINE_EXCEEDED)
    await until('the server sees the cancellation', () => cancelled > before)
  })

  it('max_stream_duration ends a call with DEADLINE_EXCEEDED', async () => {
    expect((await unary('hang', {}, 'capped')).code).toBe(grpc.status.DEADLINE_EXCEEDED)
  })

  it('tells the server the clamped timeout', async () => {
    await unary('unary', { deadline: Date.now() + 60_000 }, 'clamped')
    expect(Number(lastTimeout) - Date.now()).toBeLessThan(20_500)
  })
})

describe('statuses of our own answers', () => {
  it('no route: UNIMPLEMENTED', async () => {
    const Other = grpc.makeGenericClientConstructor({ x: { ...definition['unary']!, path: '/other.Service/X' } }, 'other.Service')
    const other = new Other(`127.0.0.1:${port}`, grpc.credentials.createInsecure()) as Echo
    const code = await new Promise<number>(resolve =>
      (other['x'] as Call).call(other, Buffer.from(''), new grpc.Metadata(), {}, error => resolve(error?.code ?? 0)),
    )
    other.close()
    expect(code).toBe(grpc.status.UNIMPLEMENTED)
  })

  it('no endpoint, no connection: UNAVAILABLE, with the reason', async () => {
    const none = await unary('unary', {}, 'nobody')
    expect([none.code, none.details]).toEqual([grpc.status.UNAVAILABLE, 'no healthy upstream'])
    const closed = await unary('unary', {}, 'closed')
    expect(closed.code).toBe(grpc.status.UNAVAILABLE)
    expect(closed.details).toContain('upstream connect error or disconnect/reset before headers. reset reason: remote connection failure')
  })

  it('route timeout: UNAVAILABLE (504), as Envoy maps it', async () => {
    expect(await unary('hang', {}, 'slow')).toMatchObject({ code: grpc.status.UNAVAILABLE, details: 'upstream request timeout' })
  })

  it('is a trailers-only response', async () => {
    const c = new MatrixClient(2, port)
    const reply = await c.ask({
      method: 'POST',
      path: '/nowhere/X',
      headers: { 'content-type': 'application/grpc', te: 'trailers' },
      body: Buffer.from([0, 0, 0, 0, 0]),
    })
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/grpc')
    expect(reply.headers['grpc-status']).toBe('12')
    expect([reply.body.length, Object.keys(reply.trailers)]).toEqual([0, []])
    c.close()
  })
})

describe('an upstream that does not speak gRPC', () => {
  it.each([
    ['401 Unauthorized', grpc.status.UNAUTHENTICATED],
    ['403 Forbidden', grpc.status.PERMISSION_DENIED],
    ['404 Not Found', grpc.status.UNIMPLEMENTED],
    ['429 Too Many Requests', grpc.status.UNAVAILABLE],
    ['502 Bad Gateway', grpc.status.UNAVAILABLE],
    ['503 Service Unavailable', grpc.status.UNAVAILABLE],
  ])('%s reaches the client as a status', async (status, code) => {
    const metadata = new grpc.Metadata()
    metadata.set('x-want', status)
    expect((await unary('unary', {}, 'web', metadata)).code).toBe(code)
  })
})

describe('filters', () => {
  it('grpc_stats counts calls and messages by method', async () => {
    await unary('fail')
    const stats = await proxy.stats()
    expect(stats.get('cluster.grpc.grpc.test.Echo.Unary.0')).toBeGreaterThan(0)
    expect(stats.get('cluster.grpc.grpc.test.Echo.Unary.success')).toBeGreaterThan(0)
    expect(stats.get('cluster.grpc.grpc.test.Echo.Fail.5')).toBeGreaterThan(0)
    expect(stats.get('cluster.grpc.grpc.test.Echo.Fail.failure')).toBeGreaterThan(0)
    expect(stats.get('cluster.grpc.grpc.test.Echo.Chat.request_message_count')).toBe(20)
    expect(stats.get('cluster.grpc.grpc.test.Echo.Chat.response_message_count')).toBe(20)
  })

  it('grpc_http1_bridge serves HTTP/1 clients, with an HTTP status for a failed call', async () => {
    const c = new MatrixClient(1, bridgePort)
    const frame = Buffer.from([0, 0, 0, 0, 2, 104, 105])
    const ask = (path: string) => c.ask({ method: 'POST', path, headers: { 'content-type': 'application/grpc' }, body: frame })
    const good = await ask('/test.Echo/Unary')
    expect([good.status, good.headers['grpc-status']]).toEqual([200, '0'])
    expect(good.body.equals(frame)).toBe(true)
    const bad = await ask('/test.Echo/Fail')
    expect([bad.status, bad.headers['grpc-status']]).toEqual([503, '5'])
    c.close()
  })
})

describe('config updates', () => {
  it('leave a long-lived stream alone: routes, endpoints, cluster and listener change under it (envoy#35259)', async () => {
    const ads = await new AdsFixture().start()
    const here = await freePort()
    const config = (n: number) => ({
      listeners: [listener('in', here, [hcm({ stat_prefix: `v${n}`, rds: { route_config_name: 'r', config_source: adsSource } })])],
      routes: [
        {
          name: 'r',
          virtual_hosts: [
            {
              name: `v${n}`,
              domains: ['*'],
              routes: [{ match: { prefix: '/' }, route: { cluster: 'grpc', timeout: n === 0 ? '0s' : '1s' } }],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'grpc',
          type: 'EDS',
          connect_timeout: `${1 + n}s`,
          eds_cluster_config: { eds_config: adsSource },
          ...overHttp2,
        },
      ],
      endpoints: [assignment('grpc', [upstreamPort])],
    })
    ads.set(config(0))
    const dynamic = await ProxyProcess.start({ bootstrap: ads.bootstrap() })
    await ads.synced()
    const through = connect(here)
    const call = (through['chat'] as () => grpc.ClientDuplexStream<Buffer, Buffer>).call(through)
    const got: string[] = []
    let failed: Error | null = null
    call.on('data', chunk => got.push(chunk.toString()))
    call.on('error', error => (failed = error))
    call.write(Buffer.from('0'))
    await until('the first echo', () => got.length === 1)
    for (let n = 1; n <= 4; n++) {
      await ads.apply(config(n))
      call.write(Buffer.from(String(n)))
      await until(`echo ${n}`, () => got.length === n + 1 || failed)
      expect(failed).toBeNull()
    }
    call.end()
    await until('the end', () => call.readableEnded || failed)
    expect(got).toEqual(['0', '1', '2', '3', '4'])
    through.close()
    await dynamic.kill()
    ads.kill()
  })
})
