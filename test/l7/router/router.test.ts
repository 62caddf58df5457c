import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ClientEvents } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { cluster, endpoint, locality, staticCluster } from '../../upstream/fixtures.js'
import { head } from '../request-fixtures.js'
import { API, response, retryPolicy, world } from './fake-host.js'

const MB = 1024 * 1024
const chunk = (text: string) => Buffer.from(text)

beforeEach(() => {
  vi.useFakeTimers()
  // Where the fixtures' stream infos start; and 0 is no time to a LazyTimer.
  vi.advanceTimersByTime(1000)
})
afterEach(() => void vi.useRealTimers())

describe('forwardRequest', () => {
  it('sends a request without a body in one piece, and its answer back', () => {
    const { router, host, tries } = world()
    router.forwardRequest()
    expect([tries.length, tries[0]!.ended, tries[0]!.head!.path]).toEqual([1, true, '/'])
    tries[0]!.answer(200, [], false)
    tries[0]!.events.onData(chunk('ok'), true)
    expect(host.seen).toEqual(['head 200', 'data ok end'])
  })

  it.each([
    ['with its head', true, () => {}],
    ['with its body', false, (events: ClientEvents) => events.onData(chunk('ok'), true)],
    ['with its trailers', false, (events: ClientEvents) => events.onTrailers(HeaderList.of(['a', 'b']))],
  ])('knows when a response has ended: %s', (_with, end, finish) => {
    const { router, host, tries } = world()
    router.forwardRequest()
    tries[0]!.answer(200, [], end)
    expect(host.info.lastUpstreamByteReceivedAt).toBe(end ? host.info.firstUpstreamByteReceivedAt : 0)
    vi.advanceTimersByTime(5)
    finish(tries[0]!.events)
    expect(host.info.lastUpstreamByteReceivedAt - host.info.firstUpstreamByteReceivedAt).toBe(end ? 0 : 5)
  })

  it('answers by itself where there is no route, no cluster or no endpoint', () => {
    const none = world({ host: { domains: ['elsewhere'] } })
    none.router.forwardRequest()
    const unknown = world({ clusters: [] })
    unknown.router.forwardRequest()
    const empty = world({ clusters: [staticCluster('api', [])] })
    empty.router.forwardRequest()
    expect([none.host.seen, unknown.host.seen, empty.host.seen]).toEqual([
      ['reply 404 route_not_found'],
      ['reply 503 cluster_not_found'],
      ['reply 503 no_healthy_upstream'],
    ])
    expect([none.counter('http.in.no_route'), unknown.counter('http.in.no_cluster')]).toEqual([1, 1])
    expect(empty.counter('cluster.api.upstream_rq_503')).toBe(1)
  })

  it('counts once how long an upstream takes no more, and not the wait for its connection', () => {
    const { router, host, tries, connect, counter } = world({ open: true, dialling: true })
    const counts = () => [
      counter('cluster.api.upstream_flow_control_backed_up_total'),
      counter('cluster.api.upstream_flow_control_drained_total'),
      counter('http.in.downstream_flow_control_paused_reading_total'),
      counter('http.in.downstream_flow_control_resumed_reading_total'),
    ]
    router.forwardRequest()
    router.requestData(chunk('early'), false)
    expect([host.seen, counts()]).toEqual([['pause'], [0, 0, 0, 0]])
    connect()
    tries[0]!.full = true
    router.requestData(chunk('more'), false)
    router.requestData(chunk('and more'), false)
    expect(counts()).toEqual([1, 0, 1, 0])
    tries[0]!.full = false
    tries[0]!.events.onDrain()
    expect(counts()).toEqual([1, 1, 1, 1])
    tries[0]!.full = true
    router.requestData(chunk('again'), false)
    // It fails while it is full: the client is no longer held back by it.
    tries[0]!.fail()
    expect(counts()).toEqual([2, 2, 2, 2])
  })

  it('counts once how long a client takes no more', () => {
    const { router, tries, counter } = world()
    const counts = () => [
      counter('cluster.api.upstream_flow_control_paused_reading_total'),
      counter('cluster.api.upstream_flow_control_resumed_reading_total'),
    ]
    router.forwardRequest()
    tries[0]!.answer(200, [], false)
    // A filter that holds the response is no slow client.
    router.pauseUpstream()
    router.resumeUpstream()
    expect(counts()).toEqual([0, 0])
    router.holdUpstream()
    router.holdUpstream()
    expect([tries[0]!.paused, counts()]).toEqual([true, [1, 0]])
    router.resumeUpstream()
    expect([tries[0]!.paused, counts()]).toEqual([false, [1, 1]])
  })

  it('holds body bytes back until a connection is there', () => {
    const { router, host, tries, connect } = world({
      open: true,
      dialling: true,
      request: head('/', { method: 'POST', contentLength: -1 }),
    })
    router.forwardRequest()
    router.requestData(chunk('a'), false)
    expect(host.seen).toEqual(['pause'])
    connect()
    expect(tries[0]!.sent).toBe('a')
    host.body.ended = true
    router.requestData(chunk('b'), true)
    expect([tries[0]!.sent, tries[0]!.ended]).toEqual(['ab', true])
  })

  it('refuses a body that outgrows the buffer while nothing takes it', () => {
    const { router, host } = world({ open: true, dialling: true, request: head('/', { method: 'POST', contentLength: -1 }) })
    router.forwardRequest()
    router.requestData(Buffer.alloc(MB), false)
    router.requestData(Buffer.alloc(MB), false)
    expect(host.seen).toContainEqual(expect.stringMatching(/^too large: 1048576 bytes/))
  })

  it('pauses the client while the upstream is full', () => {
    const { router, host, tries } = world({ open: true, request: head('/', { method: 'POST', contentLength: -1 }) })
    router.forwardRequest()
    tries[0]!.full = true
    router.requestData(chunk('a'), false)
    expect(host.seen).toEqual(['pause'])
  })

  it('breaks a response off that its upstream broke off, and never answers over it', () => {
    const { router, host, tries, counter } = world({ action: { retry: retryPolicy() } })
    router.forwardRequest()
    tries[0]!.answer(200, [], false)
    tries[0]!.fail('remote-reset')
    expect(host.seen).toEqual(['head 200', 'abort upstream_reset_after_response_started{remote_reset}'])
    expect(counter('http.in.rq_reset_after_downstream_response_started')).toBe(1)
  })

  it('counts an answer apart when its endpoint, or the answer itself, is a canary', () => {
    const canary = endpoint('10.0.0.1', 80, { lb: { canary: true } })
    const marked = world({ clusters: [staticCluster('api', [locality([canary])])] })
    const plain = world()
    const says = world()
    for (const { router, tries } of [marked, plain, says]) {
      router.forwardRequest()
      tries[0]!.answer(200, tries === says.tries ? [['x-envoy-upstream-canary', 'true']] : [])
      router.finish()
    }
    expect([marked, plain, says].map(({ counter }) => counter('cluster.api.canary.upstream_rq_200'))).toEqual([1, 0, 1])
    expect([marked, plain, says].map(({ counter }) => counter('cluster.api.upstream_rq_200'))).toEqual([1, 1, 1])
  })

  it('leaves nothing running once it is finished', () => {
    const { router, host, tries } = world()
    router.forwardRequest()
    router.finish()
    tries[0]!.answer(200)
    expect([tries[0]!.cancelled, host.seen]).toEqual([true, []])
  })
})

describe('retries', () => {
  it('swallows an answer that is retried, counts it apart, and gives the next one to the client', () => {
    const { router, host, tries, counter } = world({ action: { retry: retryPolicy() } })
    router.forwardRequest()
    tries[0]!.answer(503)
    expect(host.seen).toEqual([])
    vi.advanceTimersByTime(25)
    tries[1]!.answer(200)
    expect(host.seen).toEqual(['head 200 end'])
    expect(['retry.upstream_rq_503', 'retry.upstream_rq_5xx', 'retry.upstream_rq_completed'].map(n => counter(`cluster.api.${n}`))).toEqual(
      [1, 1, 1],
    )
    expect(['upstream_rq_503', 'upstream_rq_200', 'upstream_rq_completed'].map(n => counter(`cluster.api.${n}`))).toEqual([0, 1, 1])
    expect(counter('cluster.api.upstream_rq_retry_success')).toBe(1)
  })

  it('sends the whole body again', () => {
    const { router, host, tries } = world({
      open: true,
      action: { retry: retryPolicy() },
      request: head('/', { method: 'POST', contentLength: 2 }),
    })
    router.forwardRequest()
    router.requestData(chunk('a'), false)
    host.body.ended = true
    router.requestData(chunk('b'), true)
    tries[0]!.fail()
    vi.advanceTimersByTime(25)
    expect([tries[0]!.sent, tries[1]!.sent, tries[1]!.ended]).toEqual(['ab', 'ab', true])
  })

  it.each([
    ['on HTTP/2 until the answer begins, as a stream may be refused', { protocol: 'http2' as const }, [4, 0]],
    ['never on HTTP/1, which has sent its head by then', {}, [0, 0]],
    ['for a policy', { action: { retry: retryPolicy() } }, [4, 8]],
  ])('keeps the body of a try that runs: %s', (_when, options, held) => {
    const { router, host, tries } = world({ open: true, ...options })
    router.forwardRequest()
    router.requestData(chunk('body'), false)
    const first = host.body.bytes
    tries[0]!.answer(200, [], false)
    router.requestData(chunk('more'), false)
    expect([first, host.body.bytes, tries[0]!.sent]).toEqual([...held, 'bodymore'])
  })

  it('keeps nothing of what passes a tunnel, whatever the policy', () => {
    const { router, host, tries, counter } = world({ open: true, action: { retry: retryPolicy() } })
    router.forwardRequest()
    tries[0]!.events.onHead({ ...response(101), upgraded: true }, false)
    router.requestData(chunk('frame'), false)
    expect([host.body.bytes, tries[0]!.sent, counter('cluster.api.retry_or_shadow_abandoned')]).toEqual([0, 'frame', 0])
  })

  it('does not repeat a body that was too long to keep', () => {
    const { router, host, tries, counter } = world({
      open: true,
      action: { retry: retryPolicy() },
      request: head('/', { method: 'POST', contentLength: -1 }),
    })
    router.forwardRequest()
    router.requestData(Buffer.alloc(MB + 1), false)
    tries[0]!.answer(503)
    expect(host.seen).toEqual(['head 503 end'])
    expect(counter('cluster.api.retry_or_shadow_abandoned')).toBe(1)
  })

  it('tries a request again by itself that its upstream refused, three times at most', () => {
    const { router, host, tries } = world()
    router.forwardRequest()
    for (let i = 0; i < 4; i++) tries[i]!.fail('refused')
    expect(tries).toHaveLength(4)
    expect(host.seen).toEqual([expect.stringMatching(/^reply 503 upstream_reset_before_response_started\{remote_refused/)])
  })

  it('hedges: a second try beside the first, and whichever answers wins', () => {
    const { router, host, tries } = world({
      action: { retry: retryPolicy({ perTryTimeoutMs: 50 }), hedge: { hedgeOnPerTryTimeout: true } },
    })
    router.forwardRequest()
    vi.advanceTimersByTime(50)
    vi.advanceTimersByTime(25)
    expect([tries.length, tries[0]!.cancelled]).toEqual([2, false])
    tries[0]!.answer(200)
    expect([host.seen, tries[1]!.cancelled]).toEqual([['head 200 end'], true])
  })

  it('an answer is no failure because another try was refused before', () => {
    const { router, host, tries } = world({
      action: { retry: retryPolicy({ perTryTimeoutMs: 50, numRetries: 0 }), hedge: { hedgeOnPerTryTimeout: true } },
    })
    router.forwardRequest()
    vi.advanceTimersByTime(50)
    const before = host.info.failure
    tries[0]!.answer(200)
    expect([host.seen, host.info.failure, host.info.responseFlags]).toEqual([['head 200 end'], before, 0])
  })

  it('runs no scheduled retry after an answer of the proxy’s own', () => {
    const { router, host, tries } = world({ action: { retry: retryPolicy(), timeoutMs: 10 } })
    router.forwardRequest()
    tries[0]!.answer(503)
    host.reply({ status: 408, body: '', flag: 0, details: 'x' })
    vi.advanceTimersByTime(1000)
    expect(tries).toHaveLength(1)
  })

  it('in an aggregate avoids the priority of the aggregate, not the child’s own of the same number', () => {
    const child = (name: string, address: string) => staticCluster(name, [locality([endpoint(address, 80)])])
    const { router, tries } = world({
      clusters: [
        child('first', '10.0.0.1'),
        child('second', '10.0.0.2'),
        cluster('api', { discovery: { kind: 'aggregate', clusters: ['first', 'second'] }, lbPolicy: { kind: 'clusterProvided' } }),
      ],
      action: { retry: retryPolicy({ avoidPreviousPrioritiesEvery: 1, numRetries: 2 }) },
    })
    router.forwardRequest()
    tries[0]!.answer(503)
    vi.advanceTimersByTime(25)
    expect(tries.map(of => of.cluster)).toEqual(['first', 'second'])
  })
})

describe('route timeouts', () => {
  it('count as a 504 of the cluster and of the endpoint', () => {
    const { router, host, counter, registry } = world({ action: { timeoutMs: 100 } })
    router.forwardRequest()
    vi.advanceTimersByTime(100)
    expect(host.seen).toEqual(['reply 504 response_timeout'])
    expect(['timeout', '504', '5xx', 'completed'].map(n => counter(`cluster.api.upstream_rq_${n}`))).toEqual([1, 1, 1, 1])
    expect(
      registry
        .get('api')!
        .hosts.map(of => of.stats.rqTimeout)
        .sort(),
    ).toEqual([0, 1])
  })

  it('count nothing where no try runs', () => {
    const { router, host, tries, counter } = world({
      action: { timeoutMs: 100, retry: retryPolicy({ baseIntervalMs: 10_000, maxIntervalMs: 20_000 }) },
    })
    Object.assign(router.runtime, { random: () => 0.9 })
    router.forwardRequest()
    tries[0]!.answer(503)
    vi.advanceTimersByTime(100)
    expect([host.seen, counter('cluster.api.upstream_rq_timeout'), counter('cluster.api.upstream_rq_504')]).toEqual([
      ['reply 504 response_timeout'],
      0,
      0,
    ])
  })

  it('break a response off that has begun, and leave a tunnel alone', () => {
    const slow = world({ action: { timeoutMs: 100 } })
    slow.router.forwardRequest()
    slow.tries[0]!.answer(200, [], false)
    vi.advanceTimersByTime(100)
    expect(slow.host.seen).toEqual(['head 200', 'abort response_timeout'])
    const tunnel = world({ open: true, action: { timeoutMs: 100 }, request: head('/', { upgrade: 'websocket' }) })
    tunnel.router.forwardRequest()
    tunnel.tries[0]!.events.onHead({ ...response(101), upgraded: true }, false)
    vi.advanceTimersByTime(1000)
    expect(tunnel.host.seen).toEqual(['head 101'])
  })

  it('an upstream is told what is left of the time', () => {
    const { router, tries } = world({ action: { timeoutMs: 1000, retry: retryPolicy() } })
    router.forwardRequest()
    vi.advanceTimersByTime(400)
    tries[0]!.answer(503)
    vi.advanceTimersByTime(25)
    const told = tries.map(of => Number(of.head!.headers.get('x-envoy-expected-rq-timeout-ms')))
    expect(told[0]).toBe(1000)
    expect(told[1]).toBeLessThanOrEqual(600)
  })
})

describe('what an endpoint says of itself', () => {
  it('x-envoy-immediate-health-check-fail takes it out', () => {
    const { router, tries, registry } = world()
    const fail = vi.spyOn(registry.get('api')!, 'recordImmediateHealthCheckFail')
    router.forwardRequest()
    tries[0]!.answer(200, [['x-envoy-immediate-health-check-fail', 'true']])
    expect(fail).toHaveBeenCalledOnce()
  })

  it('a gRPC status counts as the HTTP status it maps to, in the head and in trailers', () => {
    const { router, tries, registry } = world({ request: head('/', {}, [['content-type', 'application/grpc']]) })
    const status = vi.spyOn(registry.get('api')!, 'recordGrpcStatus')
    router.forwardRequest()
    tries[0]!.answer(200, [['grpc-status', '14']])
    expect(status).toHaveBeenCalledWith(expect.anything(), 14)
    expect(
      registry
        .get('api')!
        .hosts.map(of => of.stats.rqError)
        .sort(),
    ).toEqual([0, 1])
  })
})

describe('vhost.*', () => {
  const named = (name: string, path: string) => ({
    name,
    headers: [
      {
        name: ':path',
        match: { kind: 'string' as const, matcher: { kind: 'exact' as const, value: path, ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
    ],
  })

  it('counts under the route’s stat_prefix and the first virtual cluster that matches, else under other', () => {
    for (const [path, cluster] of [
      ['/a', 'a'],
      ['/b', 'other'],
    ] as const) {
      const { router, tries, counter, host } = world({
        request: head(path),
        route: { statPrefix: 'front' },
        host: { virtualClusters: [named('a', '/a')] as never },
        action: { retry: retryPolicy() },
      })
      router.forwardRequest()
      tries[0]!.answer(503)
      vi.advanceTimersByTime(25)
      tries[1]!.answer(201)
      host.info.endedAt = performance.now()
      router.finish()
      for (const scope of [`vhost.v.vcluster.${cluster}`, 'vhost.v.route.front']) {
        expect(
          ['total', 'retry', 'retry_success', '201', '2xx', '503', 'completed'].map(n => counter(`${scope}.upstream_rq_${n}`)),
        ).toEqual([2, 1, 1, 1, 1, 0, 1])
      }
      expect(host.info.virtualClusterName).toBe(cluster === 'other' ? '' : 'a')
    }
  })

  it('has none where nothing asks for it', () => {
    const { router } = world({ clusters: [API] })
    router.forwardRequest()
    expect(router.counters).toBeNull()
  })
})

it('dynamic_stats off: no counters by response code', () => {
  const { router, tries, counter } = world({ dynamicStats: false })
  router.forwardRequest()
  tries[0]!.answer(200)
  expect([counter('cluster.api.upstream_rq_200'), counter('cluster.api.upstream_rq_total')]).toEqual([0, 1])
})

describe('internal redirects', () => {
  const POLICY = { maxRedirects: 1, statuses: [302, 303], predicates: [], allowCrossScheme: true, responseHeadersToCopy: [] }
  const to = (location: string): [string, string][] => [['location', location]]

  it('follows a redirect instead of passing it on', () => {
    const { router, host, tries, counter } = world({ action: { internalRedirect: POLICY } })
    router.forwardRequest()
    tries[0]!.answer(302, to('http://api.example.com/next?x=1'))
    expect(host.seen).toEqual(['redirected /next?x=1'])
    expect(counter('cluster.api.upstream_internal_redirect_succeeded_total')).toBe(1)
  })

  it('303 drops the body of a POST', () => {
    const { router, host, tries } = world({ action: { internalRedirect: POLICY }, request: head('/', { method: 'POST' }) })
    router.forwardRequest()
    tries[0]!.answer(303, to('http://api.example.com/next'))
    expect(host.seen).toEqual(['redirected /next without body'])
  })

  it.each([
    ['a relative location', '/next', 'passthrough_internal_redirect_bad_location'],
    ['another scheme', 'https://api.example.com/', 'passthrough_internal_redirect_unsafe_scheme'],
  ])('passes %s on, counted', (_name, location, counted) => {
    const { router, host, tries, counter } = world({ action: { internalRedirect: { ...POLICY, allowCrossScheme: false } } })
    router.forwardRequest()
    tries[0]!.answer(302, to(location))
    expect([host.seen, counter(`http.in.${counted}`)]).toEqual([['head 302 end'], 1])
  })

  it('does not follow while the body is still coming', () => {
    const { router, host, tries } = world({
      open: true,
      action: { internalRedirect: POLICY },
      request: head('/', { method: 'POST', contentLength: -1 }),
    })
    router.forwardRequest()
    tries[0]!.answer(302, to('http://api.example.com/next'))
    expect(host.seen).toEqual(['head 302 end'])
  })
})

describe('mirrors', () => {
  const MIRROR = { cluster: 'shadow', clusterHeader: '', fraction: null, disableShadowHostSuffix: false }
  const clusters = [API, staticCluster('shadow', [locality([endpoint('10.0.0.9', 80)])])]

  it('sends a copy once the request is whole, and nobody hears of its answer', () => {
    const { router, host, tries } = world({
      open: true,
      clusters,
      action: { mirrors: [MIRROR as never] },
      request: head('/', { method: 'POST', contentLength: -1 }),
    })
    router.forwardRequest()
    expect(tries.map(of => of.cluster)).toEqual(['api'])
    host.body.ended = true
    router.requestData(chunk('body'), true)
    const shadow = tries[1]!
    expect([shadow.cluster, shadow.head!.authority, shadow.sent, shadow.ended]).toEqual(['shadow', 'api.example.com-shadow', 'body', true])
    shadow.answer(500)
    tries[0]!.answer(200)
    expect(host.seen).toEqual(['head 200 end'])
  })

  it.each([
    [200, { rqSuccess: 1, rqError: 0 }],
    [404, { rqSuccess: 1, rqError: 0 }],
    [503, { rqSuccess: 0, rqError: 1 }],
  ])('counts a copy that is answered %i among the requests of its host, as Envoy does', (status, counted) => {
    const { router, tries, registry } = world({ clusters, action: { mirrors: [MIRROR as never] } })
    router.forwardRequest()
    tries.find(of => of.cluster === 'shadow')!.answer(status)
    tries.find(of => of.cluster === 'api')!.answer(200)
    expect(registry.get('shadow')!.hosts[0]!.stats).toMatchObject({ rqTotal: 1, ...counted })
    router.finish()
    expect(registry.get('shadow')!.hosts[0]!.stats).toMatchObject({ rqTotal: 1, ...counted })
  })

  it('is dropped with a request that ends before it is whole', () => {
    const { router, tries } = world({
      open: true,
      clusters,
      action: { mirrors: [MIRROR as never] },
      request: head('/', { method: 'POST', contentLength: -1 }),
    })
    router.forwardRequest()
    router.finish()
    expect(tries.map(of => of.cluster)).toEqual(['api'])
  })
})

describe('options of the router filter', () => {
  it('respect_expected_rq_timeout: what the proxy before us set is the route timeout, and goes on unchanged', () => {
    const headers = [
      ['x-envoy-expected-rq-timeout-ms', '40'],
      ['x-envoy-upstream-rq-timeout-ms', '70'],
    ] as const
    const ends = [true, false].map(respectExpectedRqTimeout => {
      const { router, host } = world({
        respectExpectedRqTimeout,
        action: { timeoutMs: 1000 },
        request: head('/', {}, headers),
      })
      router.forwardRequest()
      const told = host.request.headers.get('x-envoy-expected-rq-timeout-ms')
      vi.advanceTimersByTime(45)
      return [told, host.seen.length]
    })
    expect(ends).toEqual([
      ['40', 1],
      ['70', 0],
    ])
  })

  it.each([
    ['x-envoy-upstream-rq-timeout-ms', '5s'],
    ['x-envoy-upstream-rq-per-try-timeout-ms', '-1'],
    ['x-envoy-max-retries', '4294967296'],
    ['x-envoy-retry-on', '5xx, sometimes'],
    ['x-envoy-retry-grpc-on', 'cancelled,nope'],
  ] as const)('strict_check_headers: 400 for %s: %s', (name, value) => {
    const { router, host, tries } = world({ strictCheckHeaders: [name], request: head('/', {}, [[name, value]]) })
    router.forwardRequest()
    expect([tries.length, host.seen]).toEqual([0, [`reply 400 request_headers_failed_strict_check{${name}}`]])
  })

  it('strict_check_headers: what is well formed, or not to be checked, passes', () => {
    const names = ['x-envoy-retry-on', 'x-envoy-max-retries']
    const headers: [string, string][] = [
      ['x-envoy-retry-on', '5xx, reset'],
      ['x-envoy-max-retries', '2'],
      ['x-envoy-upstream-rq-timeout-ms', 'soon'],
    ]
    const { router, tries } = world({ strictCheckHeaders: names, request: head('/', {}, headers) })
    router.forwardRequest()
    expect(tries).toHaveLength(1)
  })
})
