// stateful_session: what a client brings becomes the wish for an endpoint, and the answer tells it where it is. Compared with Envoy in
// integration/response-filters-differential.test.ts.
import { expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { sessionStore } from '../../../../src/l7/filters/stateful-session/session-state.js'
import { ProtobufWriter } from '../../../../src/l7/grpc/protobuf-writer.js'
import { ResponseFlag } from '../../../../src/l7/stream/response-flags.js'
import type { HttpFilterOverride } from '../../../../src/model/http-filter.js'
import type { SessionState, StatefulSessionConfig } from '../../../../src/model/stateful-session.js'
import type { Host } from '../../../../src/upstream/host/host.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead } from '../fake-call.js'

const WALL_MS = 1_700_000_000_000
const wallClock = () => WALL_MS
const cookie = (more: object = {}): SessionState => ({ kind: 'cookie', name: 'sid', path: '', ttlSeconds: null, attributes: [], ...more })
const base64 = (text: string | Buffer): string => Buffer.from(text as string).toString('base64')
const inCookie = (address: string, expires = 0): string => base64(new ProtobufWriter().latin1(1, address).uint(2, expires).finish())

const read = (state: SessionState, headers: Record<string, string>, path = '/'): string | null =>
  sessionStore(state, wallClock).read(requestHead({ path }, headers))

it('takes the endpoint out of a cookie, in the form of now and in the older one, until it expires', () => {
  expect(read(cookie(), { cookie: `a=b; sid="${inCookie('1.2.3.4:80')}"` })).toBe('1.2.3.4:80')
  expect(read(cookie(), { cookie: `sid=${base64('1.2.3.4:80')}` })).toBe('1.2.3.4:80')
  expect(read(cookie(), { cookie: 'sid=%%%' })).toBe('')
  expect(read(cookie(), {})).toBe('')
  const seconds = WALL_MS / 1000
  expect(read(cookie(), { cookie: `sid=${inCookie('h:1', seconds)}` })).toBe('h:1')
  expect(read(cookie(), { cookie: `sid=${inCookie('h:1', seconds - 1)}` })).toBe('')
})

it('concerns only requests below the path of its cookie', () => {
  const sent = { cookie: `sid=${inCookie('h:1')}` }
  const at = (own: string) => (path: string) => read(cookie({ path: own }), sent, path) === 'h:1'
  expect(['/a', '/a/b', '/a?q', '/a#f', '/ab', '/'].map(at('/a'))).toEqual([true, true, true, true, false, false])
  expect(['/a/', '/a/b', '/a'].map(at('/a/'))).toEqual([true, true, false])
  expect(read(cookie({ path: '/a' }), sent, '/b')).toBeNull()
})

it('sets the cookie when the endpoint is another one, with an end by the date', () => {
  const state = cookie({ path: '/p', ttlSeconds: 120, attributes: [{ name: 'SameSite', value: 'Lax' }] })
  const store = sessionStore(state, wallClock)
  const head = responseHead()
  store.write(head, 'h:1', 'h:1')
  expect(head.headers.has('set-cookie')).toBe(false)
  store.write(head, '', 'h:2')
  const value = inCookie('h:2', WALL_MS / 1000 + 120)
  expect(head.headers.get('set-cookie')).toBe(`sid="${value}"; Max-Age=120; Path=/p; SameSite=Lax; HttpOnly`)
})

it('keeps the endpoint in a header, or in an envelope around a header of the upstream', () => {
  expect(read({ kind: 'header', name: 'x-at' }, { 'x-at': base64('h:1') })).toBe('h:1')
  const header = responseHead()
  sessionStore({ kind: 'header', name: 'x-at' }, wallClock).write(header, '', 'h:1')
  expect(header.headers.get('x-at')).toBe(base64('h:1'))

  const store = sessionStore({ kind: 'envelope', name: 'mcp-session-id' }, wallClock)
  const answer = responseHead(200, { 'mcp-session-id': 'abc' })
  store.write(answer, 'h:1', 'h:1')
  const wrapped = answer.headers.get('mcp-session-id')!
  expect(wrapped).toBe(`${base64('h:1')};UV:${base64('abc')}`)
  const head = requestHead({}, { 'mcp-session-id': wrapped })
  expect(store.read(head)).toBe('h:1')
  expect(head.headers.get('mcp-session-id')).toBe('abc')
  const without = responseHead()
  store.write(without, '', 'h:1')
  expect(without.headers.length).toBe(0)
})

it('lets no line end into a header out of an envelope', () => {
  const head = requestHead({}, { s: `${base64('h:1')};UV:${base64('a\r\nx: y')}` })
  expect(sessionStore({ kind: 'envelope', name: 's' }, wallClock).read(head)).toBe('')
  expect(head.headers.get('s')).toContain('UV:')
})

function run(
  config: Partial<StatefulSessionConfig>,
  sent: string,
  served: string | null,
  flags = 0,
  override?: StatefulSessionConfig | null,
) {
  const world = new FakeEnvironment()
  const full: StatefulSessionConfig = {
    state: { kind: 'header', name: 'x-at' },
    strict: false,
    statPrefix: 'p',
    missingStatus: 503,
    ...config,
  }
  const factory = world.factory({ kind: 'statefulSession', config: full })
  const overrides: Record<string, HttpFilterOverride> =
    override === undefined ? {} : { f: { disabled: false, kind: 'statefulSession', config: override } }
  const call = new FakeCall(requestHead({}, sent === '' ? {} : { 'x-at': base64(sent) }), undefined, { overrides })
  const filter = factory.create(call)
  filter?.requestHead?.(call, call.request, true)
  call.info.responseFlags = flags
  if (served !== null) call.info.selectedHost = { key: served } as Host
  const head = { ...responseHead(), headers: new HeaderList() }
  filter?.responseHead?.(call, head, true, false)
  const counted = ['routed', 'failed_open', 'failed_closed', 'no_session'].filter(
    name => world.counter(`http.in.stateful_session.p.${name}`) > 0,
  )
  return { wish: call.info.overrideHost, told: head.headers.get('x-at'), counted }
}

it('asks for the endpoint of the session, and tells the client where it is now', () => {
  expect(run({}, 'h:1', 'h:1')).toEqual({
    wish: { address: 'h:1', strict: false, missingStatus: 503 },
    told: undefined,
    counted: ['routed'],
  })
  expect(run({}, 'h:1', 'h:2')).toMatchObject({ told: base64('h:2'), counted: ['failed_open'] })
  expect(run({}, '', 'h:2')).toMatchObject({ wish: null, told: base64('h:2'), counted: ['failed_open'] })
  expect(run({ strict: true, missingStatus: 421 }, 'h:1', null, ResponseFlag.NoHealthyUpstream)).toEqual({
    wish: { address: 'h:1', strict: true, missingStatus: 421 },
    told: undefined,
    counted: ['failed_closed'],
  })
  expect(run({ state: null }, 'h:1', 'h:2')).toEqual({ wish: null, told: undefined, counted: ['no_session'] })
})

it('takes the way of the route, which is not counted', () => {
  const own: StatefulSessionConfig = { state: { kind: 'header', name: 'x-at' }, strict: true, statPrefix: 'other', missingStatus: 503 }
  expect(run({ state: null }, 'h:1', 'h:1', 0, own)).toMatchObject({ wish: { strict: true }, counted: [] })
})
