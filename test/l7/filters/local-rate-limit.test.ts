import { describe, expect, it } from 'vitest'
import { maskAddress } from '../../../src/l7/filters/rate-limit/rate-limit-descriptors.js'
import type { LocalRateLimitConfig } from '../../../src/model/http-filter.js'
import type { RateLimit, RateLimitAction } from '../../../src/model/rate-limit.js'
import { ALWAYS, connectionInfo, FakeCall, FakeEnvironment, NEVER, requestHead, responseHead, runHead } from './fake-call.js'

function config(fields: Partial<LocalRateLimitConfig> = {}): LocalRateLimitConfig {
  return {
    statPrefix: 'rl',
    status: 429,
    bucket: { maxTokens: 2, tokensPerFill: 1, fillIntervalMs: 1000 },
    enabled: ALWAYS,
    enforced: ALWAYS,
    responseHeadersToAdd: [],
    requestHeadersToAddWhenNotEnforced: [],
    descriptors: [],
    stage: 0,
    hostRateLimits: 'override',
    rateLimits: null,
    maxDynamicDescriptors: 20,
    alwaysTakesDefault: true,
    perConnection: false,
    enableXRateLimitHeaders: false,
    rateLimitedAsResourceExhausted: false,
    ...fields,
  }
}

const filter = (fields: Partial<LocalRateLimitConfig> = {}) => ({ kind: 'localRateLimit', config: config(fields) })

const action = (fields: Partial<RateLimitAction>): RateLimitAction => ({
  kind: 'request_headers',
  key: 'user',
  value: '',
  headerName: 'x-user',
  skipIfAbsent: false,
  expectMatch: true,
  headers: [],
  queryParameters: [],
  routeMetadata: false,
  metadataNamespace: '',
  metadataPath: [],
  prefixLengthV4: 32,
  prefixLengthV6: 128,
  ...fields,
})
const byUser: RateLimit = { stage: 0, disableKey: '', actions: [action({})] }

describe('local_ratelimit filter', () => {
  it('answers 429 when the bucket is empty, and counts', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter())
    const statuses = [0, 1, 2].map(() => {
      const call = new FakeCall(requestHead())
      runHead(factory, call)
      return call.reply
    })
    expect(statuses.slice(0, 2)).toEqual([null, null])
    expect(statuses[2]).toMatchObject({
      status: 429,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      // In the flags of the request, not of the reply: only the global limit sends x-envoy-ratelimited.
      flags: 0,
    })
    world.clock.advance(1000)
    expect(runHead(factory, new FakeCall(requestHead())).status).toBe('continue')
    const counters = ['enabled', 'ok', 'rate_limited', 'enforced'].map(name => world.counter(`rl.http_local_rate_limit.${name}`))
    expect(counters).toEqual([4, 3, 1, 1])
  })

  it('makes a bucket for each value of a descriptor that takes any, and keeps as many as it may', () => {
    const factory = new FakeEnvironment().factory(
      filter({
        bucket: null,
        rateLimits: [byUser],
        maxDynamicDescriptors: 2,
        descriptors: [{ entries: [{ key: 'user', value: '' }], bucket: { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1000 } }],
      }),
    )
    const passes = (user: string) => runHead(factory, new FakeCall(requestHead({}, { 'x-user': user }))).status === 'continue'
    expect(['a', 'a', 'b', 'b', 'a'].map(passes)).toEqual([true, false, true, false, false])
    // b was used last but one: it makes room for c, and begins anew.
    expect(['c', 'a', 'b'].map(passes)).toEqual([true, false, true])
  })

  it('asks its own actions whatever its stage', () => {
    const descriptors = [{ entries: [{ key: 'user', value: 'a' }], bucket: { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1000 } }]
    const factory = new FakeEnvironment().factory(filter({ bucket: null, stage: 1, rateLimits: [byUser], descriptors }))
    const status = () => runHead(factory, new FakeCall(requestHead({}, { 'x-user': 'a' }))).status
    expect([status(), status()]).toEqual(['continue', 'stop'])
  })

  it('spares the main bucket where a descriptor has given a token, if it is told to', () => {
    const descriptors = [{ entries: [{ key: 'user', value: 'a' }], bucket: { maxTokens: 9, tokensPerFill: 1, fillIntervalMs: 1000 } }]
    const bucket = { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1000 }
    for (const alwaysTakesDefault of [false, true]) {
      const factory = new FakeEnvironment().factory(filter({ bucket, rateLimits: [byUser], descriptors, alwaysTakesDefault }))
      const passes = (user: string) => runHead(factory, new FakeCall(requestHead({}, { 'x-user': user }))).status === 'continue'
      expect(['a', 'a', 'b', 'b'].map(passes)).toEqual(alwaysTakesDefault ? [true, false, false, false] : [true, true, true, false])
    }
  })

  it('only marks the request where it is not enforced, and does nothing where it is not enabled', () => {
    const world = new FakeEnvironment()
    const mark = { name: 'x-limited', value: 'yes', action: 'OVERWRITE_IF_EXISTS_OR_ADD' as const, keepEmptyValue: false }
    const bucket = { maxTokens: 0, tokensPerFill: 1, fillIntervalMs: 1000 }
    const call = new FakeCall(requestHead())
    expect(runHead(world.factory(filter({ bucket, enforced: NEVER, requestHeadersToAddWhenNotEnforced: [mark] })), call).status).toBe(
      'continue',
    )
    expect(call.request.headers.get('x-limited')).toBe('yes')
    expect(runHead(world.factory(filter({ bucket, enabled: NEVER })), new FakeCall(requestHead())).status).toBe('continue')
    expect(world.counter('rl.http_local_rate_limit.enabled')).toBe(1)
  })

  it('has a bucket for each descriptor value, and forgets only the least recently used', () => {
    const world = new FakeEnvironment()
    const descriptors = [{ entries: [{ key: 'user', value: '' }], bucket: { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1000 } }]
    const factory = world.factory(filter({ bucket: { maxTokens: 1000, tokensPerFill: 1, fillIntervalMs: 1000 }, descriptors }))
    const run = (user: string) => {
      const call = new FakeCall(requestHead({}, { 'x-user': user }), undefined, { rateLimits: [byUser] })
      runHead(factory, call)
      return call.reply?.status ?? 200
    }
    expect([run('a'), run('a'), run('b')]).toEqual([200, 429, 200])
    for (let i = 0; i < 30; i++) run(`u${i}`)
    expect(run('u29')).toBe(429)
  })

  it('counts per connection where asked', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ perConnection: true, bucket: { maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 1000 } }))
    const [one, two] = [connectionInfo(null), connectionInfo(null)]
    expect([one, one, two].map(connection => runHead(factory, new FakeCall(requestHead(), connection)).status)).toEqual([
      'continue',
      'stop',
      'continue',
    ])
  })

  it('shows the draft x-ratelimit headers where asked', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ enableXRateLimitHeaders: true })), call)
    const head = responseHead()
    made!.responseHead!(call, head, true, false)
    expect(['limit', 'remaining', 'reset'].map(name => head.headers.get(`x-ratelimit-${name}`))).toEqual(['2', '1', '0'])
  })

  it('uses the bucket of the route instead', () => {
    const world = new FakeEnvironment()
    const override = {
      disabled: false,
      kind: 'localRateLimit' as const,
      config: config({ status: 503, bucket: { maxTokens: 0, tokensPerFill: 1, fillIntervalMs: 1000 } }),
    }
    const call = new FakeCall(requestHead(), undefined, { overrides: { f: override } })
    runHead(world.factory(filter()), call)
    expect(call.reply?.status).toBe(503)
  })
})

describe('masked_remote_address', () => {
  it.each([
    ['10.1.2.3', 16, 128, '10.1.0.0/16'],
    ['10.1.2.3', 32, 128, '10.1.2.3/32'],
    ['255.255.255.255', 0, 0, '0.0.0.0/0'],
    ['2001:db8:1:2::5', 32, 48, '2001:db8:1::/48'],
    ['::1', 32, 64, '::/64'],
  ])('%s', (address, v4, v6, expected) => {
    expect(maskAddress(address, v4, v6)).toBe(expected)
  })

  it('CVE-2026-26310: a scoped address yields no descriptor', () => {
    expect(maskAddress('fe80::1%eth0', 32, 64)).toBeNull()
  })
})
