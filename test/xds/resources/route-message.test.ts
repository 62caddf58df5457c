// A route table that is decoded a route at a time is the one that is decoded in one go, and is refused for the same reasons.
import { toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { finish } from '../../../src/io/slices.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { decodeRouteConfiguration, decodeRouteConfigurationInSteps } from '../../../src/xds/resources/decode.js'
import { type Json, message, routeJson } from './messages.js'

const SEED = 20_261_129

function compare(bytes: Uint8Array): void {
  const whole = decodeRouteConfiguration(bytes)
  const stepped = finish(decodeRouteConfigurationInSteps(bytes))
  // Of bytes that are no message the generated parser takes some, fields of another wire type and texts cut short; this one takes none.
  if (!stepped.ok && stepped.errors.some(({ reason }) => reason.startsWith('cannot parse'))) return
  expect(stepped.ok).toBe(whole.ok)
  if (stepped.ok && whole.ok) expect(stepped).toEqual(whole)
  else if (!stepped.ok && !whole.ok) {
    const texts = (errors: typeof whole.errors): string[] => errors.map(({ path, reason }) => `${path}: ${reason}`).sort()
    if (whole.errors.some(({ reason }) => reason.startsWith('cannot parse'))) expect(texts(stepped.errors).join()).toContain('cannot parse')
    else expect(texts(stepped.errors)).toEqual(texts(whole.errors))
    expect(stepped.unknownFields).toBe(whole.unknownFields)
  }
}

const bytesOf = (json: Json): Uint8Array => toBinary(RouteConfigurationSchema, message(RouteConfigurationSchema, json))
const host = (name: string, changes: Json = {}): Json => ({
  name,
  domains: [`${name}.example`],
  routes: [
    { match: { prefix: '/a' }, route: { cluster: 'a', timeout: '3s' } },
    { match: { path: '/b' }, direct_response: { status: 204 } },
  ],
  ...changes,
})

describe('a route table in steps', () => {
  it.each<[string, Json]>([
    ['of several hosts', { name: 't', virtual_hosts: [host('x'), host('y')], request_headers_to_remove: ['x-a'] }],
    ['without hosts', { name: 't' }],
    ['without a name', { virtual_hosts: [host('x')] }],
    ['with a domain twice', { name: 't', virtual_hosts: [host('x'), host('x')] }],
    ['with a host without domains', { name: 't', virtual_hosts: [host('x', { domains: [] })] }],
    ['with a route that matches nothing', { name: 't', virtual_hosts: [host('x', { routes: [{ route: { cluster: 'c' } }] })] }],
    [
      'with errors in host and route',
      { name: 't', virtual_hosts: [host('', { routes: [{ match: { prefix: '/' }, direct_response: { status: 99 } }] }), host('y')] },
    ],
  ])('%s', (_name, json) => compare(bytesOf(json)))

  it('whatever its bytes are', () => {
    const good = bytesOf(routeJson())
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 })
    fc.assert(
      fc.property(changes, fc.nat(good.length), (edits, cut) => {
        const bytes = Uint8Array.from(good)
        for (const [at, value] of edits) bytes[at] = value
        compare(bytes)
        compare(bytes.subarray(0, cut))
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
