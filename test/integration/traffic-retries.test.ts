// Retries through the real proxy: what is tried again, how often, where, and what the client and the log are told when it ends.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  staticCluster,
  stopAll,
  until,
} from '../support/proxy-process.js'

const one = new HttpOrigin()
const two = new HttpOrigin()
let proxy: ProxyProcess
let port: number

const fast = { base_interval: '0.001s' }
const retry = (prefix: string, policy: object, action: object = {}): object => ({
  match: { prefix },
  route: { cluster: 'one', retry_policy: { num_retries: 2, retry_back_off: fast, ...policy }, ...action },
})

beforeAll(async () => {
  await Promise.all([one.listen(), two.listen()])
  port = await freePort()
  const down = await freePort()
  const leg = (name: string, weight: number): object => ({
    name,
    weight,
    request_headers_to_add: [{ header: { key: 'x-leg', value: name }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
  })
  const routes = [
    retry('/5xx', { retry_on: '5xx' }),
    retry('/gateway', { retry_on: 'gateway-error' }),
    retry('/reset', { retry_on: 'reset' }),
    retry('/codes', { retry_on: 'retriable-status-codes', retriable_status_codes: [418] }),
    retry('/headers', { retry_on: 'retriable-headers', retriable_headers: [{ name: 'x-again', present_match: true }] }),
    retry('/grpc', { retry_on: 'unavailable' }),
    retry('/connect', { retry_on: 'connect-failure' }, { cluster: 'down' }),
    retry('/none', { retry_on: 'connect-failure' }),
    retry('/limited', {
      retry_on: '5xx',
      num_retries: 1,
      rate_limited_retry_back_off: { reset_headers: [{ name: 'retry-after', format: 'SECONDS' }], max_interval: '3s' },
    }),
    retry('/per-try', { retry_on: '5xx', num_retries: 1, per_try_timeout: '1s' }),
    retry('/hedge', { retry_on: '5xx', num_retries: 1, per_try_timeout: '1s' }, { hedge_policy: { hedge_on_per_try_timeout: true } }),
    retry(
      '/other-host',
      {
        retry_on: '5xx',
        num_retries: 1,
        retry_host_predicate: [
          {
            name: 'envoy.retry_host_predicates.previous_hosts',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate' },
          },
        ],
        host_selection_retry_max_attempts: 8,
      },
      { cluster: 'both' },
    ),
    retry('/budget', { retry_on: '5xx', num_retries: 1 }, { cluster: 'budget' }),
    {
      match: { prefix: '/split' },
      metadata: { filter_metadata: { outrigger: { retry_repick: true } } },
      route: {
        weighted_clusters: { clusters: [leg('one', 50), leg('two', 50)] },
        retry_policy: { retry_on: '5xx', num_retries: 30, retry_back_off: fast },
      },
    },
    { match: { prefix: '/' }, route: { cluster: 'one' } },
  ]
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port, [
            hcm({
              route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes, include_request_attempt_count: true }] },
              access_log: [
                fileAccessLog(
                  'LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% tries=%UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE_DETAILS%',
                ),
              ],
            }),
          ]),
        ],
        clusters: [
          staticCluster('one', one.port, { circuit_breakers: { thresholds: [{ max_retries: 1000 }] } }),
          staticCluster('two', two.port),
          staticCluster('down', down),
          staticCluster('budget', one.port, {
            circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: 20 }, min_retry_concurrency: 3 } }] },
          }),
          { name: 'both', type: 'STATIC', connect_timeout: '1s', load_assignment: assignment('both', [one.port, two.port]) },
        ],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  await Promise.all([one.close(), two.close()])
})

beforeEach(() => {
  one.requests.length = two.requests.length = 0
  one.respond = (_, socket) => void socket.write(http('ok'))
  two.respond = (_, socket) => void socket.write(http('ok'))
})

/** The first `times` requests get `answer` (null: the connection is closed), the next ones a 200. */
function failFirst(times: number, answer: string | null): void {
  one.respond = (_, socket) => {
    if (one.requests.length > times) socket.write(http('ok'))
    else if (answer === null) socket.destroy()
    else socket.write(answer)
  }
}

const logged = (line: RegExp) => until(`access log ${line}`, () => line.test(proxy.log))

describe('what is tried again', () => {
  it.each([
    ['/5xx', http('', '500 Oops')],
    ['/5xx', null],
    ['/gateway', http('', '503 Busy')],
    ['/reset', null],
    ['/codes', http('', '418 Teapot')],
    ['/headers', http('', '200 OK', { 'x-again': '1' })],
  ])('%s', async (path, answer) => {
    failFirst(2, answer)
    expect((await fetchOnce(port, path)).body).toBe('ok')
    expect(one.requests.map(request => request.headers.get('x-envoy-attempt-count'))).toEqual(['1', '2', '3'])
  })

  it.each([
    ['/gateway', http('', '500 Oops'), 500],
    ['/reset', http('', '503 Busy'), 503],
    ['/codes', http('', '503 Busy'), 503],
    ['/headers', http('', '503 Busy'), 503],
    ['/none', http('', '503 Busy'), 503],
  ])('%s: not for that failure', async (path, answer, status) => {
    failFirst(1, answer)
    expect((await fetchOnce(port, path)).status).toBe(status)
    expect(one.requests).toHaveLength(1)
  })

  it('a gRPC status in the head', async () => {
    failFirst(1, http('', '200 OK', { 'content-type': 'application/grpc', 'grpc-status': '14' }))
    const client = await Http1Client.connect(port)
    const answer = await client.send('POST /grpc HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n')
    expect(answer.body).toBe('ok')
    client.destroy()
  })

  it('a connection that is refused; the log says how often', async () => {
    expect((await fetchOnce(port, '/connect')).status).toBe(503)
    await logged(/LOG \/connect 503 URX,UF tries=3 /)
    expect(await proxy.stat('cluster.down.upstream_rq_retry')).toBe(2)
    expect(await proxy.stat('cluster.down.upstream_rq_retry_limit_exceeded')).toBe(1)
  })

  it('a body is sent again whole', async () => {
    failFirst(1, http('', '500 Oops'))
    const client = await Http1Client.connect(port)
    const body = 'x'.repeat(50_000)
    expect((await client.send(`POST /5xx HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`)).status).toBe(200)
    expect(one.requests.map(request => request.body.length)).toEqual([50_000, 50_000])
    client.destroy()
  })
})

describe('what is not tried again', () => {
  it('a POST that reached the server, without a policy that says so', async () => {
    one.respond = (_, socket) => void socket.destroy()
    const client = await Http1Client.connect(port)
    expect((await client.send('POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi')).status).toBe(503)
    const second = await Http1Client.connect(port)
    expect((await second.send('POST /none HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi')).status).toBe(503)
    expect(one.requests).toHaveLength(2)
    client.destroy()
    second.destroy()
  })

  it('more often than num_retries: URX', async () => {
    failFirst(99, http('', '500 Oops'))
    expect((await fetchOnce(port, '/5xx/limit')).status).toBe(500)
    expect(one.requests).toHaveLength(3)
    await logged(/LOG \/5xx\/limit 500 URX tries=3 via_upstream/)
  })

  it('more at once than the retry budget (20 %, at least 3): UO', async () => {
    // First tries fail, second ones hang: a retry holds its permit until it is answered.
    one.respond = (request, socket) => {
      if (request.headers.get('x-envoy-attempt-count') === '1') socket.write(http('', '500 Oops'))
    }
    const waiting = await Promise.all(Array.from({ length: 3 }, () => Http1Client.connect(port)))
    for (const client of waiting) client.get('/budget').catch(() => {})
    await proxy.untilStat('cluster.budget.upstream_rq_retry', value => value === 3)
    // Envoy's gauge knows max_retries (3) alone.
    expect(await proxy.stat('cluster.budget.circuit_breakers.default.rq_retry_open')).toBe(1)
    expect((await fetchOnce(port, '/budget/fourth')).status).toBe(500)
    expect(await proxy.stat('cluster.budget.upstream_rq_retry_overflow')).toBe(1)
    await logged(/LOG \/budget\/fourth 500 UO tries=1/)
    for (const client of waiting) client.destroy()
    await proxy.untilStat('cluster.budget.circuit_breakers.default.rq_retry_open', value => value === 0)
  })
})

describe('when and where', () => {
  it('not before the time that the server asks for', async () => {
    const at: number[] = []
    one.respond = (_, socket) => {
      at.push(performance.now())
      socket.write(at.length === 1 ? http('', '503 Busy', { 'retry-after': '1' }) : http('ok'))
    }
    expect((await fetchOnce(port, '/limited')).body).toBe('ok')
    expect(at[1]! - at[0]!).toBeGreaterThan(990)
    expect(await proxy.stat('cluster.one.upstream_rq_retry_backoff_ratelimited')).toBe(1)
  })

  it('per-try timeout: the second try may answer, the first is called off', async () => {
    one.respond = (_, socket) => void (one.requests.length > 1 && socket.write(http('second')))
    expect((await fetchOnce(port, '/per-try')).body).toBe('second')
    expect(await proxy.stat('cluster.one.upstream_rq_per_try_timeout')).toBe(1)
    await proxy.untilStat('cluster.one.upstream_rq_active', value => value === 0)
  })

  it('hedging: the first try goes on beside the second, and wins when it is first', async () => {
    let first: (() => void) | null = null
    one.respond = (_, socket) => {
      if (first === null) first = () => void socket.write(http('slow first'))
      else first()
    }
    expect((await fetchOnce(port, '/hedge')).body).toBe('slow first')
    expect(one.requests).toHaveLength(2)
    await proxy.untilStat('cluster.one.upstream_rq_active', value => value === 0)
  })

  it('hedging: a POST never runs beside itself; its first try is called off before the second', async () => {
    let firstClosed = false
    let closedBeforeSecond = false
    one.respond = (_, socket) => {
      if (one.requests.length === 1) socket.once('end', () => (firstClosed = true))
      else {
        closedBeforeSecond = firstClosed
        socket.write(http('second'))
      }
    }
    const client = await Http1Client.connect(port)
    const answer = await client.send('POST /hedge HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n')
    expect(answer.body).toBe('second')
    expect(closedBeforeSecond).toBe(true)
    client.destroy()
  })

  it('previous_hosts: on another endpoint', async () => {
    one.respond = two.respond = (_, socket) => void socket.write(http('', '500 Oops'))
    for (let i = 0; i < 5; i++) await fetchOnce(port, '/other-host')
    expect([one.requests.length, two.requests.length]).toEqual([5, 5])
  })

  it('retry_repick: a canary that fails does not eat its own retries, and the leg’s headers follow (consul#9756)', async () => {
    one.respond = (_, socket) => void socket.write(http('', '500 Oops'))
    for (let i = 0; i < 8; i++) expect((await fetchOnce(port, '/split')).status).toBe(200)
    expect(two.requests).toHaveLength(8)
    expect(new Set(two.requests.map(request => request.headers.get('x-leg')))).toEqual(new Set(['two']))
    expect(new Set(one.requests.map(request => request.headers.get('x-leg')))).toEqual(new Set(one.requests.length > 0 ? ['one'] : []))
  })
})
