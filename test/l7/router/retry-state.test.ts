import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamRequest } from '../../../src/l7/client/upstream-request.js'
import type { RequestHead, ResponseHead, StreamReset } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import type { CompiledForward } from '../../../src/l7/route/compiled-route.js'
import { compileRouteTable } from '../../../src/l7/route/route-table.js'
import { type RetriedRequest, RetryState } from '../../../src/l7/router/retry-state.js'
import type { UpstreamFailure } from '../../../src/l7/stream/upstream-failure.js'
import { clusterStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import { BREAKER_DEFAULTS } from '../../../src/model/defaults.js'
import type { RetryPolicy, VirtualHost } from '../../../src/model/route.js'
import { Breakers } from '../../../src/upstream/host/breakers.js'
import type { Host } from '../../../src/upstream/host/host.js'
import { forwardAction, head, info, route, routeTable, virtualHost } from '../request-fixtures.js'
import { retryPolicy } from './fake-host.js'

const POLICY = retryPolicy({ retryOn: [] })

function setup(
  policy: Partial<RetryPolicy> | null,
  request: RequestHead = head(),
  options: {
    repick?: boolean
    maxRetries?: number
    hedge?: boolean
    host?: Partial<VirtualHost>
    routeTimeoutMs?: number
    random?: () => number
  } = {},
) {
  const action = forwardAction({
    retry: policy === null ? null : { ...POLICY, ...policy },
    hedge: options.hedge ? { hedgeOnPerTryTimeout: true } : null,
  })
  const metadata = new Map(options.repick ? [['outrigger', { retry_repick: true }]] : [])
  const table = compileRouteTable(routeTable([virtualHost('v', ['*'], [route('r', {}, action, { metadata })], options.host)]), {
    runtime: EMPTY_RUNTIME,
  })
  const of = info(request)
  const result = table.match(request, of, () => 0)
  if (result.kind !== 'route') throw new Error('no route')
  const stats = clusterStats(new StatsStore(), 'api')
  const breakers = new Breakers({ ...BREAKER_DEFAULTS, maxRetries: options.maxRetries ?? 3 }, 'default', stats)
  const retried: RetriedRequest = {
    request,
    cluster: { breakers: () => breakers, traffic: stats, priorityOf: of => of.priority },
    counters: null,
    routeTimeoutMs: options.routeTimeoutMs ?? 0,
    random: options.random ?? (() => 0.5),
  }
  const forward = result.route.forward as CompiledForward
  return { state: RetryState.create(retried, forward, 9n), breakers, main: stats.main, request }
}

const response = (status: number, headers: readonly (readonly [string, string])[] = []): ResponseHead => ({
  status,
  reason: '',
  version: 'HTTP/1.1',
  headers: HeaderList.of(...headers),
  contentLength: -1,
  upgraded: false,
})
const reset = (code: StreamReset['code']): UpstreamFailure => ({ kind: 'reset', reset: { code, details: '' }, reuseRace: false })
const attempt = (headSent = true) => ({ headSent }) as UpstreamRequest
const on = (...retryOn: string[]) => setup({ retryOn, retriableStatusCodes: [418] }).state!

describe('create', () => {
  it('is null where nobody asks for retries', () => {
    expect(setup(null).state).toBeNull()
    expect(setup({}).state).toBeNull()
  })

  it('takes the virtual host’s policy where the route has none', () => {
    expect(setup(null, head(), { host: { retry: { ...POLICY, retryOn: ['5xx'] } } }).state!.wantsRetryOnResponse(response(500), -1)).toBe(
      true,
    )
  })

  it('keeps a per-try timeout without retry_on', () => {
    const { state } = setup({ perTryTimeoutMs: 100 })
    expect([state!.perTryTimeoutMs, state!.wantsRetryOnResponse(response(500), -1)]).toEqual([100, false])
  })

  it('reads the request’s headers and takes them off', () => {
    const request = head('/', {}, [
      ['x-envoy-retry-on', 'gateway-error, retriable-status-codes,retriable-headers'],
      ['x-envoy-retry-grpc-on', 'unavailable'],
      ['x-envoy-max-retries', '5'],
      ['x-envoy-retriable-status-codes', '409, 410'],
      ['x-envoy-retriable-header-names', 'X-Again'],
      ['x-envoy-upstream-rq-per-try-timeout-ms', '70'],
      ['x-envoy-hedge-on-per-try-timeout', 'true'],
      ['x-other', '1'],
    ])
    const { state } = setup(null, request, { maxRetries: 10 })
    expect(request.headers.lower).toEqual(['x-other'])
    expect([state!.perTryTimeoutMs, state!.hedgeOnPerTryTimeout, state!.hash]).toEqual([70, true, 9n])
    expect([502, 410, 500].map(status => state!.wantsRetryOnResponse(response(status), -1))).toEqual([true, true, false])
    expect(state!.wantsRetryOnResponse(response(200, [['x-again', '']]), -1)).toBe(true)
    expect(state!.wantsRetryOnResponse(response(200), 14)).toBe(true)
    expect([1, 2, 3, 4, 5, 6].map(() => state!.take())).toEqual([true, true, true, true, true, false])
  })

  it('ignores a per-try timeout that outlasts the request, and hedges safe methods only', () => {
    expect(setup({ perTryTimeoutMs: 100 }, head(), { routeTimeoutMs: 100 }).state!.perTryTimeoutMs).toBeNull()
    expect(setup({ perTryTimeoutMs: 100 }, head('/', { method: 'POST' }), { hedge: true }).state!.hedgeOnPerTryTimeout).toBe(false)
  })

  it('retries only requests that retriable_request_headers name', () => {
    const policy = {
      retryOn: ['5xx'],
      retriableRequestHeaders: [{ name: 'x-retry', match: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false }],
    } as const
    expect(setup(policy).state!.wantsRetryOnResponse(response(500), -1)).toBe(false)
    expect(setup(policy, head('/', {}, [['x-retry', '1']])).state!.wantsRetryOnResponse(response(500), -1)).toBe(true)
  })
})

describe('retry_on for responses', () => {
  it.each([
    ['5xx', 500, true],
    ['5xx', 404, false],
    ['gateway-error', 502, true],
    ['gateway-error', 500, false],
    ['retriable-4xx', 409, true],
    ['retriable-4xx', 404, false],
    ['retriable-status-codes', 418, true],
    ['retriable-status-codes', 500, false],
    ['connect-failure', 503, false],
    ['http3-post-connect-failure', 503, false],
    ['nonsense', 500, false],
  ])('%s on %d: %s', (token, status, expected) => {
    const { state } = setup({ retryOn: [token, 'refused-stream'], retriableStatusCodes: [418] })
    expect(state!.wantsRetryOnResponse(response(status), -1)).toBe(expected)
  })

  it.each([
    ['cancelled', 1],
    ['deadline-exceeded', 4],
    ['resource-exhausted', 8],
    ['internal', 13],
    ['unavailable', 14],
  ])('%s on gRPC status %d', (token, status) => {
    expect(on(token).wantsRetryOnResponse(response(200), status)).toBe(true)
    expect(on(token).wantsRetryOnResponse(response(200), 0)).toBe(false)
    expect(on(token).wantsRetryOnResponse(response(200), status + 1)).toBe(false)
  })

  it('retriable-headers by the policy’s matchers', () => {
    const { state } = setup({
      retryOn: ['retriable-headers'],
      retriableHeaders: [{ name: ':status', match: { kind: 'range', start: 200n, end: 201n }, invert: false, treatMissingAsEmpty: false }],
    })
    expect([state!.wantsRetryOnResponse(response(200), -1), state!.wantsRetryOnResponse(response(201), -1)]).toEqual([true, false])
  })

  it('leaves rate-limited responses alone unless asked', () => {
    const limited = response(503, [['x-envoy-ratelimited', 'true']])
    expect(on('5xx').wantsRetryOnResponse(limited, -1)).toBe(false)
    expect(on('envoy-ratelimited').wantsRetryOnResponse(limited, -1)).toBe(true)
  })
})

describe('retry_on for failures', () => {
  const CONNECT: UpstreamFailure = { kind: 'connect-failure', why: '', reason: '', tls: false }
  const TIMEOUT: UpstreamFailure = { kind: 'per-try-timeout' }
  it.each<[string, UpstreamFailure, boolean, boolean]>([
    ['5xx', reset('remote-reset'), true, true],
    ['gateway-error', CONNECT, false, true],
    ['5xx', TIMEOUT, true, true],
    ['reset', reset('connection-closed'), true, true],
    ['reset', TIMEOUT, true, true],
    ['connect-failure', CONNECT, false, true],
    ['connect-failure', { kind: 'connect-timeout', why: '', reason: '', tls: false }, false, true],
    ['connect-failure', reset('remote-reset'), true, false],
    ['refused-stream', reset('refused'), true, true],
    ['refused-stream', reset('remote-reset'), true, false],
    ['reset-before-request', reset('connection-closed'), false, true],
    ['reset-before-request', reset('connection-closed'), true, false],
    ['5xx', { kind: 'overflow', why: '' }, false, false],
    ['reset', reset('overflow'), true, false],
    ['retriable-4xx', reset('remote-reset'), true, false],
  ])('%s on %j (head sent: %s): %s', (token, failure, sent, expected) => {
    expect(on(token).wantsRetryOnFailure(failure, attempt(sent))).toBe(expected)
  })

  it('hedges on a per-try timeout whatever retry_on says', () => {
    const { state } = setup({ retryOn: ['connect-failure'], perTryTimeoutMs: 10 }, head(), { hedge: true })
    expect(state!.wantsRetryOnFailure(TIMEOUT, attempt())).toBe(true)
  })
})

describe('take', () => {
  it('counts down, counts, and says why not', () => {
    const { state, main } = setup({ retryOn: ['5xx'], numRetries: 1 })
    expect([state!.take(), state!.limitReached]).toEqual([true, false])
    expect([state!.take(), state!.limitReached, state!.overflowed]).toEqual([false, true, false])
    expect([main.upstream_rq_retry.value, main.upstream_rq_retry_limit_exceeded.value]).toEqual([1, 1])
  })

  it('holds one permit of the breaker until the outcome, and counts a success', () => {
    const { state, breakers, main } = setup({ retryOn: ['5xx'], numRetries: 3 })
    state!.take()
    state!.take()
    expect(breakers.retries).toBe(1)
    state!.succeeded(200)
    expect([breakers.retries, main.upstream_rq_retry_success.value]).toEqual([0, 1])
    state!.succeeded(200)
    expect(main.upstream_rq_retry_success.value).toBe(1)
  })

  it('is refused by a full breaker', () => {
    const { state, main } = setup({ retryOn: ['5xx'] }, head(), { maxRetries: 0 })
    expect([state!.take(), state!.overflowed, state!.limitReached]).toEqual([false, true, false])
    expect(main.upstream_rq_retry_overflow.value).toBe(1)
  })

  it('gives the permit back on release, and takes none afterwards', () => {
    const { state, breakers } = setup({ retryOn: ['5xx'], numRetries: 3 })
    state!.take()
    state!.release()
    state!.release()
    expect([breakers.retries, state!.take()]).toEqual([0, false])
  })
})

describe('schedule', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'], now: 1_000_000_000_000 })
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const waits = (state: RetryState, at: ResponseHead | null = null): number => {
    let ran = -1
    const start = performance.now()
    state.schedule(at, () => {
      ran = performance.now() - start
    })
    vi.advanceTimersByTime(1_000_000)
    return Math.round(ran)
  }

  it('waits at random below an interval that doubles up to the maximum', () => {
    const { state, main } = setup({ retryOn: ['5xx'], baseIntervalMs: 100, maxIntervalMs: 350 }, head(), { random: () => 0.99 })
    expect([1, 2, 3, 4].map(() => waits(state!))).toEqual([99, 198, 346, 346])
    expect(main.upstream_rq_retry_backoff_exponential.value).toBe(4)
  })

  it('waits as long as reset headers ask, and not less', () => {
    const rateLimitedBackoff = {
      headers: [
        { name: 'retry-after', format: 'SECONDS' },
        { name: 'x-reset', format: 'UNIX_TIMESTAMP' },
      ],
      maxIntervalMs: 10_000,
    } as const
    const { state, main } = setup({ retryOn: ['5xx'], rateLimitedBackoff }, head(), { random: () => 0.5 })
    expect(waits(state!, response(503, [['retry-after', '2']]))).toBe(2500)
    const at = String(Math.floor(Date.now() / 1000) + 4)
    expect(
      waits(
        state!,
        response(503, [
          ['retry-after', 'soon'],
          ['x-reset', at],
        ]),
      ),
    ).toBe(5000)
    expect(main.upstream_rq_retry_backoff_ratelimited.value).toBe(2)
    expect(waits(state!, response(503, [['retry-after', '11']]))).toBe(12)
    expect(main.upstream_rq_retry_backoff_exponential.value).toBe(1)
  })

  it('calls nothing once released', () => {
    const { state } = setup({ retryOn: ['5xx'] })
    const fn = vi.fn()
    state!.schedule(null, fn)
    state!.release()
    vi.advanceTimersByTime(10_000)
    expect(fn).not.toHaveBeenCalled()
  })
})

describe('where', () => {
  const host = (priority = 0, lb: { canary?: boolean; zone?: string } = {}) =>
    ({ priority, canary: lb.canary === true, metadata: new Map([['envoy.lb', lb]]) }) as unknown as Host

  it('skips nobody on the first try, then previous, canary and marked hosts', () => {
    const { state } = setup({
      retryOn: ['5xx'],
      avoidPreviousHosts: true,
      omitCanaryHosts: true,
      omitHostMetadata: new Map([['envoy.lb', { zone: 'a' }]]),
      hostSelectionMaxAttempts: 3,
    })
    const [first, second, canary, marked] = [host(), host(), host(0, { canary: true }), host(0, { zone: 'a' })]
    expect([state!.shouldSkip(canary!), state!.hostSelectionAttempts]).toEqual([false, 4])
    state!.tried(first!)
    expect([first, second, canary, marked].map(of => state!.shouldSkip(of!))).toEqual([true, false, true, true])
  })

  it('avoids tried priorities, updated every n tries', () => {
    const { state } = setup({ retryOn: ['5xx'], avoidPreviousPrioritiesEvery: 2 })
    state!.tried(host(0))
    expect(state!.excludedPriorities).toBeNull()
    state!.tried(host(1))
    expect(state!.excludedPriorities).toEqual(new Set([0, 1]))
  })

  it('gives the head back as it was before the first leg’s changes, where a retry may pick another leg', () => {
    const request = head('/a', {}, [['x-leg', 'none']])
    const { state } = setup({ retryOn: ['5xx'] }, request, { repick: true })
    state!.remember(request)
    request.path = '/b'
    request.authority = 'elsewhere'
    request.headers.set('x-leg', 'first')
    state!.restore(request)
    expect([request.path, request.authority, request.headers.get('x-leg')]).toEqual(['/a', 'api.example.com', 'none'])
  })
})
