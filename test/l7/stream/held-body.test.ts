import { expect, it } from 'vitest'
import { HeldBody } from '../../../src/l7/stream/held-body.js'

const held = (...texts: string[]) => {
  const body = new HeldBody(false)
  for (const text of texts) body.add(Buffer.from(text))
  return body
}

it('keeps the body whole, chunk by chunk', () => {
  const body = held('ab', '', 'c')
  expect([body.bytes, body.chunks.length, body.whole().toString()]).toEqual([3, 2, 'abc'])
})

it('shares no list between bodies', () => {
  held('ab')
  expect([held().chunks, held().whole().length]).toEqual([[], 0])
})

it('hands out what it holds, to be put back changed', () => {
  const body = held('ab', 'c')
  expect([body.take().map(String), body.bytes, body.replayable]).toEqual([['ab', 'c'], 0, true])
  body.add(Buffer.from('abcd'))
  expect(body.whole().toString()).toBe('abcd')
})

it('is complete only once no filter keeps its end back', () => {
  const body = held('ab')
  body.ended = true
  body.withheld = true
  expect(body.complete).toBe(false)
  body.withheld = false
  expect(body.complete).toBe(true)
})

it('once abandoned is empty and cannot be sent again', () => {
  const body = held('ab')
  body.abandon()
  expect([body.bytes, body.replayable, body.chunks.length]).toEqual([0, false, 0])
})

it('exceeds a limit only beyond what a paused client may still have sent', () => {
  const body = held('x'.repeat(256 * 1024))
  expect([body.exceeds(0), body.exceeds(1)]).toEqual([false, false])
  body.add(Buffer.from('x'))
  expect([body.exceeds(0), body.exceeds(1)]).toEqual([true, false])
})

it('is inherited by the request that follows a redirect', () => {
  const next = held()
  next.inherit(held('ab'))
  expect(next.whole().toString()).toBe('ab')
})
