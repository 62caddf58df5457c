// api_key_auth without a proxy around it; what it does with requests is compared with Envoy in integration/envoy-differential-filters.test.ts.
import { expect, it } from 'vitest'
import type { ApiKeyAuthConfig } from '../../../src/model/http-filter.js'
import { FakeCall, FakeEnvironment, requestHead, runHead } from './fake-call.js'

const config: ApiKeyAuthConfig = {
  credentials: new Map([['k', 'one']]),
  keySources: [
    { from: 'query', name: 'key' },
    { from: 'cookie', name: 'key' },
  ],
  clientHeader: 'x-client',
  hideCredentials: true,
}
const factory = () => new FakeEnvironment().factory({ kind: 'apiKeyAuth', config })

it('hides the key and leaves the rest of query and cookies as it came', () => {
  const call = new FakeCall(requestHead({ path: '/a?x&key=%6B&y=%41&key=z' }, { cookie: ['key=k; a=1', 'key=k', 'b=2;key=k;  c=3'] }))
  expect(runHead(factory(), call).status).toBe('continue')
  expect(call.request.path).toBe('/a?x&y=%41')
  expect(call.request.headers.getAll('cookie')).toEqual(['a=1', 'b=2;  c=3'])
  expect(call.request.headers.get('x-client')).toBe('one')
})

it('takes the first of several fields, but Authorization as the one value that it is', () => {
  const keySources = [
    { from: 'header', name: 'authorization' },
    { from: 'header', name: 'x-key' },
  ] as const
  const filter = new FakeEnvironment().factory({ kind: 'apiKeyAuth', config: { ...config, keySources } })
  const passes = (headers: Record<string, string[]>) => runHead(filter, new FakeCall(requestHead({}, headers))).status === 'continue'
  expect(passes({ 'x-key': ['k', 'other'] })).toBe(true)
  expect(passes({ authorization: ['Bearer k'] })).toBe(true)
  expect(passes({ authorization: ['Bearer k', 'Bearer other'] })).toBe(false)
})

it('explains a request without counting or answering it', async () => {
  const filter = factory().create(new FakeCall(requestHead()))!
  const explained = (path: string) => {
    const call = new FakeCall(requestHead({ path }))
    return filter.explain!(call, call.request)
  }
  expect(await explained('/?key=k')).toEqual({ verdict: 'passes', reason: "its key is that of 'one'" })
  expect(await explained('/?key=x')).toEqual({ verdict: 'denies', reason: 'unknown_api_key', status: 401 })
})
