// Every retry_on condition against every kind of failure, through the real proxy; what requests may ask for by header; where a retry may
// go (host and priority predicates), and when (backoff headers).
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, endpoint, Front, Lettered, localities, to } from '../support/front-proxy.js'
import { http2Upstream } from '../support/grpc-services.js'
import { http } from '../support/origins.js'
import { freePort, staticCluster, stopAll } from '../support/proxy-process.js'

const apps = new Lettered(3)
const [app] = apps.origins as [(typeof apps.origins)[0]]
let front: Front
/** Refuses the first stream of each path, serves the others. */
const refused = new Set<string>()
const refusing = http2.createServer()

const FAILURES: Readonly<Record<string, string | null>> = {
  500: http('', '500 Oops'),
  502: http('', '502 Bad'),
  503: http('', '503 Busy'),
  504: http('', '504 Late'),
  409: http('', '409 Conflict'),
  404: http('', '404 None'),
  418: http('', '418 Teapot'),
  marked: http('', '200 OK', { 'x-again': 'yes' }),
  limited: http('', '429 Slow down', { 'x-envoy-ratelimited': 'true' }),
  reset: null,
  ...Object.fromEntries(
    [1, 4, 8, 13, 14, 5].map(code => [
      `grpc-${code}`,
      http('', '200 OK', { 'content-type': 'application/grpc', 'grpc-status': String(code) }),
    ]),
  ),
}

/** retry_on -> the failures that are tried again; `down` is a connection that is refused. All others are final. */
const CONDITIONS: Readonly<Record<string, readonly string[]>> = {
  '5xx': ['500', '502', '503', '504', 'reset', 'down'],
  'gateway-error': ['502', '503', '504', 'reset', 'down'],
  'connect-failure': ['down'],
  reset: ['reset', 'down'],
  'reset-before-request': ['down'],
  'retriable-4xx': ['409'],
  'retriable-status-codes': ['418'],
  'retriable-headers': ['marked'],
  'envoy-ratelimited': ['limited'],
  'refused-stream': [],
  cancelled: ['grpc-1'],
  'deadline-exceeded': ['grpc-4'],
  'resource-exhausted': ['grpc-8'],
  internal: ['grpc-13'],
  unavailable: ['grpc-14'],
  'connect-failure,retriable-4xx': ['409', 'down'],
}
const conditions = Object.keys(CONDITIONS)

const fast = { base_interval: '0.001s', max_interval: '0.002s' }
const policy = (retry_on: string, more: object = {}): object => ({
  retry_policy: {
    retry_on,
    num_retries: 2,
    retry_back_off: fast,
    retriable_status_codes: [418],
    retriable_headers: [{ name: 'x-again', string_match: { exact: 'yes' } }],
    ...more,
  },
})
const predicate = (name: string, type: string): object => ({
  name: `envoy.retry_host_predicates.${name}`,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.retry.host.${type}` },
})

beforeAll(async () => {
  await apps.listen()
  refusing.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const path = headers[':path']!
    if (!refused.has(path)) {
      refused.add(path)
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM)
      return
    }
    stream.respond({ ':status': 200 })
    stream.end('served')
  })
  await new Promise<void>(resolve => refusing.listen(0, '127.0.0.1', resolve))
  const down = await freePort()
  const [a, b, c] = apps.ports as [number, number, number]
  const canary = { metadata: { filter_metadata: { 'envoy.lb': { canary: true } } } }
  front = await Front.start({
    routes: [
      ...conditions.flatMap((condition, i) => [to(`/${i}/down`, 'down', policy(condition)), to(`/${i}/`, 'app', policy(condition))]),
      to('/stream', 'refusing', policy('refused-stream')),
      to('/only-marked', 'app', policy('5xx', { retriable_request_headers: [{ name: 'x-safe', present_match: true }] })),
      to(
        '/no-canary',
        'canaries',
        policy('5xx', {
          num_retries: 1,
          retry_host_predicate: [predicate('omit_canary_hosts', 'omit_canary_hosts.v3.OmitCanaryHostsPredicate')],
          host_selection_retry_max_attempts: 20,
        }),
      ),
      to(
        '/next-tier',
        'tiers',
        policy('5xx', {
          num_retries: 1,
          retry_priority: {
            name: 'envoy.retry_priorities.previous_priorities',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
              update_frequency: 1,
            },
          },
        }),
      ),
      to(
        '/after',
        'app',
        policy('5xx', {
          num_retries: 1,
          rate_limited_retry_back_off: {
            reset_headers: [
              { name: 'x-wait', format: 'SECONDS' },
              { name: 'x-until', format: 'UNIX_TIMESTAMP' },
            ],
            max_interval: '30s',
          },
        }),
      ),
      to('/', 'app'),
    ],
    clusters: [
      ...[staticCluster('app', a), staticCluster('down', down)].map(cluster => ({
        ...cluster,
        circuit_breakers: { thresholds: [{ max_retries: 100 }] },
      })),
      staticCluster('refusing', (refusing.address() as AddressInfo).port, http2Upstream),
      localities('canaries', [{ lb_endpoints: [endpoint(a, canary), endpoint(b)] }]),
      localities('tiers', [
        { priority: 0, lb_endpoints: [endpoint(a)] },
        { priority: 1, lb_endpoints: [endpoint(c)] },
      ]),
    ],
    virtualHost: { include_request_attempt_count: true },
    // Only clients inside may steer retries by header.
    manager: { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } },
  })
})

afterAll(async () => {
  await stopAll()
  refusing.close()
  await apps.close()
})

beforeEach(() => {
  apps.reset()
  app.respond = (request, socket) => {
    const answer = FAILURES[request.headers.get('x-fail') ?? ''] ?? null
    if (answer === null) socket.destroy()
    else socket.write(answer)
  }
})

/** How often the server was tried, or the address where none is. */
async function tries(path: string, ask: Ask): Promise<number> {
  const dials = async (): Promise<number> => (path.endsWith('/down') ? await front.proxy.stat('cluster.down.upstream_cx_total') : 0)
  const before = await dials()
  app.requests.length = 0
  await front.ask(path, ask)
  return app.requests.length + (await dials()) - before
}

describe('retry_on', () => {
  it.each(conditions.map((condition, i) => [condition, i] as const))('%s', async (condition, i) => {
    const again: string[] = []
    for (const failure of [...Object.keys(FAILURES), 'down']) {
      const grpc: Record<string, string> = failure.startsWith('grpc') ? { 'content-type': 'application/grpc' } : {}
      const count = await tries(`/${i}/${failure}`, { method: 'POST', headers: { 'x-fail': failure, ...grpc }, body: '' })
      expect([failure, count === 1 || count === 3]).toEqual([failure, true])
      if (count === 3) again.push(failure)
    }
    expect(again.sort()).toEqual([...CONDITIONS[condition]!].sort())
  })

  it('refused-stream: a stream that an HTTP/2 server refused', async () => {
    expect((await front.ask('/stream/one')).body).toBe('served')
    expect((await front.ask('/stream/two', { method: 'POST', body: 'twice' })).body).toBe('served')
  })
})

describe('what the request asks for', () => {
  it.each([
    ['503', { 'x-envoy-retry-on': '5xx' }, 2],
    ['503', { 'x-envoy-retry-on': 'retriable-4xx' }, 1],
    ['503', { 'x-envoy-retry-on': 'gateway-error,retriable-4xx', 'x-envoy-max-retries': '4' }, 5],
    ['503', { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '0' }, 1],
    ['418', { 'x-envoy-retry-on': 'retriable-status-codes', 'x-envoy-retriable-status-codes': '404,418' }, 2],
    ['marked', { 'x-envoy-retry-on': 'retriable-headers', 'x-envoy-retriable-header-names': 'x-other,x-again' }, 2],
    ['grpc-14', { 'x-envoy-retry-grpc-on': 'unavailable', 'content-type': 'application/grpc' }, 2],
    ['503', { 'x-envoy-retry-on': 'nonsense' }, 1],
  ])('%s with %j: %i tries', async (failure, headers: Readonly<Record<string, string>>, expected) => {
    expect(await tries('/asked', { method: 'POST', headers: { 'x-fail': failure, ...headers }, body: '' })).toBe(expected)
  })

  it('x-envoy-upstream-rq-timeout-ms and -per-try-timeout-ms', async () => {
    app.respond = () => {}
    const hurried = { 'x-envoy-upstream-rq-per-try-timeout-ms': '60', 'x-envoy-upstream-rq-timeout-ms': '20000', 'x-envoy-retry-on': '5xx' }
    expect(await tries('/asked', { headers: hurried })).toBe(2)
    expect((await front.ask('/asked/whole', { headers: { 'x-envoy-upstream-rq-timeout-ms': '60' } })).status).toBe(504)
    await front.logged('/asked/whole', '504 UT response_timeout')
  })

  it('those headers do not reach the server', async () => {
    await front.ask('/asked', { headers: { 'x-fail': '404', 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '3' } })
    const { headers } = app.requests[0]!
    expect([headers.has('x-envoy-retry-on'), headers.has('x-envoy-max-retries'), headers.get('x-envoy-attempt-count')]).toEqual([
      false,
      false,
      '1',
    ])
  })

  it('retriable_request_headers: only requests that say so', async () => {
    expect(await tries('/only-marked', { headers: { 'x-fail': '503' } })).toBe(1)
    expect(await tries('/only-marked', { headers: { 'x-fail': '503', 'x-safe': '1' } })).toBe(3)
  })
})

describe('where and when', () => {
  it('omit_canary_hosts: a retry never lands on a canary', async () => {
    apps.origins[1]!.respond = app.respond
    for (let i = 0; i < 12; i++) await front.ask('/no-canary', { headers: { 'x-fail': '503' } })
    const attempts = app.requests.map(request => request.headers.get('x-envoy-attempt-count'))
    expect(new Set(attempts)).toEqual(new Set(['1']))
    expect(apps.origins[1]!.requests.length + attempts.length).toBe(24)
  })

  it('previous_priorities: a retry goes to the next priority', async () => {
    for (let i = 0; i < 4; i++) expect((await front.ask('/next-tier', { headers: { 'x-fail': '503' } })).body).toBe('c')
    expect(app.requests).toHaveLength(4)
  })

  it.each([
    ['x-wait', () => '1'],
    // Whole seconds: up to one less than asked for.
    ['x-until', () => String(Math.ceil(Date.now() / 1000) + 1)],
  ])('%s: not before that time', async (name, value) => {
    const at: number[] = []
    app.respond = (_, socket) => {
      at.push(performance.now())
      socket.write(at.length === 1 ? http('', '503 Busy', { [name]: value() }) : http('ok'))
    }
    expect((await front.ask('/after')).body).toBe('ok')
    expect(at[1]! - at[0]!).toBeGreaterThan(900)
  })
})
