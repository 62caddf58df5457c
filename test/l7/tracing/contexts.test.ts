import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { readB3 } from '../../../src/l7/tracing/b3-context.js'
import { decideTracing, withReason } from '../../../src/l7/tracing/trace-reason.js'
import { readTraceparent } from '../../../src/l7/tracing/w3c-context.js'

const TRACE = '0123456789abcdef0123456789abcdef'
const SPAN = '1123456789abcdef'

describe('traceparent', () => {
  const read = (value: string) => readTraceparent(HeaderList.of(['traceparent', value]))

  it('is read in full or not at all', () => {
    expect(readTraceparent(new HeaderList())).toBeUndefined()
    expect(read(`00-${TRACE}-${SPAN}-01`)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true, traceState: '' })
    expect(read(`00-${TRACE.toUpperCase()}-${SPAN}-02`)).toMatchObject({ traceId: TRACE, sampled: false })
    for (const bad of [
      '',
      'bad',
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE}-${SPAN}-01-x`,
      `00-${'0'.repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
    ])
      expect(read(bad), bad).toBeNull()
  })

  it('takes the tracestate of all its lines', () => {
    const headers = HeaderList.of(['traceparent', `00-${TRACE}-${SPAN}-01`], ['tracestate', 'a=1'], ['tracestate', 'b=2'])
    expect(readTraceparent(headers)).toMatchObject({ traceState: 'a=1,b=2' })
  })
})

describe('B3', () => {
  const one = (value: string) => readB3(HeaderList.of(['b3', value]))

  it('in one header', () => {
    expect(one('0')).toMatchObject({ traceId: '', sampled: false, single: true })
    expect(one('d')).toMatchObject({ traceId: '', sampled: true })
    expect(one(`${TRACE}-${SPAN}`)).toMatchObject({ traceId: TRACE, spanId: SPAN, sampled: null })
    expect(one(`${SPAN}-${SPAN}-d-${'2'.repeat(16)}`)).toMatchObject({ traceId: SPAN, sampled: true, parentId: '2'.repeat(16) })
    for (const bad of ['', '2', 'bad', `${SPAN}`, `${SPAN}-${SPAN}-x`, `${SPAN}-${SPAN}-1-22`, `${SPAN}-${SPAN}-1-`])
      expect(one(bad), bad).toBeNull()
  })

  it('in four; short ids are filled up, a high half of zeros falls away', () => {
    const headers = HeaderList.of(['x-b3-traceid', `${'0'.repeat(16)}${SPAN}`], ['x-b3-spanid', 'a1'], ['x-b3-sampled', 'true'])
    expect(readB3(headers)).toMatchObject({ traceId: SPAN, spanId: '00000000000000a1', sampled: true, single: false })
    expect(readB3(HeaderList.of(['x-b3-traceid', SPAN]))).toBeUndefined()
    expect(readB3(HeaderList.of(['x-b3-traceid', 'x'], ['x-b3-spanid', SPAN]))).toBeNull()
  })

  it('whatever comes is read or refused, and ids that are read are ids', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), fc.string({ maxLength: 40 }), (b3, traceId) => {
        for (const context of [one(b3), readB3(HeaderList.of(['x-b3-traceid', traceId], ['x-b3-spanid', SPAN]))]) {
          if (context === null || context === undefined || context.traceId === '') continue
          expect(context.traceId).toMatch(/^(?:[0-9a-f]{16}|[0-9a-f]{32})$/)
          expect(context.spanId).toMatch(/^[0-9a-f]{16}$/)
        }
      }),
      { seed: 14 },
    )
  })
})

describe('decideTracing', () => {
  const fraction = (numerator: number, runtimeKey: string) => ({ numerator, denominator: 100, runtimeKey })
  const sampling = (client: number, random: number, overall: number) => ({
    client: fraction(client, 'tracing.client_enabled'),
    random: fraction(random, 'tracing.random_sampling'),
    overall: fraction(overall, 'tracing.global_enabled'),
  })
  const options = { packTraceReason: true, useForTraceSampling: true }
  const id = (low: number): string => `${low.toString(16).padStart(8, '0')}-1234-4234-8234-123456789abc`
  const decide = (requestId: string, chances: ReturnType<typeof sampling>, values: Record<string, number> = {}) =>
    decideTracing(requestId, new HeaderList(), chances, options, { get: key => values[key] }, () => 0.5)

  it('every hop draws the same by the id', () => {
    expect(decide(id(2999), sampling(100, 30, 100))).toBe('sampling')
    expect(decide(id(3000), sampling(100, 30, 100))).toBe('not-traceable')
    // Overall by the same number's remainder.
    expect(decide(id(149), sampling(100, 100, 50))).toBe('sampling')
    expect(decide(id(150), sampling(100, 100, 50))).toBe('not-traceable')
  })

  it('the runtime overrides the config', () => {
    expect(decide(id(1), sampling(100, 0, 100), { 'tracing.random_sampling': 100 })).toBe('sampling')
    expect(decide(id(1), sampling(100, 100, 100), { 'tracing.global_enabled': 0 })).toBe('not-traceable')
  })

  it('the reason stands in a UUID, and nowhere else', () => {
    expect(withReason(id(1), 'service-forced')[14]).toBe('a')
    expect(withReason('odd', 'sampling')).toBe('odd')
  })
})
