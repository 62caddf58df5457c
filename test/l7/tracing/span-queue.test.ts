import { describe, expect, it } from 'vitest'
import { Span } from '../../../src/l7/tracing/span.js'
import { MAX_BATCHES_UNDER_WAY, SpanQueue } from '../../../src/l7/tracing/span-queue.js'
import { ManualClock } from '../../support/manual-clock.js'

const identity = {
  traceId: '1'.padStart(32, '0'),
  id: '1'.padStart(16, '0'),
  parentId: '',
  sampled: true,
  kind: 'server',
  parentIsRemote: false,
  traceState: '',
  shared: false,
  singleB3: false,
} as const

function queue(maxSpans = 1000, minFlush = 5) {
  const clock = new ManualClock()
  const batches: number[] = []
  const answers: (() => void)[] = []
  const counts = { dropped: 0, timer: 0 }
  const spans = new SpanQueue({
    clock,
    maxSpans,
    minFlushSpans: () => minFlush,
    flushIntervalMs: () => 5000,
    send: (sent, done) => {
      batches.push(sent.length)
      answers.push(done)
    },
    onTimer: () => counts.timer++,
    onDropped: () => counts.dropped++,
  })
  const add = (count: number): void => {
    for (let i = 0; i < count; i++) spans.add(new Span(identity, 'a', 0))
  }
  return { clock, batches, answers, counts, spans, add }
}

describe('SpanQueue', () => {
  it('sends when enough wait, and what waits when its time comes', () => {
    const { add, batches, clock, counts } = queue()
    add(4)
    expect(batches).toEqual([])
    add(1)
    expect(batches).toEqual([5])
    add(2)
    clock.advance(5000)
    expect(batches).toEqual([5, 2])
    clock.advance(5000)
    expect(batches).toEqual([5, 2])
    expect(counts).toEqual({ dropped: 0, timer: 2 })
  })

  it('a collector that does not answer gets few batches; then spans wait, and beyond the limit they are dropped', () => {
    const { add, batches, answers, counts } = queue(100)
    add(5 * MAX_BATCHES_UNDER_WAY + 110)
    expect(batches).toHaveLength(MAX_BATCHES_UNDER_WAY)
    expect(counts.dropped).toBe(10)
    answers[0]!()
    add(1)
    expect(counts.dropped).toBe(11)
  })

  it('sends what waits with the next span or tick once an answer has come', () => {
    const { add, batches, answers, clock } = queue(100)
    add(5 * MAX_BATCHES_UNDER_WAY + 20)
    answers[0]!()
    clock.advance(5000)
    expect(batches.at(-1)).toBe(20)
  })

  it('at the end everything is sent, and waited for', async () => {
    const { add, batches, answers, spans } = queue()
    add(3)
    let closed = false
    const closing = spans.close().then(() => {
      closed = true
    })
    expect(batches).toEqual([3])
    await Promise.resolve()
    expect(closed).toBe(false)
    answers[0]!()
    await closing
    expect(closed).toBe(true)
  })
})
