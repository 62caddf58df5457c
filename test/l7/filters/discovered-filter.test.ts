import { describe, expect, it } from 'vitest'
import type { FilterFactory } from '../../../src/l7/filters/http-filter.js'
import type { ExtensionConfig } from '../../../src/model/extension-config.js'
import type { FilterDiscovery, HttpFilterConfig } from '../../../src/model/http-filter.js'
import { FakeCall, FakeEnvironment, requestHead, runHead } from './fake-call.js'

const BUFFER = 'envoy.extensions.filters.http.buffer.v3.Buffer'
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router'

const discovery = (changes: Partial<FilterDiscovery> = {}): FilterDiscovery => ({
  source: { kind: 'ads' },
  initialFetchTimeoutMs: 0,
  typeNames: [BUFFER, ROUTER],
  fallback: null,
  withoutWarming: false,
  isLast: false,
  ...changes,
})
const config = (filter: HttpFilterConfig, typeName: string): ExtensionConfig => ({ name: 'd', typeName, place: 'http', filter })

function discovered(changes: Partial<FilterDiscovery> = {}) {
  const env = new FakeEnvironment()
  const factory = env.factory({ name: 'd', disabled: false, kind: 'discovered', discovery: discovery(changes) })
  return { factory, user: env.users.get('d')! }
}

describe('a filter whose configuration is discovered', () => {
  const statusOf = (factory: FilterFactory, method = 'GET'): number | null => {
    const call = new FakeCall(requestHead({ method }))
    runHead(factory, call)
    return call.reply?.status ?? null
  }
  const buffer = (maxRequestBytes: number): HttpFilterConfig => ({ kind: 'buffer', config: { maxRequestBytes } })

  it('answers 500 while it has none, and again once it is removed', () => {
    const { factory, user } = discovered()
    expect(statusOf(factory)).toBe(500)
    user.use(config(buffer(5), BUFFER))
    expect(statusOf(factory)).toBeNull()
    user.use(null)
    expect(statusOf(factory)).toBe(500)
  })

  it('is its default until the first one comes, and after the last', () => {
    const { factory, user } = discovered({ fallback: buffer(5) })
    const limit = (): number | undefined => {
      const call = new FakeCall(requestHead())
      runHead(factory, call, false)
      return call.buffering?.maxBytes
    }
    expect(limit()).toBe(5)
    user.use(config(buffer(7), BUFFER))
    expect(limit()).toBe(7)
    user.use(null)
    expect(limit()).toBe(5)
  })

  it.each([
    ['a type that is not listed', {}, { kind: 'cors' }, 'x.Cors', /has type x\.Cors, but type_urls has/],
    ['a router before the end', {}, { kind: 'router', config: {} }, ROUTER, /terminal filter 'd'.* must be the last/],
    ['another filter at the end', { isLast: true }, { kind: 'cors' }, BUFFER, /non-terminal filter 'd'.* is the last/],
  ] as const)('refuses %s', (_, changes, filter, typeName, reason) => {
    expect(discovered(changes).user.check(config(filter as HttpFilterConfig, typeName))).toMatch(reason)
  })

  it('takes the router at the end, and a listed type elsewhere', () => {
    expect(discovered({ isLast: true }).user.check(config({ kind: 'router', config: {} as never }, ROUTER))).toBeNull()
    expect(discovered().user.check(config(buffer(1), BUFFER))).toBeNull()
  })
})
