// custom_response: what its tree finds a policy for is replaced. Compared with Envoy in integration/response-filters-differential.test.ts.
import { expect, it } from 'vitest'
import type { ResponseHead } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { CUSTOM_RESPONSE_STATE } from '../../../src/l7/stream/stream-info.js'
import type { ResponsePolicy } from '../../../src/model/custom-response.js'
import type { MatchInput } from '../../../src/model/match-tree.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead } from './fake-call.js'

const local = (more: object = {}): ResponsePolicy => ({
  kind: 'local',
  body: 'sorry',
  format: null,
  status: null,
  responseHeadersToAdd: [],
  details: '',
  ...more,
})
const redirect = (more: object = {}): ResponsePolicy => ({
  kind: 'redirect',
  to: { uri: 'http://else.test/page?x=1#part' },
  status: null,
  responseHeadersToAdd: [],
  requestHeadersToAdd: [],
  ...more,
})
const option = (name: string, value: string) => ({ name, value, action: 'APPEND_IF_EXISTS_OR_ADD' as const, keepEmptyValue: false })
const config = (input: MatchInput, key: string, policy: ResponsePolicy) => ({
  tree: { kind: 'exact' as const, input, map: new Map([[key, { kind: 'action' as const, action: policy }]]), onNoMatch: null },
})
const STATUS: MatchInput = { kind: 'responseStatus' }

function run(of: ReturnType<typeof config>, head: ResponseHead, set: (call: FakeCall) => void = () => {}, isLocal = false) {
  const world = new FakeEnvironment()
  const call = new FakeCall(requestHead({ method: 'POST', path: '/p', contentLength: 3 }, { 'content-length': '3', 'x-a': '1' }))
  call.info.response = head
  call.info.responseCode = head.status
  call.info.responseCodeDetails = 'via_upstream'
  set(call)
  const filter = world.factory({ kind: 'customResponse', config: of }).create(call)!
  filter.requestHead?.(call, call.request, false)
  const status = filter.responseHead!(call, head, false, isLocal)
  return { call, status, world, head }
}

it('answers in the place of a response, with its status or another', () => {
  const headers = [option('x-code', '%RESPONSE_CODE% %RESP(x-origin)%')]
  const { call, status } = run(config(STATUS, '404', local({ responseHeadersToAdd: headers })), responseHead(404, { 'x-origin': 'o' }))
  expect([status, call.reply]).toMatchObject(['stop', { status: 404, body: 'sorry', details: '' }])
  expect(call.reply!.headers!.get('x-code')).toBe('404 ')
  const format = { text: '<%LOCAL_REPLY_BODY%> %RESP(x-origin)%', json: null, omitEmptyValues: false }
  const other = run(config(STATUS, '500', local({ status: 299, format, details: null })), responseHead(500, { 'x-origin': 'o' }))
  expect(other.call.reply).toMatchObject({ status: 299, body: '<sorry> o', details: 'via_upstream' })
  expect(run(config(STATUS, '404', local()), responseHead(200)).status).toBe('continue')
})

it.each([
  [{ kind: 'responseStatusClass' }, '4xx', responseHead(451), false],
  [{ kind: 'responseHeader', name: 'x-why' }, 'because', responseHead(200, { 'x-why': 'because' }), false],
  [{ kind: 'responseIsLocal' }, 'true', responseHead(200), true],
  [{ kind: 'responseIsLocal' }, 'false', responseHead(200), false],
  [{ kind: 'requestHeader', name: 'x-a' }, '1', responseHead(200), false],
] as [MatchInput, string, ResponseHead, boolean][])('judges by %j', (input, value, head, isLocal) => {
  expect(run(config(input, value, local()), head, undefined, isLocal).status).toBe('stop')
  expect(run(config(input, `not ${value}`, local()), head, undefined, isLocal).status).toBe('continue')
})

it('sends a GET to another route, without a body, and finishes what comes back', () => {
  const policy = redirect({
    responseHeadersToAdd: [option('x-code', '%RESPONSE_CODE%')],
    requestHeadersToAdd: [option('x-from', '%REQ(:path)%')],
  })
  const { call, status } = run(config(STATUS, '503', policy), responseHead(503))
  expect(status).toBe('stop')
  const { head, state } = call.redirected!
  expect(head).toMatchObject({ method: 'GET', scheme: 'http', authority: 'else.test', path: '/page?x=1', contentLength: 0 })
  expect([head.headers.has('content-length'), head.headers.get('x-a'), head.headers.get('x-from')]).toEqual([false, '1', '/page?x=1'])
  expect(call.request.headers.has('x-from')).toBe(false)

  const answer = { ...responseHead(200), headers: new HeaderList() }
  const second = run(config(STATUS, '200', local()), answer, next => {
    next.info.setFilterState(CUSTOM_RESPONSE_STATE, state)
  })
  expect([second.status, answer.status, answer.headers.get('x-code')]).toEqual(['continue', 503, '200'])
  expect(second.call.reply).toBeNull()
})

it('lets a response through where there is no other to be had, and counts it', () => {
  const none = run(config(STATUS, '503', redirect()), responseHead(503), call => {
    call.redirectOutcome = 'no-route'
  })
  expect([none.status, none.world.counter('custom_response_redirect_no_route')]).toEqual(['continue', 1])
  const incomplete = run(config(STATUS, '503', redirect()), responseHead(503), call => {
    call.redirectOutcome = 'incomplete'
  })
  expect(incomplete.status).toBe('continue')
  const invalid = run(config(STATUS, '503', redirect({ to: { uri: 'nowhere' } })), responseHead(503))
  expect([invalid.status, invalid.world.counter('custom_response_invalid_uri')]).toEqual(['continue', 1])
})
