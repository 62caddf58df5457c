import { describe, expect, it } from 'vitest'
import { toByteString } from '../../../src/l7/codec/byte-string.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import {
  clampGrpcTimeout,
  encodeGrpcMessage,
  formatGrpcTimeout,
  grpcLocalReply,
  grpcStatusOf,
  grpcTimeoutMs,
  grpcToHttpStatus,
  httpToGrpcStatus,
  isGrpcRequest,
} from '../../../src/l7/grpc/grpc.js'
import { head } from '../request-fixtures.js'

const timeout = (value: string) => HeaderList.of(['grpc-timeout', value])
const RULES = { grpcTimeoutHeaderMaxMs: null, grpcTimeoutHeaderOffsetMs: null, maxGrpcTimeoutMs: null, grpcTimeoutOffsetMs: null }

it.each([
  ['application/grpc', true],
  ['application/grpc+proto', true],
  ['application/grpc-web', false],
  ['application/grpcx', false],
  ['text/plain', false],
])('%s is gRPC: %s', (type, expected) => {
  expect(isGrpcRequest(head('/s/m', {}, [['Content-Type', type]]))).toBe(expected)
})

it('needs a path and a content type to be gRPC', () => {
  expect(isGrpcRequest(head())).toBe(false)
  expect(isGrpcRequest(head('', { method: 'CONNECT' }, [['content-type', 'application/grpc']]))).toBe(false)
})

describe('grpc-timeout', () => {
  it.each([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['250m', 250],
    ['1500u', 2],
    ['1n', 1],
    ['0m', 0],
    ['99999999H', 359_999_996_400_000],
    ['', null],
    ['5', null],
    ['-5m', null],
    ['5x', null],
    ['1.5S', null],
  ])('%s is %s ms', (value, ms) => {
    expect(grpcTimeoutMs(timeout(value))).toBe(ms)
  })

  it('refuses values that would overflow (CVE-2021-28682)', () => {
    expect(grpcTimeoutMs(timeout('99999999999H'))).toBeNull()
    expect(clampGrpcTimeout(timeout('99999999999H'), { ...RULES, maxGrpcTimeoutMs: 5000 })).toBe(5000)
    expect(clampGrpcTimeout(timeout('99999999H'), { ...RULES, grpcTimeoutHeaderMaxMs: 5000 })).toBe(5000)
  })

  it('is for the route to honour', () => {
    expect(clampGrpcTimeout(timeout('1S'), RULES)).toBeNull()
  })

  it('is capped by grpc_timeout_header_max, less the offset', () => {
    const rules = { ...RULES, grpcTimeoutHeaderMaxMs: 2000, grpcTimeoutHeaderOffsetMs: 100 }
    expect(clampGrpcTimeout(timeout('1S'), rules)).toBe(900)
    expect(clampGrpcTimeout(timeout('9S'), rules)).toBe(1900)
    expect(clampGrpcTimeout(timeout('50m'), rules)).toBe(50)
    expect(clampGrpcTimeout(HeaderList.of(), rules)).toBeNull()
    expect(clampGrpcTimeout(timeout('9S'), { ...RULES, grpcTimeoutHeaderMaxMs: 0 })).toBe(9000)
    // It has passed already: neither no limit nor the cap.
    expect(clampGrpcTimeout(timeout('0S'), rules)).toBe(0)
  })

  it('is capped by max_grpc_timeout, which also holds for clients that name none', () => {
    const rules = { ...RULES, maxGrpcTimeoutMs: 2000, grpcTimeoutOffsetMs: 100 }
    expect(clampGrpcTimeout(timeout('1S'), rules)).toBe(900)
    expect(clampGrpcTimeout(HeaderList.of(), rules)).toBe(2000)
    expect(clampGrpcTimeout(HeaderList.of(), { ...RULES, maxGrpcTimeoutMs: 0 })).toBe(0)
  })

  it('is written in the smallest unit that fits', () => {
    expect([5, 99_999_999, 100_000_000, 99_999_999_000_000].map(formatGrpcTimeout)).toEqual(['5m', '99999999m', '100000S', '27777777H'])
  })
})

it('maps statuses as gRPC says', () => {
  expect([400, 401, 403, 404, 429, 502, 503, 504, 500, 200].map(httpToGrpcStatus)).toEqual([13, 16, 7, 12, 14, 14, 14, 14, 2, 2])
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99].map(grpcToHttpStatus)).toEqual([
    200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500,
  ])
})

it('reads grpc-status', () => {
  expect([HeaderList.of(), HeaderList.of(['grpc-status', '14']), HeaderList.of(['grpc-status', 'x'])].map(grpcStatusOf)).toEqual([
    -1, 14, 2,
  ])
})

it('encodes messages so that they fit a header', () => {
  expect(encodeGrpcMessage(toByteString('a 100% ☃\n'))).toBe('a 100%25 %E2%98%83%0A')
  // What is UTF-8 already is not encoded once more.
  expect(grpcLocalReply(503, toByteString('é')).message).toBe('%C3%A9')
  expect(grpcLocalReply(403, 'RBAC: access denied')).toEqual({ grpcStatus: 7, message: 'RBAC: access denied' })
})
