import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeRateLimitResponse } from '../../../../src/l7/filters/rate-limit/rate-limit-messages.js'
import { decodeValue, readStruct, writeStruct } from '../../../../src/l7/grpc/protobuf-struct.js'
import { ProtobufReader, ProtobufWriter } from '../../../../src/l7/grpc/protobuf-writer.js'
import { ResponseFlag } from '../../../../src/l7/stream/response-flags.js'
import type { RateLimitConfig } from '../../../../src/model/http-filter.js'
import type { RateLimit } from '../../../../src/model/rate-limit.js'
import { RateLimitRequestSchema, RateLimitResponseSchema } from '../../../../src/xds/gen/envoy/service/ratelimit/v3/rls_pb.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from '../fake-call.js'

function filter(fields: Partial<RateLimitConfig> = {}) {
  return {
    kind: 'rateLimit',
    config: {
      domain: 'shop',
      stage: 0,
      requestType: 'both',
      timeoutMs: 20,
      failureModeDeny: false,
      rateLimitedAsResourceExhausted: false,
      service: { cluster: 'rls', target: '', authority: '', timeoutMs: null, initialMetadata: [] },
      enableXRateLimitHeaders: false,
      disableXEnvoyRateLimitedHeader: false,
      rateLimitedStatus: 429,
      statusOnError: 500,
      responseHeadersToAdd: [],
      ...fields,
    },
  }
}

const NO_ACTION = {
  value: '',
  headerName: '',
  skipIfAbsent: false,
  expectMatch: true,
  headers: [],
  queryParameters: [],
  routeMetadata: false,
  metadataNamespace: '',
  metadataPath: [],
  prefixLengthV4: 32,
  prefixLengthV6: 128,
}
const limits: RateLimit[] = [
  {
    stage: 0,
    disableKey: '',
    actions: [
      { ...NO_ACTION, kind: 'generic_key', key: 'generic_key', value: 'all' },
      { ...NO_ACTION, kind: 'request_headers', key: 'user', headerName: 'x-user' },
    ],
  },
]

const start = (world: FakeEnvironment, fields: Partial<RateLimitConfig> = {}, headers: Record<string, string> = { 'x-user': 'ann' }) => {
  const call = new FakeCall(requestHead({}, headers), undefined, { rateLimits: limits })
  return { call, ...runHead(world.factory(filter(fields)), call) }
}

const answer = (fields: Parameters<typeof create<typeof RateLimitResponseSchema>>[1]) =>
  Buffer.from(toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, fields)))

describe('ratelimit filter', () => {
  it('takes a value of the metadata of the route (ROUTE_ENTRY)', () => {
    const action = { ...NO_ACTION, kind: 'metadata', key: 'k', routeMetadata: true, metadataNamespace: 'a', metadataPath: ['b'] } as const
    const call = new FakeCall(requestHead(), undefined, { rateLimits: [{ stage: 0, disableKey: '', actions: [action] }] })
    call.info.setDynamicMetadata('a', 'b', 'of the request')
    call.info.routeMetadata = new Map([['a', { b: 'of the route' }]])
    const world = new FakeEnvironment()
    runHead(world.factory(filter({})), call)
    const { descriptors } = fromBinary(RateLimitRequestSchema, world.grpc[0]!.message)
    expect(descriptors.map(one => one.entries.map(({ key, value }) => [key, value]))).toEqual([[['k', 'of the route']]])
  })

  it('sends the descriptors as the service reads them, and lets pass on OK', () => {
    const world = new FakeEnvironment()
    const { call, status } = start(world)
    expect(status).toBe('stop')
    expect(world.grpc[0]!.path).toBe('/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit')
    const request = fromBinary(RateLimitRequestSchema, world.grpc[0]!.message)
    expect(request.domain).toBe('shop')
    expect(request.descriptors.map(one => one.entries.map(({ key, value }) => [key, value]))).toEqual([
      [
        ['generic_key', 'all'],
        ['user', 'ann'],
      ],
    ])
    world.grpc[0]!.answer(
      0,
      answer({
        overallCode: 1,
        requestHeadersToAdd: [
          { key: 'x-tier', value: 'gold' },
          { key: 'bad name', value: 'x' },
        ],
      }),
      '',
    )
    expect(call.resumed).toBe(1)
    expect(call.request.headers.get('x-tier')).toBe('gold')
    expect(call.request.headers.length).toBe(2)
    expect(world.counter('cluster.backend.ratelimit.ok')).toBe(1)
  })

  it("asks in the route's domain, where it has one", () => {
    const world = new FakeEnvironment()
    const overrides = { f: { disabled: false, kind: 'rateLimit', hostRateLimits: 'include', domain: 'of-route' } } as const
    const call = new FakeCall(requestHead({}, { 'x-user': 'ann' }), undefined, { rateLimits: limits, overrides })
    runHead(world.factory(filter({})), call)
    expect(fromBinary(RateLimitRequestSchema, world.grpc[0]!.message).domain).toBe('of-route')
  })

  it('asks nothing when no descriptor applies', () => {
    const world = new FakeEnvironment()
    expect(start(world, {}, {}).status).toBe('continue')
    expect(world.grpc).toHaveLength(0)
  })

  it('answers 429 over the limit, with the headers of the service', () => {
    const world = new FakeEnvironment()
    const { call, filter: made } = start(world, { enableXRateLimitHeaders: true })
    world.grpc[0]!.answer(
      0,
      answer({
        overallCode: 2,
        statuses: [
          { code: 2, currentLimit: { name: 'n', requestsPerUnit: 10, unit: 2 }, limitRemaining: 0, durationUntilReset: { seconds: 7n } },
        ],
        responseHeadersToAdd: [{ key: 'x-why', value: 'too fast' }],
        rawBody: Buffer.from('slow down'),
      }),
      '',
    )
    expect(call.reply).toMatchObject({ status: 429, body: 'slow down', details: 'request_rate_limited', flags: ResponseFlag.RateLimited })
    const head = responseHead(429)
    made!.responseHead!(call, head, false, true)
    expect(head.headers.get('x-why')).toBe('too fast')
    expect(head.headers.get('x-ratelimit-limit')).toBe('10, 10;w=60;name="n"')
    expect(head.headers.get('x-ratelimit-reset')).toBe('7')
    expect(world.counter('cluster.backend.ratelimit.over_limit')).toBe(1)
  })

  it('lets pass when the service fails, unless told to deny', () => {
    const world = new FakeEnvironment()
    const open = start(world)
    world.grpc[0]!.answer(14, Buffer.alloc(0), 'down')
    expect(open.call.resumed).toBe(1)
    const closed = start(world, { failureModeDeny: true })
    world.grpc[1]!.answer(0, Buffer.from([0xff]), '')
    expect(closed.call.reply).toMatchObject({ status: 500, details: 'rate_limiter_error', flags: ResponseFlag.RateLimitServiceError })
    expect(world.counter('cluster.backend.ratelimit.error')).toBe(2)
    expect(world.counter('cluster.backend.ratelimit.failure_mode_allowed')).toBe(1)
  })

  it('cancels its question when the client leaves', () => {
    const world = new FakeEnvironment()
    const { call, filter: made } = start(world)
    call.ended = true
    made!.finished!(call)
    expect(world.grpc[0]!.cancelled).toBe(true)
  })
})

describe('protobuf wire format', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), dictionary => {
        const struct = JSON.parse(JSON.stringify(dictionary)) as Record<string, unknown>
        const writer = new ProtobufWriter()
        writeStruct(writer, struct)
        const read = readStruct(new ProtobufReader(writer.finish()))
        expect(JSON.parse(JSON.stringify(read))).toEqual(struct)
      }),
      { seed: 7, numRuns: 200 },
    )
  })

  it('neither throws nor hangs on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        decodeRateLimitResponse(Buffer.from(bytes))
        decodeValue(Buffer.from(bytes))
      }),
      { seed: 8, numRuns: 500 },
    )
  })

  it('gives up on nesting without end', () => {
    let bytes: Buffer = Buffer.alloc(0)
    for (let i = 0; i < 200; i++) bytes = new ProtobufWriter().message(6, list => list.bytes(1, bytes)).finish()
    expect(decodeValue(bytes)).toBeUndefined()
  })
})
