import { expect, it } from 'vitest'
import { grpcFrame } from '../../../src/l7/grpc/grpc-frame.js'
import { GrpcMessageReader, MAX_GRPC_MESSAGE_BYTES } from '../../../src/l7/grpc/grpc-message-reader.js'

it('finds the messages however they are cut up', () => {
  const all = Buffer.concat(['one', '', 'three'].map(text => grpcFrame(Buffer.from(text))))
  for (let size = 1; size <= all.length; size++) {
    const reader = new GrpcMessageReader()
    const found: string[] = []
    for (let i = 0; i < all.length; i += size) for (const message of reader.push(all.subarray(i, i + size))!) found.push(message.toString())
    expect(found).toEqual(['one', '', 'three'])
  }
})

it('takes nothing that is compressed or too long', () => {
  const compressed = grpcFrame(Buffer.from('x'))
  compressed[0] = 1
  expect(new GrpcMessageReader().push(compressed)).toBeNull()
  const long = Buffer.alloc(5)
  long.writeUInt32BE(MAX_GRPC_MESSAGE_BYTES + 1, 1)
  expect(new GrpcMessageReader().push(long)).toBeNull()
})

it('holds a long message that comes in many pieces, and the beginning of the next', () => {
  const long = Buffer.alloc(100_000, 'x')
  const all = Buffer.concat([grpcFrame(long), grpcFrame(Buffer.from('next'))])
  const reader = new GrpcMessageReader()
  const found: Buffer[] = []
  for (let i = 0; i < all.length; i += 3) found.push(...reader.push(all.subarray(i, i + 3))!)
  expect(found.map(message => message.length)).toEqual([long.length, 4])
  // What was handed out is not written over by what came after it.
  expect([found[0]!.equals(long), found[1]!.toString()]).toEqual([true, 'next'])
})
