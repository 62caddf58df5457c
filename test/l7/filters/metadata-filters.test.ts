// set_metadata, set_filter_state, json_to_metadata and credential_injector. Compared with Envoy in integration/metadata-filters-differential.test.ts
// and oauth2-differential.test.ts.
import { describe, expect, it } from 'vitest'
import type { JsonMetadataRules, JsonMetadataTarget } from '../../../src/model/metadata-filters.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from './fake-call.js'

describe('set_metadata', () => {
  it('merges by keys and lists, or leaves what is there and counts it', () => {
    const world = new FakeEnvironment()
    const rules = [
      { namespace: 'n', value: { a: 1, o: { x: 1 }, l: [1] }, merges: false },
      { namespace: 'n', value: { a: 2, o: { y: 2 }, l: [2] }, merges: true },
      { namespace: 'n', value: { a: 3 }, merges: false },
    ]
    const call = new FakeCall(requestHead())
    runHead(world.factory({ kind: 'setMetadata', config: rules }), call)
    expect({ ...call.info.dynamicMetadata('n') }).toEqual({ a: 2, o: { x: 1, y: 2 }, l: [1, 2] })
    expect(world.counter('http.in.set_metadata.overwrite_denied')).toBe(1)
  })
})

it('metadata of a route come behind those of the filter, and are counted for all', () => {
  const world = new FakeEnvironment()
  const rule = (of: string, merges: boolean) => [{ namespace: 'n', value: { of, [of]: true }, merges }]
  const factory = world.factory({ kind: 'setMetadata', config: rule('filter', true) })
  const answered = (merges: boolean) => {
    const override = { disabled: false, kind: 'setMetadata', config: rule('route', merges) } as const
    const call = new FakeCall(requestHead(), undefined, { overrides: { [factory.name]: override } })
    runHead(factory, call)
    return { ...call.info.dynamicMetadata('n') }
  }
  expect(answered(true)).toEqual({ of: 'route', filter: true, route: true })
  expect(answered(false)).toEqual({ of: 'filter', filter: true })
  expect(world.counter('set_metadata.overwrite_denied')).toBe(1)
})

const text = (format: string) => ({ text: format, json: null, omitEmptyValues: false })

describe('set_filter_state', () => {
  it('sets what a format gives, and matches the route again where it shall', () => {
    const values = [
      { key: 'a', format: text('%REQ(x-a)%|%REQ(x-none)%|%REQ(:method)%'), skipIfEmpty: false },
      { key: 'b', format: { ...text('%REQ(x-b)%'), omitEmptyValues: true }, skipIfEmpty: true },
    ]
    const call = new FakeCall(requestHead({}, { 'x-a': '1' }))
    runHead(new FakeEnvironment().factory({ kind: 'setFilterState', config: { values, clearsRoute: true } }), call)
    expect([call.info.filterState('a'), call.info.filterState('b'), call.routeCleared]).toEqual(['1|-|GET', undefined, 1])
  })
})

describe('json_to_metadata', () => {
  const target = (key: string, more: Partial<JsonMetadataTarget> = {}): JsonMetadataTarget => ({
    namespace: 'n',
    key,
    value: undefined,
    type: 'PROTOBUF_VALUE',
    keepsPresent: false,
    ...more,
  })
  const rules = (list: JsonMetadataRules['rules'], more: Partial<JsonMetadataRules> = {}): JsonMetadataRules => ({
    rules: list,
    contentTypes: ['application/json'],
    contentTypeRegex: null,
    allowsNoContentType: false,
    ...more,
  })
  const FOUND = [
    {
      path: ['a', 'b'],
      onPresent: target('deep'),
      onMissing: target('deep', { value: 'none' }),
      onError: target('deep', { value: 'bad' }),
    },
    { path: ['n'], onPresent: target('text', { type: 'STRING' }), onMissing: null, onError: null },
    { path: ['s'], onPresent: target('number', { type: 'NUMBER' }), onMissing: null, onError: target('number', { value: -1 }) },
    { path: ['n'], onPresent: target('own', { value: 'v' }), onMissing: null, onError: null },
    { path: ['n'], onPresent: target('own', { value: 'w', keepsPresent: true }), onMissing: null, onError: null },
  ]

  const read = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }, more = {}) => {
    const world = new FakeEnvironment()
    const config = { request: rules(FOUND, more), response: null }
    const call = new FakeCall(requestHead({ method: 'POST' }, headers))
    const { status } = runHead(world.factory({ kind: 'jsonToMetadata', config }), call, body === '')
    call.buffering?.done(Buffer.from(body), true)
    const counted = ['success', 'mismatched_content_type', 'no_body', 'invalid_json_body'].filter(
      name => world.counter(`json_to_metadata.rq.${name}`) > 0,
    )
    return { found: { ...call.info.dynamicMetadata('n') }, counted, status, resumed: call.resumed, cleared: call.routeCleared }
  }

  it('takes fields by their path, in the type that is asked for', () => {
    expect(read('{"a":{"b":true},"n":1.5,"s":"12"}')).toEqual({
      found: { deep: true, text: '1.500000', number: 12, own: 'w' },
      counted: ['success'],
      status: 'stop',
      resumed: 1,
      cleared: 1,
    })
    expect(read('{"n":true,"s":false}').found).toEqual({ deep: 'none', text: '1', number: 0, own: 'w' })
    expect(read('{"a":{"b":{}},"n":"","s":null}').found).toEqual({ deep: 'none', own: 'w' })
    expect(read('7').found).toEqual({ deep: 'none' })
    expect(read('[7]').found).toEqual({ deep: 'none', own: 'w' })
    expect(read('{"a":[],"n":"x","s":"y"}').found).toEqual({ deep: 'none', text: 'x', own: 'w' })
  })

  it.each([
    ['1.0', '1.000000'],
    ['1e3', '1000.000000'],
    ['-0', '0'],
    ['9007199254740993', '9007199254740993'],
    ['1e22', '10000000000000000000000.000000'],
  ])('prints %s as %s, as it is written', (written, text) => {
    expect(read(`{"x":"\\"5\\\\","a":{"b":[5]},"n":${written}}`).found).toMatchObject({ text })
  })

  it('takes a number beyond all doubles for no JSON', () => {
    for (const written of ['1e400', '9'.repeat(400)]) expect(read(`{"n":${written}}`).counted).toEqual(['invalid_json_body'])
    expect(read('{"n":"1e400"}').found).toMatchObject({ text: '1e400' })
  })

  it('knows a body that is none, no JSON, or of another type', () => {
    expect(read('{')).toMatchObject({ found: { deep: 'bad', number: -1 }, counted: ['invalid_json_body'] })
    expect(read('')).toMatchObject({ found: { deep: 'none' }, counted: ['no_body'], status: 'continue' })
    expect(read('{"n":1}', { 'content-type': 'text/plain' })).toMatchObject({
      found: { deep: 'bad', number: -1 },
      counted: ['mismatched_content_type'],
      resumed: 0,
    })
    expect(read('{"n":1}', {})).toMatchObject({ found: { deep: 'bad' }, counted: ['mismatched_content_type'] })
    expect(read('{"n":1}', {}, { allowsNoContentType: true }).found).toMatchObject({ text: '1' })
    expect(read('{"n":1}', { 'content-type': 'application/x+json' }, { contentTypeRegex: 'application/.*\\+json' }).found).toMatchObject({
      text: '1',
    })
  })

  it('reads responses too, and gives them on as they are', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const filter = world.factory({ kind: 'jsonToMetadata', config: { request: null, response: rules(FOUND) } }).create(call)!
    expect(filter.responseHead!(call, responseHead(200, { 'content-type': 'application/json' }), false, false)).toBe('stop')
    const body = Buffer.from('{"n":2}')
    expect(call.responseBuffering!(body, null)).toEqual({ body, trailers: null })
    expect(call.info.dynamicMetadata('n')).toMatchObject({ text: '2' })
  })
})

describe('credential_injector', () => {
  const config = {
    secret: { name: 's', source: { kind: 'static' }, initialFetchTimeoutMs: 0 },
    header: 'authorization',
    prefix: 'Basic ',
    overwrite: false,
    allowWithout: false,
  }
  const run = (secret: string | null, headers: Record<string, string>, more = {}) => {
    const world = new FakeEnvironment()
    if (secret !== null) world.secrets.setStatic({ name: 's', kind: 'generic', secret: { kind: 'inline', text: secret } })
    const call = new FakeCall(requestHead({}, headers))
    const { status } = runHead(world.factory({ kind: 'credentialInjector', config: { ...config, ...more } }), call)
    const counted = ['injected', 'failed', 'already_exists'].filter(name => world.counter(`http.in.credential_injector.${name}`) > 0)
    return [status, call.request.headers.get('authorization'), counted[0], call.reply?.status]
  }

  it('puts the secret on requests, over what is there only where it shall', () => {
    expect(run('abc', {})).toEqual(['continue', 'Basic abc', 'injected', undefined])
    expect(run('abc', { authorization: 'own' })).toEqual(['continue', 'own', 'already_exists', undefined])
    expect(run('abc', { authorization: 'own' }, { overwrite: true })).toEqual(['continue', 'Basic abc', 'injected', undefined])
  })

  it('refuses a request without a secret, unless it may go', () => {
    expect(run(null, {})).toEqual(['stop', undefined, 'failed', 401])
    expect(run('a\nb', {})).toEqual(['stop', undefined, 'failed', 401])
    expect(run(null, {}, { allowWithout: true })).toEqual(['continue', undefined, 'failed', undefined])
  })
})
