import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { MAX_GRPC_METHODS } from '../../../src/l7/filters/grpc-stats.js'
import { GrpcFrameCounter } from '../../../src/l7/grpc/grpc-frame-counter.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from './fake-call.js'

const GRPC = { 'content-type': 'application/grpc' }

function frame(text: string): Buffer {
  const body = Buffer.from(text)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(body.length, 1)
  return Buffer.concat([prefix, body])
}

describe('grpc_stats filter', () => {
  const filter = {
    kind: 'grpcStats',
    config: { emitFilterState: true, statsForAllMethods: true, individualMethods: [], enableUpstreamStats: false },
  }

  function exchange(factory: ReturnType<FakeEnvironment['factory']>, path: string, status: string): FakeCall {
    const call = new FakeCall(requestHead({ method: 'POST', path }, GRPC))
    const { filter: made } = runHead(factory, call, false)
    call.info.upstreamCluster = 'api'
    made!.requestData!(call, Buffer.concat([frame('a'), frame('')]), true)
    made!.responseHead!(call, responseHead(200, GRPC), false, false)
    made!.responseData!(call, frame('abc'), false)
    made!.responseTrailers!(call, HeaderList.of(['grpc-status', status]))
    made!.finished!(call)

    return call
  }

  it('counts calls, statuses and messages by method', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter)
    exchange(factory, '/pkg.Cart/Add', '0')
    const call = exchange(factory, '/pkg.Cart/Add', '14')
    const count = (name: string) => world.counter(`cluster.api.grpc.pkg.Cart.Add.${name}`)
    expect(['total', 'success', 'failure', '0', '14', 'request_message_count', 'response_message_count'].map(count)).toEqual([
      2, 1, 1, 1, 1, 4, 2,
    ])
    expect(call.info.filterState('envoy.filters.http.grpc_stats')).toEqual({ request_message_count: 2, response_message_count: 1 })
  })

  it('counts a trailers-only answer', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({ path: '/s/M' }, GRPC))
    const { filter: made } = runHead(world.factory(filter), call)
    call.info.upstreamCluster = 'api'
    made!.responseHead!(call, responseHead(200, { ...GRPC, 'grpc-status': '5' }), true, false)
    expect(world.counter('cluster.api.grpc.s.M.5')).toBe(1)
  })

  it('counts a status that is none as a failure, without a name of its own', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter)
    for (const status of ['abc', '-1', '99']) exchange(factory, '/s/M', status)
    expect(['total', 'failure', 'abc', '-1', '99'].map(name => world.counter(`cluster.api.grpc.s.M.${name}`))).toEqual([3, 3, 0, 0, 0])
  })

  it('keeps the number of series bounded, whatever methods clients make up', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter)
    for (let i = 0; i < MAX_GRPC_METHODS + 50; i++) exchange(factory, `/s/M${i}`, '0')
    expect(world.counter('cluster.api.grpc.total')).toBe(50)
    const before = world.store.seriesCount
    exchange(factory, '/__proto__/constructor', '0')
    exchange(factory, '/a b/c', '999999')
    expect(world.store.seriesCount).toBeLessThanOrEqual(before + 1)
  })

  it('leaves other requests alone', () => {
    const factory = new FakeEnvironment().factory(filter)
    for (const type of ['application/json', 'application/grpc-web', 'application/grpcx'])
      expect(factory.create(new FakeCall(requestHead({}, { 'content-type': type })))).toBeNull()
  })
})

describe('GrpcFrameCounter', () => {
  it('counts the same however the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 20 }), { maxLength: 10 }), fc.integer({ min: 1, max: 7 }), (texts, size) => {
        const counter = new GrpcFrameCounter()
        const bytes = Buffer.concat(texts.map(frame))
        for (let i = 0; i < bytes.length; i += size) counter.feed(bytes.subarray(i, i + size))
        expect(counter.count).toBe(texts.length)
      }),
      { seed: 1 },
    )
  })
})

describe('grpc_web filter', () => {
  const factory = () => new FakeEnvironment().factory({ kind: 'grpcWeb' })

  it('speaks gRPC upstream and turns trailers into the last frame', () => {
    const call = new FakeCall(
      requestHead({ method: 'POST', contentLength: 6 }, { 'content-type': 'application/grpc-web+proto', 'content-length': '6' }),
    )
    const { filter } = runHead(factory(), call, false)
    const { headers } = call.request
    expect([headers.get('content-type'), headers.get('te'), headers.has('content-length'), call.request.contentLength]).toEqual([
      'application/grpc+proto',
      'trailers',
      false,
      -1,
    ])
    const head = responseHead(200, GRPC)
    filter!.responseHead!(call, head, false, false)
    expect(head.headers.get('content-type')).toBe('application/grpc-web+proto')
    expect(filter!.responseTrailers!(call, HeaderList.of(['Grpc-Status', '0'], ['grpc-message', 'ok']))).toBeNull()
    const sent = call.emitted[0]!
    expect([sent.end, sent.chunk[0], sent.chunk.readUInt32BE(1), sent.chunk.subarray(5).toString()]).toEqual([
      true,
      0x80,
      32,
      'grpc-status:0\r\ngrpc-message:ok\r\n',
    ])
  })

  it('decodes and encodes base64 text over any chunk boundary', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (bytes, size) => {
        const call = new FakeCall(requestHead({}, { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text' }))
        const { filter } = runHead(factory(), call, false)
        const text = Buffer.from(Buffer.from(bytes).toString('base64'))
        const decoded: Buffer[] = []
        for (let i = 0; i < text.length; i += size)
          decoded.push(Buffer.from(filter!.requestData!(call, text.subarray(i, i + size), i + size >= text.length)!))
        expect(Buffer.concat(decoded).equals(Buffer.from(bytes))).toBe(true)
        filter!.responseHead!(call, responseHead(200, GRPC), false, false)
        const out: Buffer[] = []
        for (let i = 0; i < bytes.length; i += size) out.push(filter!.responseData!(call, Buffer.from(bytes.subarray(i, i + size)), false)!)
        filter!.responseTrailers!(call, HeaderList.of(['grpc-status', '0']))
        const whole = Buffer.from(Buffer.concat([...out, call.emitted[0]!.chunk]).toString(), 'base64')
        expect(whole.subarray(0, bytes.length).equals(Buffer.from(bytes))).toBe(true)
        expect(whole[bytes.length]).toBe(0x80)
      }),
      { seed: 2, numRuns: 60 },
    )
  })

  it('takes separately padded pieces, and refuses what is no base64', () => {
    const call = new FakeCall(requestHead({}, { 'content-type': 'application/grpc-web-text' }))
    const { filter } = runHead(factory(), call, false)
    expect(filter!.requestData!(call, Buffer.from('QQ==QkI='), false)!.toString()).toBe('ABB')
    filter!.requestData!(call, Buffer.from('!!!!'), true)
    expect(call.reply?.status).toBe(400)
  })
})

describe('grpc_http1_bridge filter', () => {
  const factory = (upgrade = false) =>
    new FakeEnvironment().factory({ kind: 'grpcHttp1Bridge', config: { upgradeProtobufToGrpc: upgrade } })

  it('moves the status of the trailers into the head and fails as 503', () => {
    const call = new FakeCall(requestHead({ method: 'POST' }, GRPC))
    const { filter } = runHead(factory(), call, false)
    const head = responseHead(200, GRPC)
    expect(filter!.responseHead!(call, head, false, false)).toBe('stop')
    const { body, trailers } = call.responseBuffering!(frame('x'), HeaderList.of(['grpc-status', '7'], ['grpc-message', 'no']))!
    expect([head.status, head.headers.get('grpc-status'), head.headers.get('grpc-message'), head.contentLength]).toEqual([
      503,
      '7',
      'no',
      6,
    ])
    expect([body.length, trailers]).toEqual([6, null])
  })

  it('frames a protobuf request and unframes the answer', () => {
    const call = new FakeCall(
      requestHead({ method: 'POST', contentLength: 3 }, { 'content-type': 'application/x-protobuf', 'content-length': '3' }),
    )
    const { filter } = runHead(factory(true), call, false)
    expect([call.request.headers.get('content-type'), call.request.headers.get('content-length')]).toEqual(['application/grpc', '8'])
    expect(filter!.requestData!(call, Buffer.from('ab'), false)).toEqual(Buffer.concat([Buffer.from([0, 0, 0, 0, 3]), Buffer.from('ab')]))
    const head = responseHead(200, GRPC)
    filter!.responseHead!(call, head, false, false)
    const { body } = call.responseBuffering!(frame('xyz'), HeaderList.of(['grpc-status', '0']))!
    expect([body.toString(), head.status, head.headers.get('content-type'), head.headers.get('content-length')]).toEqual([
      'xyz',
      200,
      'application/x-protobuf',
      '3',
    ])
  })

  it('leaves HTTP/2 clients alone', () => {
    expect(factory().create(new FakeCall(requestHead({ version: 'HTTP/2' }, GRPC)))).toBeNull()
  })
})
