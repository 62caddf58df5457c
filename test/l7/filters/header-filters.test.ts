import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { ProtobufWriter } from '../../../src/l7/grpc/protobuf-writer.js'
import { compileAccessLogFilter } from '../../../src/l7/log/access-log.js'
import { ResponseFlag } from '../../../src/l7/stream/response-flags.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from './fake-call.js'

const option = (name: string, value: string, action = 'OVERWRITE_IF_EXISTS_OR_ADD') => ({
  kind: 'append',
  option: { name, value, action, keepEmptyValue: false },
})

const NO_MORE = { requestTrailers: [], responseTrailers: [], query: [] }

describe('header_mutation filter', () => {
  const filter = {
    kind: 'headerMutation',
    config: {
      request: [{ kind: 'remove', name: 'x-old' }, option('x-new', '%REQ(:path)%'), option('x-new', '2', 'APPEND_IF_EXISTS_OR_ADD')],
      response: [option('x-server', 'a'), option('x-if', '1', 'OVERWRITE_IF_EXISTS')],
      ...NO_MORE,
    },
    mostSpecificWins: false,
  }

  it('removes and adds in order, on request and response', () => {
    const call = new FakeCall(requestHead({ path: '/p' }, { 'X-Old': '1' }))
    const { filter: made } = runHead(new FakeEnvironment().factory(filter), call)
    expect(call.request.headers.has('x-old')).toBe(false)
    expect(call.request.headers.getAll('x-new')).toEqual(['/p', '2'])
    const head = responseHead()
    made!.responseHead!(call, head, true, false)
    expect([head.headers.get('x-server'), head.headers.has('x-if')]).toEqual(['a', false])
  })

  it('lets the route have the last word', () => {
    const override = { disabled: false, kind: 'headerMutation', config: { request: [option('x-new', 'route')], response: [], ...NO_MORE } }
    const call = new FakeCall(requestHead(), undefined, { overrides: { f: override as never } })
    runHead(new FakeEnvironment().factory(filter), call)
    expect(call.request.headers.getAll('x-new')).toEqual(['route'])
  })

  it('applies every level of the routes, the most specific first, or last where it shall win', () => {
    const level = (name: string) =>
      ({ disabled: false, kind: 'headerMutation', config: { request: [option('x-by', name)], response: [], ...NO_MORE } }) as never
    for (const wins of [false, true]) {
      const call = new FakeCall(requestHead(), undefined, { overrides: { f: level('route') } })
      call.generalOverrides = [level('table'), level('host')]
      runHead(new FakeEnvironment().factory({ ...filter, mostSpecificWins: wins }), call)
      expect(call.request.headers.getAll('x-by')).toEqual([wins ? 'route' : 'table'])
    }
  })

  it('removes headers by a match of their names, and changes trailers', () => {
    const config = {
      request: [{ kind: 'removeOnMatch', matcher: { kind: 'prefix', value: 'x-r', ignoreCase: false } }],
      response: [],
      requestTrailers: [option('x-t', 'up')],
      responseTrailers: [{ kind: 'remove', name: 'x-gone' }],
      query: [],
    }
    const call = new FakeCall(requestHead({}, { 'X-R1': '1', 'x-s': '2', 'x-r2': '3' }))
    const { filter: made } = runHead(new FakeEnvironment().factory({ kind: 'headerMutation', config, mostSpecificWins: false }), call)
    expect(call.request.headers.lower).toEqual(['x-s'])
    expect(made!.requestTrailers!(call, HeaderList.of(['a', '1']))?.get('x-t')).toBe('up')
    expect(made!.responseTrailers!(call, HeaderList.of(['x-gone', '1'], ['b', '2']))?.lower).toEqual(['b'])
  })

  it('changes the query: names in order, what is said as it stands, what is new percent-encoded', () => {
    const query = [
      { kind: 'append', name: 'b', value: '%REQ(x-a)%', action: 'APPEND_IF_EXISTS_OR_ADD' },
      { kind: 'append', name: 'z', value: '1', action: 'ADD_IF_ABSENT' },
      { kind: 'append', name: 'c', value: '2', action: 'OVERWRITE_IF_EXISTS' },
      { kind: 'append', name: 'd', value: '3', action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
      { kind: 'remove', name: 'gone' },
    ]
    const path = (before: string, value: string) => {
      const call = new FakeCall(requestHead({ path: before }, { 'x-a': value }))
      const config = { request: [], response: [], requestTrailers: [], responseTrailers: [], query }
      runHead(new FakeEnvironment().factory({ kind: 'headerMutation', config, mostSpecificWins: false }), call)
      return call.request.path
    }
    expect(path('/p', 'v w')).toBe('/p?b=v%20w&d=3&z=1')
    expect(path('/p?z&gone=1&%62=%20&c=1&c=4&gone', "&'*~")).toBe('/p?%62=%20&b=%26%27*%7E&c=2&d=3&z=')
  })
})

describe('header_to_metadata filter', () => {
  const target = (fields: Record<string, unknown> = {}) => ({
    namespace: 'envoy.lb',
    key: 'k',
    value: '',
    type: 'STRING',
    regexRewrite: null,
    encodeBase64: false,
    ...fields,
  })
  const rule = (fields: Record<string, unknown>) => ({
    header: 'x-v',
    cookie: '',
    onPresent: target(),
    onMissing: null,
    remove: false,
    ...fields,
  })
  const run = (rules: unknown[], headers: Record<string, string>) => {
    const call = new FakeCall(requestHead({}, headers))
    runHead(new FakeEnvironment().factory({ kind: 'headerToMetadata', config: { request: rules, response: [] } }), call)
    return { call, value: call.info.dynamicMetadata('envoy.lb')?.['k'] }
  }

  it('takes values, constants and defaults, and removes the header where asked', () => {
    const { call, value } = run([rule({ remove: true })], { 'x-v': 'v2' })
    expect([value, call.request.headers.has('x-v')]).toEqual(['v2', false])
    expect(run([rule({ onPresent: target({ value: 'const' }) })], { 'x-v': 'a' }).value).toBe('const')
    expect(run([rule({ onMissing: target({ value: 'default' }) })], {}).value).toBe('default')
    expect(run([rule({ header: '', cookie: 'c' })], { cookie: 'a=1; c=2' }).value).toBe('2')
    expect(
      run([rule({ onPresent: target({ regexRewrite: { pattern: '^v(\\d+)$', substitution: 'version-\\1' } }) })], { 'x-v': 'v7' }).value,
    ).toBe('version-7')
  })

  it('reads numbers, base64 and serialized values, and drops what is none', () => {
    const number = rule({ onPresent: target({ type: 'NUMBER' }) })
    expect(run([number], { 'x-v': '12.5' }).value).toBe(12.5)
    expect(run([number], { 'x-v': 'twelve' }).value).toBeUndefined()
    expect(run([rule({ onPresent: target({ encodeBase64: true }) })], { 'x-v': Buffer.from('hi').toString('base64') }).value).toBe('hi')
    expect(run([rule({ onPresent: target({ encodeBase64: true }) })], { 'x-v': '*' }).value).toBeUndefined()
    const value = new ProtobufWriter().bool(4, true).finish().toString('base64')
    expect(run([rule({ onPresent: target({ type: 'PROTOBUF_VALUE' }) })], { 'x-v': value }).value).toBe(true)
    expect(run([rule({})], { 'x-v': 'x'.repeat(8193) }).value).toBeUndefined()
  })
})

describe('buffer filter', () => {
  const filter = { kind: 'buffer', config: { maxRequestBytes: 10 } }

  it('waits for the body and declares its length', () => {
    const call = new FakeCall(requestHead({ method: 'POST', contentLength: -1 }))
    expect(runHead(new FakeEnvironment().factory(filter), call, false).status).toBe('stop')
    expect(call.buffering).toMatchObject({ maxBytes: 10, allowPartial: false })
    call.buffering!.done(Buffer.from('abc'), true)
    expect([call.resumed, call.request.contentLength, call.request.headers.get('content-length')]).toEqual([1, 3, '3'])
  })

  it('goes on at once without a body, and never waits for the end of a tunnel', () => {
    expect(runHead(new FakeEnvironment().factory(filter), new FakeCall(requestHead())).status).toBe('continue')
    expect(new FakeEnvironment().factory(filter).create(new FakeCall(requestHead({ upgrade: 'websocket' })))).toBeNull()
  })

  it('goes on when the body is there already', () => {
    const call = new FakeCall(requestHead({ method: 'POST', contentLength: -1 }))
    call.bufferRequest = (_max, _partial, done) => done(Buffer.from('x'), true)
    expect(runHead(new FakeEnvironment().factory(filter), call, false).status).toBe('continue')
    expect(call.resumed).toBe(0)
  })
})

describe('health_check filter', () => {
  const path = {
    name: ':path',
    match: { kind: 'string', matcher: { kind: 'exact', value: '/healthz', ignoreCase: false } },
    invert: false,
    treatMissingAsEmpty: false,
  }
  const filter = (fields: Record<string, unknown> = {}) => ({
    kind: 'healthCheck',
    config: { passThrough: false, headers: [path], cacheTimeMs: null, clusterMinHealthyPercentages: new Map(), ...fields },
  })
  const probe = () => new FakeCall(requestHead({ path: '/healthz' }))
  const cluster = (healthy: number, degraded: number, total: number) => ({
    config: { altStatName: '' },
    stats: {
      main: { membership_healthy: { value: healthy }, membership_degraded: { value: degraded }, membership_total: { value: total } },
    },
  })

  it('answers 200, or 503 while the server is told to fail', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter())
    const well = probe()
    runHead(factory, well)
    expect(well.reply).toMatchObject({ status: 200, details: 'health_check_ok' })
    world.failing = true
    const ill = probe()
    runHead(factory, ill)
    expect(ill.reply).toMatchObject({ status: 503, flags: ResponseFlag.FailedLocalHealthCheck })
    expect(ill.reply?.headers?.get('x-envoy-immediate-health-check-fail')).toBe('true')
    const other = new FakeCall(requestHead())
    const { filter: made, status } = runHead(factory, other)
    const head = responseHead()
    made!.responseHead!(other, head, true, false)
    expect([status, head.headers.get('x-envoy-immediate-health-check-fail')]).toEqual(['continue', 'true'])
  })

  it('its requests are health checks to not_health_check_filter, answered here or passed through; others are not', () => {
    const logged = compileAccessLogFilter({ kind: 'notHealthCheck' })
    const isLogged = (call: FakeCall, fields = {}) => {
      runHead(new FakeEnvironment().factory(filter(fields)), call)
      return logged(call.info)
    }
    expect([isLogged(probe()), isLogged(probe(), { passThrough: true }), isLogged(new FakeCall(requestHead()))]).toEqual([
      false,
      false,
      true,
    ])
  })

  it('answers by the health of clusters', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ clusterMinHealthyPercentages: new Map([['api', 50]]) }))
    const answer = () => {
      const call = probe()
      runHead(factory, call)
      return [call.reply?.status, call.reply?.details]
    }
    expect(answer()).toEqual([503, 'health_check_failed_no_cluster_found'])
    world.clusters.set('api', cluster(1, 1, 4))
    expect(answer()).toEqual([200, 'health_check_ok_cluster_healthy'])
    world.clusters.set('api', cluster(1, 0, 4))
    expect(answer()).toEqual([503, 'health_check_failed_cluster_unhealthy'])
    world.clusters.set('api', cluster(0, 0, 0))
    expect(answer()).toEqual([503, 'health_check_failed_cluster_empty'])
  })

  it('passes through and keeps the answer for the cache time', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ passThrough: true, cacheTimeMs: 1000 }))
    const first = probe()
    const { filter: made, status } = runHead(factory, first)
    expect(status).toBe('continue')
    const head = responseHead(503)
    made!.responseHead!(first, head, true, false)
    expect(head.headers.get('x-envoy-upstream-healthchecked-cluster')).toBe('me')
    const second = probe()
    runHead(factory, second)
    expect(second.reply?.status).toBe(503)
    world.clock.advance(1001)
    expect(runHead(factory, probe()).status).toBe('continue')
  })
})
