// Filters behind a matcher without a proxy around them; integration/matched-filters.test.ts compares them with Envoy.
import { expect, it } from 'vitest'
import { FakeEnvironment, NEVER, requestHead } from './fake-call.js'
import { FakeChainHost } from './fake-chain-host.js'

const option = { name: 'x-seen', value: 'yes', action: 'APPEND_IF_EXISTS_OR_ADD', keepEmptyValue: false }
const mutation = {
  kind: 'headerMutation',
  config: { request: [], response: [{ kind: 'append', option }], requestTrailers: [], responseTrailers: [], query: [] },
}
const always = (action: object) => ({ kind: 'list', matchers: [], onNoMatch: { kind: 'action', action } })
const REFUSES = {
  name: 'refuses',
  kind: 'basicAuth',
  config: { users: new Map(), realm: 'r', forwardUsernameHeader: '', authenticationHeader: 'authorization', allowMissing: false },
}

/** What the client gets of a filter's own answer, with `matched` behind that filter. */
const seenBy = (matched: object) => {
  const factories = new FakeEnvironment().factories([REFUSES, { kind: 'matched', ...matched }])
  const host = new FakeChainHost(requestHead(), true, factories)
  host.chain.run()
  return [host.response!.status, host.response!.headers.get('x-seen')]
}

it('one that looks at answers alone sees those of filters before it, unless it is skipped or a composite', () => {
  expect(seenBy({ tree: null, filter: mutation })).toEqual([401, 'yes'])
  expect(seenBy({ tree: always({ kind: 'skip' }), filter: mutation })).toEqual([401, undefined])
  expect(seenBy({ tree: always({ kind: 'run', filters: [mutation], sample: null }), filter: null })).toEqual([401, undefined])
})

it('one that asks requests sees none of them', () => {
  const csrf = { kind: 'csrf', config: { enabled: NEVER, shadowEnabled: null, additionalOrigins: [] } }
  expect(seenBy({ tree: null, filter: csrf })).toEqual([401, undefined])
})
