// What calls hold of messages that are not whole yet.
import { afterEach, expect, it, vi } from 'vitest'
import { GrpcCall } from '../../../src/control/grpc/grpc-call.js'
import { MessageAllowance } from '../../../src/control/grpc/message-allowance.js'
import type { RequestHead, ResponseHead, ServerStream } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'

interface Opened {
  readonly call: GrpcCall
  readonly messages: number[]
  status(): string | undefined
}

function open(allowance: MessageAllowance): Opened {
  let status: string | undefined
  const messages: number[] = []
  const stream = { bufferedBytes: 0, sendHead: (head: ResponseHead) => (status = head.headers.get('grpc-status')) }
  const call = new GrpcCall(
    stream as unknown as ServerStream,
    { path: '/s/M', headers: new HeaderList() } as RequestHead,
    'peer',
    allowance,
  )
  call.events = { onMessage: message => messages.push(message.length), onHalfClose() {}, onClosed() {} }
  return { call, messages, status: () => status }
}

/** The beginning of a message of 100 bytes. */
function torn(bytes: number): Buffer {
  const message = Buffer.alloc(bytes)
  message.writeUInt32BE(100, 1)
  return message
}

it('is bounded for all together, and free again once a message is whole, or its call over', () => {
  const allowance = new MessageAllowance(100, 200)
  const [first, second, third] = [open(allowance), open(allowance), open(allowance)]
  first.call.onData(torn(90), false)
  second.call.onData(torn(90), false)
  third.call.onData(torn(30), false)
  expect([first.status(), second.status(), third.status()]).toEqual([undefined, undefined, '8'])
  first.call.onData(Buffer.alloc(15), false)
  expect(first.messages).toEqual([100])
  second.call.onReset()
  const fourth = open(allowance)
  for (let i = 0; i < 2; i++) open(allowance).call.onData(torn(90), false)
  fourth.call.onData(torn(20), false)
  expect(fourth.status()).toBeUndefined()
})

it('who becomes known has the other allowance, with what is held already', () => {
  const unknown = new MessageAllowance(50, 60)
  const known = new MessageAllowance(100, 200)
  const one = open(unknown)
  one.call.allow(known)
  one.call.onData(torn(55), false)
  const other = open(unknown)
  other.call.onData(torn(5), false)
  expect(other.status(), 'a message of 100 bytes').toBe('8')
  one.call.onData(Buffer.alloc(50), false)
  expect(one.messages).toEqual([100])
  const moved = open(unknown)
  moved.call.onData(Buffer.alloc(4), false)
  moved.call.allow(known)
  moved.call.onData(Buffer.concat([Buffer.of(60), Buffer.alloc(60)]), false)
  expect(moved.messages).toEqual([60])
})

afterEach(() => {
  vi.useRealTimers()
})

it('of who is not known a message has to be whole in time, counted from the head or from its own beginning', () => {
  vi.useFakeTimers()
  const unknown = new MessageAllowance(100, 350, 1_000)
  const [silent, slow, whole, nowKnown] = [open(unknown), open(unknown), open(unknown), open(unknown)]
  for (const { call } of [silent, slow, whole, nowKnown]) call.expectMessage()
  slow.call.onData(torn(50), false)
  whole.call.onData(torn(105), false)
  nowKnown.call.allow(new MessageAllowance(100, 150))
  nowKnown.call.onData(torn(50), false)
  vi.advanceTimersByTime(999)
  // One byte more buys no time.
  slow.call.onData(Buffer.alloc(1), false)
  vi.advanceTimersByTime(2)
  expect([silent, slow, whole, nowKnown].map(({ status }) => status())).toEqual(['4', '4', undefined, undefined])
  whole.call.onData(Buffer.concat([torn(105), torn(100)]), false)
  vi.advanceTimersByTime(1_000)
  expect([whole.messages, whole.status()]).toEqual([[100, 100], '4'])
  const next = open(unknown)
  for (let i = 0; i < 3; i++) open(unknown).call.onData(torn(82), false)
  next.call.onData(torn(101), false)
  expect(next.status(), 'what was held is free again').toBeUndefined()
  next.call.onReset()
})
