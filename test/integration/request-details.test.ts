// What goes to the client and to the origin, byte by byte, where Envoy has a rule of its own. Each value below is written down as the
// real Envoy answers, and is asked of it too where ENVOY_BIN names one.
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, ProxyProcess, proxyBin, stopAll } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const PROXIES: readonly (readonly [string, string])[] = [
  ['outrigger', proxyBin],
  ...(envoyBin === undefined ? [] : [['envoy', envoyBin] as const]),
]
const T = 'type.googleapis.com/envoy.extensions.filters.'
const ROUTER = { name: 'envoy.filters.http.router', typed_config: { '@type': `${T}http.router.v3.Router` } }
const BYTES = Buffer.from([0x1f, 0x8b, 0x80, 0x00, 0xff, 0xe9])

const add = (key: string, value = '1') => ({ header: { key, value }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' })
const filter = (name: string, type: string, fields: object = {}) => ({ name, typed_config: { '@type': T + type, ...fields } })
const direct = (status: number, body?: object) => ({ direct_response: { status, ...(body === undefined ? {} : { body }) } })
const hcm = (routes: object[], fields: object = {}, host: object = {}) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type': `${T}network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    http_filters: [ROUTER],
    route_config: { name: 't', response_headers_to_add: [add('x-table')], virtual_hosts: [{ name: 'v', domains: ['*'], routes, ...host }] },
    ...fields,
  },
})
const listener = (name: string, port: number, chain: object) => ({
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: port } },
  filter_chains: [{ filters: [chain] }],
})
const cluster = (name: string, port: number, more: object = {}) => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] }],
  },
  ...more,
})
const PRESERVE = {
  http_protocol_options: {
    header_key_format: {
      stateful_formatter: {
        name: 'preserve_case',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
        },
      },
    },
  },
}
const rbac = (action: string) => {
  const policy = (name: string, exact: string, more: object = {}) => ({
    permissions: [{ header: { name, string_match: { exact }, ...more } }],
    principals: [{ any: true }],
  })
  const policies = { joined: policy('k', 'k1,k9'), single: policy('k', 'k2'), inverted: policy('n', 'n1', { invert_match: true }) }
  return filter('rbac', 'http.rbac.v3.RBAC', { rules: { action, policies }, track_per_rule_stats: true })
}
const healthCheck = (name: string, exact: string, needs: string) =>
  filter(name, 'http.health_check.v3.HealthCheck', {
    pass_through_mode: false,
    headers: [{ name: ':path', string_match: { exact } }],
    cluster_min_healthy_percentages: { [needs]: { value: 50 } },
  })
const corsPolicy = (exact: string) => ({
  'envoy.filters.http.cors': {
    '@type': `${T}http.cors.v3.CorsPolicy`,
    allow_origin_string_match: [{ exact }],
    allow_methods: 'GET',
    allow_credentials: true,
  },
})

interface World {
  readonly proxy: ProxyProcess
  readonly ports: Record<
    'main' | 'tls' | 'schemed' | 'via' | 'cased' | 'allow' | 'deny' | 'web' | 'bridge' | 'counted' | 'probe' | 'agent',
    number
  >
  /** Requests that the shadow origin got. */
  readonly shadow: string[]
}

/** Echoes the request's head as the body of its answer; says nothing at all to /silent, and begins an answer to /stall. */
function origin(seen: string[] = []): Promise<net.Server> {
  const server = net.createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      const text = data.toString('latin1')
      seen.push(text)
      if (text.startsWith('GET /silent')) return
      if (text.startsWith('GET /stall')) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na')
        return
      }
      if (text.startsWith('HEAD ')) {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        return
      }
      if (text.startsWith('POST /html'))
        socket.write('HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nsad!')
      else socket.write(`HTTP/1.1 200 OK\r\nVia: 1.1 behind\r\nX-Odd-CASE: v\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
    })
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const servers: net.Server[] = []
async function start(bin: string): Promise<World> {
  const shadow: string[] = []
  servers.push(await origin(), await origin(shadow))
  const [originPort, shadowPort] = servers.slice(-2).map(server => (server.address() as net.AddressInfo).port) as [number, number]
  const ports = { main: 0, tls: 0, schemed: 0, via: 0, cased: 0, allow: 0, deny: 0, web: 0, bridge: 0, counted: 0, probe: 0, agent: 0 }
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort()
  const to = (name: string, more: object = {}) => ({ route: { cluster: name, ...more } })
  const any = (action: object) => ({ match: { prefix: '/' }, ...action })
  const at = (path: string, action: object, more: object = {}) => ({ match: { path }, ...action, ...more })
  const grpc = [at('/html', to('origin')), at('/refused', direct(403, { inline_string: 'no way' })), at('/empty', direct(404))]
  const bootstrap = {
    node: { id: 'n1', cluster: 'c1' },
    static_resources: {
      clusters: [
        cluster('origin', originPort),
        cluster('shadow', shadowPort),
        cluster('cased', originPort, {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: PRESERVE,
            },
          },
        }),
      ],
      listeners: [
        listener(
          'main',
          ports.main,
          hcm(
            [
              at('/bytes', direct(200, { inline_bytes: BYTES.toString('base64') })),
              at('/text', direct(200, { inline_string: 'é→' })),
              at('/mapped', direct(418)),
              at('/typed', direct(200, { inline_string: 'x' }), { response_headers_to_add: [add('content-type', 'a/b')] }),
              at('/not-modified', direct(304, { inline_string: 'zz' })),
              at('/stall', to('origin', { retry_policy: { retry_on: '5xx', per_try_idle_timeout: '0.1s' } })),
              at('/formatted', direct(419, { inline_bytes: BYTES.toString('base64') })),
              at('/mirror', to('origin', { request_mirror_policies: [{ cluster: 'shadow' }] })),
              at('/silent', to('origin', { timeout: '0.3s', upgrade_configs: [{ upgrade_type: 'websocket' }] })),
              at('/star', to('origin'), { response_headers_to_add: [add('x-route')], typed_per_filter_config: corsPolicy('*') }),
              any(to('origin')),
            ],
            {
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              http_filters: [filter('envoy.filters.http.cors', 'http.cors.v3.Cors'), ROUTER],
              local_reply_config: {
                mappers: [
                  { filter: status(418), body: { inline_bytes: BYTES.toString('base64') } },
                  { filter: status(419), body_format_override: { text_format_source: { inline_string: '<%LOCAL_REPLY_BODY%>' } } },
                ],
              },
            },
          ),
        ),
        listener('tls', ports.tls, hcm([any(to('origin'))], {}, { require_tls: 'ALL', response_headers_to_add: [add('x-vhost')] })),
        listener(
          'schemed',
          ports.schemed,
          hcm([any(to('origin'))], { scheme_header_transformation: { scheme_to_overwrite: 'https' } }, { require_tls: 'ALL' }),
        ),
        listener('via', ports.via, hcm([at('/direct', direct(200)), any(to('origin'))], { via: 'edge' })),
        listener('cased', ports.cased, hcm([any(to('cased'))], { via: 'edge', ...PRESERVE })),
        listener('allow', ports.allow, hcm([any(direct(200))], { stat_prefix: 'allow', http_filters: [rbac('ALLOW'), ROUTER] })),
        listener('deny', ports.deny, hcm([any(direct(200))], { stat_prefix: 'deny', http_filters: [rbac('DENY'), ROUTER] })),
        listener('web', ports.web, hcm(grpc, { http_filters: [filter('web', 'http.grpc_web.v3.GrpcWeb'), ROUTER] })),
        listener('bridge', ports.bridge, hcm(grpc, { http_filters: [filter('bridge', 'http.grpc_http1_bridge.v3.Config'), ROUTER] })),
        listener(
          'counted',
          ports.counted,
          hcm(
            [
              at('/silent-idle', to('origin', { idle_timeout: '0.1s' })),
              at('/silent-long', to('origin', { max_stream_duration: { max_stream_duration: '0.1s' } })),
              at('/silent', to('origin', { timeout: '0.1s' })),
              any(to('origin')),
            ],
            {},
            { include_attempt_count_in_response: true },
          ),
        ),
        listener(
          'probe',
          ports.probe,
          hcm([{ match: { prefix: '/old' }, redirect: { prefix_rewrite: '/new' } }, any(to('origin'))], {
            stat_prefix: 'probe',
            http_filters: [healthCheck('well', '/healthz', 'origin'), healthCheck('ill', '/lost', 'nobody'), ROUTER],
            local_reply_config: {
              body_format: { text_format_source: { inline_string: '%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %REQ(:PATH)%' } },
            },
          }),
        ),
        listener('agent', ports.agent, hcm([any(to('origin'))], { add_user_agent: true })),
      ],
    },
  }
  const flags = bin === proxyBin ? [] : ['--use-dynamic-base-id']
  return { proxy: await ProxyProcess.start({ bootstrap, bin, flags }), ports, shadow }
}

function status(value: number): object {
  return { status_code_filter: { comparison: { op: 'EQ', value: { default_value: value, runtime_key: 'none' } } } }
}

interface Answer {
  readonly status: number
  /** As on the wire. */
  readonly lines: readonly string[]
  readonly body: Buffer
  /** By lower-case name; several are joined. */
  header(name: string): string | undefined
}

/** One exchange on a connection of its own. */
function exchange(port: number, text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let seen = Buffer.alloc(0)
    socket.on('error', reject)
    socket.on('data', data => {
      seen = Buffer.concat([seen, data])
      const end = seen.indexOf('\r\n\r\n')
      if (end === -1) return
      const [first, ...lines] = seen.toString('latin1', 0, end).split('\r\n')
      const header = (name: string) => {
        const values = lines.filter(line => line.toLowerCase().startsWith(`${name}: `)).map(line => line.slice(name.length + 2))
        return values.length === 0 ? undefined : values.join(',')
      }
      const body = seen.subarray(end + 4)
      if (body.length < Number(header('content-length') ?? 0)) return
      socket.destroy()
      resolve({ status: Number(first!.split(' ')[1]), lines, body, header })
    })
    socket.write(text, 'latin1')
  })
}

const get = (port: number, path: string, ...fields: string[]) =>
  exchange(port, [`GET ${path} HTTP/1.1`, 'Host: a.test', ...fields, '', ''].join('\r\n'))
/** Of a request that the origin echoed. */
const sent = (answer: Answer, name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(answer.body.toString('latin1'))?.[1]

afterAll(async () => {
  await stopAll()
  for (const server of servers) server.close()
})

describe.each(PROXIES)('%s', (name, bin) => {
  let world: World
  beforeAll(async () => {
    world = await start(bin)
  })

  describe('bodies are bytes', () => {
    it.each([
      ['direct_response with bytes that are no text', '/bytes', BYTES],
      ['direct_response with text', '/text', Buffer.from('é→')],
      ['a local_reply_config mapper', '/mapped', BYTES],
      ['a body_format around a body', '/formatted', Buffer.concat([Buffer.from('<'), BYTES, Buffer.from('>')])],
    ])('%s', async (_name, path, body) => {
      const answer = await get(world.ports.main, path)
      expect([answer.body.toString('hex'), answer.header('content-length')]).toEqual([body.toString('hex'), String(body.length)])
    })
  })

  it('CORS: a matcher that matches a literal * allows every origin', async () => {
    const answer = await get(world.ports.main, '/star', 'Origin: http://elsewhere')
    expect(answer.header('access-control-allow-origin')).toBe('http://elsewhere')
    expect([answer.header('x-route'), answer.header('x-table')]).toEqual(['1', '1'])
  })

  it('CORS: the answer to a preflight takes no response headers of the route, nor of anything above', async () => {
    const answer = await exchange(
      world.ports.main,
      'OPTIONS /star HTTP/1.1\r\nHost: a.test\r\nOrigin: http://elsewhere\r\nAccess-Control-Request-Method: GET\r\n\r\n',
    )
    expect([answer.status, answer.header('access-control-allow-methods'), answer.header('access-control-allow-credentials')]).toEqual([
      200,
      'GET',
      'true',
    ])
    expect([answer.header('x-route'), answer.header('x-table')]).toEqual([undefined, undefined])
  })

  it.each(['a.test', 'a.test:80', 'a.test:8080'])('require_tls keeps the host %s as it is, and adds no headers', async host => {
    const answer = await exchange(world.ports.tls, `GET /x?y HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect([answer.status, answer.header('location')]).toEqual([301, `https://${host}/x?y`])
    expect([answer.header('x-vhost'), answer.header('x-table')]).toEqual([undefined, undefined])
  })

  it('scheme_to_overwrite is what x-forwarded-proto says, and require_tls goes by it', async () => {
    const answer = await get(world.ports.schemed, '/x', 'X-Forwarded-Proto: http')
    expect([answer.status, sent(answer, 'x-forwarded-proto')]).toEqual([200, 'https'])
  })

  it('a mirrored request comes from this proxy, and from inside', async () => {
    world.shadow.length = 0
    await get(world.ports.main, '/mirror', 'X-Forwarded-For: 203.0.113.7')
    await expect.poll(() => world.shadow.length).toBe(1)
    expect(world.shadow[0]).toMatch(/^x-forwarded-for: 203\.0\.113\.7,(?!127\.)[0-9a-f.:]+\r$/im)
    expect(world.shadow[0]).toMatch(/^x-envoy-internal: true\r$/im)
    expect(world.shadow[0]).toMatch(/^host: a\.test-shadow\r$/im)
    await expect.poll(() => world.proxy.stat('cluster.shadow.internal.upstream_rq_200')).toBe(1)
  })

  it('via is one list with what came before, both ways, and stands on refusals too', async () => {
    const answer = await get(world.ports.via, '/x', 'Via: 1.0 before')
    expect([answer.header('via'), sent(answer, 'via')]).toEqual(['1.1 behind, edge', '1.0 before, edge'])
    expect((await get(world.ports.via, '/direct')).header('via')).toBe('edge')
    const broken = await exchange(world.ports.via, 'GET /x HTTP/1.1\r\nHost: a.test\r\nbad header\r\n\r\n')
    const long = await get(world.ports.via, '/x', `x: ${'y'.repeat(70_000)}`)
    expect([broken.status, broken.header('via'), long.status, long.header('via')]).toEqual([400, 'edge', 431, 'edge'])
  })

  it('with preserved header case what others wrote stays, and what we add is lower case', async () => {
    const answer = await get(world.ports.cased, '/x', 'X-MiXed: 1')
    expect(answer.lines).toContain('X-Odd-CASE: v')
    expect(answer.lines).toContain('Via: 1.1 behind, edge')
    expect(answer.lines.map(line => line.split(':')[0])).toEqual(
      expect.arrayContaining(['server', 'date', 'x-envoy-upstream-service-time', 'x-table']),
    )
    const request = answer.body.toString('latin1')
    expect(request).toMatch(/^X-MiXed: 1\r$/m)
    expect(request).toMatch(/^x-forwarded-proto: http\r$/m)
  })

  describe('RBAC on a field that comes several times', () => {
    const ask = async (port: number, ...fields: string[]) => (await get(port, '/', ...fields)).status

    it('ALLOW: a single value is enough, and a list that nobody sent is not', async () => {
      const { allow } = world.ports
      const quiet = 'n: n1'
      expect(await ask(allow, quiet, 'k: k1,k9')).toBe(200)
      expect(await ask(allow, quiet, 'k: k1', 'k: k9')).toBe(403)
      expect(await ask(allow, quiet, 'k: k1', 'k: k2')).toBe(200)
      // Inverted last: one value that matches is enough for the rule not to.
      expect(await ask(allow, 'n: n2')).toBe(200)
      expect(await ask(allow, 'n: n1', 'n: n2')).toBe(403)
    })

    it('DENY: a single value, inverted last', async () => {
      const { deny } = world.ports
      expect(await ask(deny, 'n: n1', 'k: k1', 'k: k2')).toBe(403)
      expect(await ask(deny, 'n: n1', 'k: k1,k9')).toBe(403)
      expect(await ask(deny, 'n: n1', 'n: n2')).toBe(200)
      expect(await ask(deny, 'n: n2')).toBe(403)
      // The joined list denies here alone (docs/differences.md).
      expect(await ask(deny, 'n: n1', 'k: k1', 'k: k9')).toBe(name === 'envoy' ? 200 : 403)
    })

    it('each denial counts once under its policy', async () => {
      const stat = async () =>
        Number(/policy\.single\.denied: (\d+)/.exec((await world.proxy.get('/stats?filter=deny.*policy')).body)?.[1] ?? 0)
      const before = await stat()
      await ask(world.ports.deny, 'n: n1', 'k: k2')
      await expect.poll(stat).toBe(before + 1)
    })
  })

  it('the route timeout of an upgrade that nobody answers is a 504, and counts as one', async () => {
    const answer = await get(
      world.ports.main,
      '/silent',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: x',
      'Sec-WebSocket-Version: 13',
    )
    expect(answer.status).toBe(504)
    const stats = async () => (await world.proxy.get('/stats?filter=upstream_rq_504|upstream_rq_timeout|upgrades')).body
    await expect.poll(stats).toMatch(/^cluster\.origin\.upstream_rq_504: 1$/m)
    expect(await stats()).toMatch(/^cluster\.origin\.upstream_rq_timeout: 1$/m)
    expect(await stats()).toMatch(/^http\.in\.downstream_cx_upgrades_total: 1$/m)
    await expect.poll(stats).toMatch(/^http\.in\.downstream_cx_upgrades_active: 0$/m)
  })

  it('an upstream connection that a timeout closes is closed by us, with a request on it', async () => {
    const ended = ['destroy_local', 'destroy_local_with_active_rq', 'destroy_with_active_rq', 'destroy_remote']
    const read = () => Promise.all(ended.map(stat => world.proxy.stat(`cluster.origin.upstream_cx_${stat}`)))
    const before = await read()
    expect((await get(world.ports.main, '/silent')).status).toBe(504)
    await expect.poll(async () => (await read()).map((value, i) => value - before[i]!)).toEqual([1, 1, 1, 0])
    // There are no resets of streams in HTTP/1.
    expect(await world.proxy.stat('cluster.origin.upstream_rq_tx_reset')).toBe(0)
  })

  it('a client that leaves resets its request, and its connection ends with one', async () => {
    const counters = ['downstream_rq_rx_reset', 'downstream_cx_destroy_active_rq', 'downstream_cx_destroy_remote_active_rq']
    const read = () => Promise.all(counters.map(stat => world.proxy.stat(`http.in.${stat}`)))
    const before = await read()
    const socket = net.connect(world.ports.main, '127.0.0.1')
    socket.write('GET /silent-for-long HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await expect.poll(() => world.proxy.stat('http.in.downstream_rq_active')).toBe(1)
    socket.end()
    await expect.poll(async () => (await read()).map((value, i) => value - before[i]!)).toEqual([1, 1, 1])
  })

  it('the attempt count is told by answers of the router, not by those of the connection manager', async () => {
    const count = async (path: string) => {
      const answer = await get(world.ports.counted, path)
      return [answer.status, answer.header('x-envoy-attempt-count')]
    }
    expect(await Promise.all(['/x', '/silent', '/silent-idle', '/silent-long'].map(count))).toEqual([
      [200, '1'],
      [504, '1'],
      [504, undefined],
      [504, undefined],
    ])
  })

  it('a refused HTTP/1.0 is told to upgrade', async () => {
    const answer = await exchange(world.ports.main, 'GET /x HTTP/1.0\r\nHost: a\r\n\r\n')
    expect([answer.status, answer.body.toString(), answer.header('connection')]).toEqual([426, 'Upgrade Required', 'close'])
  })

  it('a content-type of the route is for answers with a body, not for gRPC clients', async () => {
    const type = async (...fields: string[]) => (await get(world.ports.main, '/typed', ...fields)).header('content-type')
    expect([await type(), await type('Content-Type: application/grpc')]).toEqual(['a/b', 'application/grpc'])
  })

  it('health_check counts what it answered, and says why', async () => {
    const ask = async (path: string) => {
      const answer = await get(world.ports.probe, path)
      return [answer.status, answer.body.toString()]
    }
    expect(await ask('/healthz')).toEqual([200, 'health_check_ok_cluster_healthy - /healthz'])
    expect(await ask('/lost')).toEqual([503, 'health_check_failed_no_cluster_found LH /lost'])
    const stats = (await world.proxy.get('/stats?filter=^http.probe.health_check')).body.trim().split('\n').sort()
    expect(stats.map(line => line.replace('http.probe.health_check.', ''))).toEqual([
      'cached_response: 0',
      'degraded: 0',
      'failed: 1',
      'failed_cluster_empty: 0',
      'failed_cluster_not_found: 1',
      'failed_cluster_unhealthy: 0',
      'ok: 1',
      'request_total: 2',
    ])
    await expect.poll(() => world.proxy.stat('http.probe.tracing.health_check')).toBe(2)
  })

  // Where the two differ: docs/differences.md.
  const envoys = <T>(value: T, own: T): T => (name === 'envoy' ? value : own)

  it('a 304 by direct_response has no body behind it', async () => {
    const { main } = world.ports
    const both = await exchange(main, 'GET /not-modified HTTP/1.1\r\nHost: a\r\n\r\nGET /text HTTP/1.1\r\nHost: a\r\n\r\n')
    expect([both.status, both.body.toString().slice(0, 2)]).toEqual([304, envoys('zz', 'HT')])
  })

  it('the path of a redirect is the one that came', async () => {
    const answer = await get(world.ports.probe, '/old/x')
    expect([answer.header('location'), answer.body.toString()]).toEqual([
      'http://a.test/new/x',
      `direct_response - ${envoys('/new/x', '/old/x')}`,
    ])
  })

  it('an answer to HEAD has no Transfer-Encoding', async () => {
    const answer = await exchange(world.ports.main, 'HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n')
    expect([answer.status, answer.header('transfer-encoding')]).toEqual([200, envoys<string | undefined>('chunked', undefined)])
  })

  it('add_user_agent names cluster and node, whatever the client says they are, and keeps its user-agent', async () => {
    const said = async (...fields: string[]) => {
      const answer = await get(world.ports.agent, '/x', ...fields)
      return ['user-agent', 'x-envoy-downstream-service-cluster', 'x-envoy-downstream-service-node'].map(field => sent(answer, field))
    }
    expect(await said()).toEqual(['c1', 'c1', 'n1'])
    expect(await said('User-Agent: ')).toEqual(['c1', 'c1', 'n1'])
    expect(await said('User-Agent: me', 'X-Envoy-Downstream-Service-Cluster: z')).toEqual(['me', 'c1', 'n1'])
  })

  it('a QUERY says of what type it is (RFC 10008)', async () => {
    const query = async (fields: string) => {
      const answer = await exchange(world.ports.main, `QUERY /x HTTP/1.1\r\nHost: a\r\n${fields}Content-Length: 2\r\n\r\nhi`)
      return [answer.status, answer.body.toString()]
    }
    expect(await query('')).toEqual([400, ''])
    expect(await query('Content-Type: \r\n')).toEqual([400, ''])
    expect((await query('Content-Type: a/b\r\n'))[0]).toBe(200)
  })

  it('an HTTP version that is none of ours is 400, in words that local_reply_config does not change', async () => {
    const answer = await exchange(world.ports.probe, 'GET /x HTTP/1.2\r\nHost: a\r\n\r\n')
    expect(answer.status).toBe(envoys(426, 400))
    if (name !== 'envoy') expect(answer.body.toString()).toBe('the request line must end with HTTP/1.1 or HTTP/1.0')
  })

  it.skipIf(name === 'envoy')('per_try_idle_timeout behind the head of a response breaks it off', async () => {
    const socket = net.connect(world.ports.main, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /stall HTTP/1.1\r\nHost: a\r\n\r\n')
    let seen = ''
    socket.on('data', data => (seen += data))
    await new Promise(resolve => socket.on('close', resolve))
    expect(seen).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\na$/)
  })

  describe('grpc_web: answers that are no gRPC', () => {
    const post = (port: number, path: string, type: string) =>
      exchange(port, `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0`)
    const said = ({ status, header, body }: Answer) => [
      status,
      header('content-type'),
      header('grpc-status'),
      header('grpc-message'),
      body.length,
    ]

    it.each([
      ['an error page of the origin', '/html', [503, 'application/grpc-web+proto', '14', 'sad!', 0]],
      ['a refusal of our own', '/refused', [403, 'application/grpc-web+proto', '7', 'no way', 0]],
      ['a refusal without a body', '/empty', [404, 'application/grpc-web+proto', undefined, undefined, 0]],
    ])('%s', async (_name, path, expected) => {
      expect(said(await post(world.ports.web, path, 'application/grpc-web+proto'))).toEqual(expected)
    })

    it('grpc_http1_bridge leaves our refusals as gRPC, and error pages as they are', async () => {
      expect(said(await post(world.ports.bridge, '/refused', 'application/grpc'))).toEqual([200, 'application/grpc', '7', 'no way', 0])
      expect(said(await post(world.ports.bridge, '/html', 'application/grpc'))).toEqual([503, 'text/html', undefined, undefined, 4])
    })
  })
})
