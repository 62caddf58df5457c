// Reads a socket into one buffer that all sockets share, where `data` events would cost a buffer of 64 KiB a read, its garbage and the
// machinery of Readable (3 µs a hop, docs/performance.md). What Node documents as `onread` is an option of net.connect; here it is set on
// a socket that exists already, so that accepted and TLS sockets have it too (a TLSSocket over a connected socket drops the option). The
// two slots behind that option are not documented: they are looked for at start, and where they are missing `data` events are used. Used
// by the HTTP connections of both sides and the TCP relay.
// Invariant: the bytes handed out are borrowed until the callback returns. Whoever keeps them takes `ownBytes` of them: a copy of what
// stands in the shared buffer. Bulk is read into a slab of the socket's own, which is given away when somebody keeps of it, as copying it
// would cost more than is saved, and else read into again: an allocation of 64 KiB a read makes V8 collect garbage all the time.

import net from 'node:net'
import { Duplex } from 'node:stream'
import { beginRead, endRead } from './event-clock.js'
import { type ReadHandle, ReadTurn } from './read-turn.js'
import { endAfterException } from './socket-guard.js'

/** From this size on a read is part of a bulk transfer. */
export const BULK_BYTES = 8 * 1024
/** What libuv offers for one read; of the shared buffer and of a slab. */
const READ_BYTES = 64 * 1024
/** The rest of a slab is read into while it holds a TLS record. */
const RECORD_BYTES = 16 * 1024
/** A socket keeps a slab until so many reads in a row were small: an answer of 64 KiB is a long read and a short one. */
const SMALL_READS = 8

const shared = Buffer.allocUnsafeSlow(READ_BYTES)
const sharedMemory = shared.buffer
/** The last slice of `shared` that was handed out: reads of one length follow each other. */
let slice = shared
/** Of the slab that a callback reads in just now; null outside. */
let lentSlab: ArrayBufferLike | null = null
let slabKept = false

/** Where a net.Socket keeps its `onread` buffer and callback. */
interface ReadSlots {
  readonly buffer: symbol
  readonly callback: symbol
  /** Asked after each read for another buffer. */
  readonly nextBuffer: symbol
}

interface StreamHandle extends ReadHandle {
  /** Of TLS: what it reads from. */
  readonly _parent?: StreamHandle
  useUserBuffer?(buffer: Buffer): void
}

interface OpenSocket {
  readonly destroyed: boolean
  readonly _handle?: StreamHandle | null
  [slot: symbol]: unknown
}

function findReadSlots(): ReadSlots | null {
  const socket = new net.Socket() as unknown as OpenSocket
  const empty = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === name && socket[symbol] === null)
  const buffer = empty('kBuffer')
  const callback = empty('kBufferCb')
  const nextBuffer = empty('kBufferGen')
  return buffer === undefined || callback === undefined || nextBuffer === undefined ? null : { buffer, callback, nextBuffer }
}

export const READ_SLOTS = findReadSlots()

/**
 * As `socket.on('data', onBytes)`, for a socket that is open and has no such listener yet: pause, resume and `end` are as ever. Bytes that
 * come while the socket is paused wait in its own buffer, within its own bound, so that a peer that leaves is noticed. Of one turn of the
 * event loop it takes its share (read-turn.ts). `slots` null: by `data` events alone.
 */
export function readShared(socket: Duplex, onBytes: (chunk: Buffer) => void, slots: ReadSlots | null = READ_SLOTS): void {
  const open = socket as unknown as OpenSocket
  const handle = open._handle
  const turn = new ReadTurn(open)
  const onData = (chunk: Buffer): void => {
    if (chunk.length >= BULK_BYTES) turn.took(chunk.length)
    beginRead()
    try {
      onBytes(chunk)
    } finally {
      endRead()
    }
  }
  socket.on('data', onData)
  if (slots === null || !readsAlone(handle)) return
  const reader = new SharedReader(socket, onData)
  open[slots.buffer] = shared
  // This callback is no event, so the guard around events (socket-guard.ts) does not see what it throws.
  open[slots.callback] = (length: number) => {
    try {
      return reader.onRead(length)
    } catch (error) {
      endAfterException(error, socket)
      return false
    }
  }
  open[slots.nextBuffer] = () => reader.nextBuffer()
  // With `onread` a net.Socket stops its handle to pause, and would not see the peer's FIN or reset.
  socket.pause = Duplex.prototype.pause
  handle.useUserBuffer!(shared)
}

/** Where one socket's next read goes. HOT. */
class SharedReader {
  private target: Buffer = shared
  private small = 0
  private lastLength = 0
  private lastKept = false

  constructor(
    private readonly socket: Duplex,
    private readonly onBytes: (chunk: Buffer) => void,
  ) {}

  /** False: the socket holds enough for now, and reads on by itself. */
  onRead(length: number): boolean {
    const { target } = this
    this.lastLength = length
    if (target !== shared) {
      if (length >= BULK_BYTES) return this.lendSlab(target.subarray(0, length))
      target.copy(shared, 0, 0, length)
    }
    return this.pass(lend(length))
  }

  private pass(chunk: Buffer): boolean {
    const { socket } = this
    if (socket.readableFlowing !== true || socket.readableLength > 0) return socket.push(ownBytes(chunk))
    this.onBytes(chunk)
    return true
  }

  private lendSlab(chunk: Buffer): boolean {
    lentSlab = chunk.buffer
    slabKept = false
    try {
      return this.pass(chunk)
    } finally {
      lentSlab = null
      this.lastKept = slabKept
    }
  }

  /** Undefined: the same again. */
  nextBuffer(): Buffer | undefined {
    const { target, lastLength } = this
    if (lastLength < BULK_BYTES) {
      if (target === shared || ++this.small < SMALL_READS) return undefined
      return (this.target = shared)
    }
    this.small = 0
    if (target !== shared && !this.lastKept) return undefined
    const rest = target === shared ? 0 : target.length - lastLength
    return (this.target = rest >= RECORD_BYTES ? target.subarray(lastLength) : Buffer.allocUnsafeSlow(READ_BYTES))
  }
}

function lend(length: number): Buffer {
  if (slice.length !== length) slice = shared.subarray(0, length)
  return slice
}

/**
 * Does reading happen from the event loop alone? TLS over a stream of JavaScript (a tunnel) decrypts inside another socket's callback and
 * would overwrite that one's bytes.
 */
function readsAlone(handle: StreamHandle | null | undefined): handle is StreamHandle {
  if (handle === null || handle === undefined || typeof handle.useUserBuffer !== 'function') return false
  let lowest = handle
  while (lowest._parent !== undefined) lowest = lowest._parent
  return lowest.constructor.name === 'TCP' || lowest.constructor.name === 'Pipe'
}

/** `chunk`, or a copy of it where it stands in the shared buffer: the caller may keep it. */
export function ownBytes(chunk: Buffer): Buffer {
  if (chunk.buffer === sharedMemory) return Buffer.from(chunk)
  if (chunk.buffer === lentSlab) slabKept = true
  return chunk
}

/** Must be copied to be kept. */
export function isShared(chunk: Buffer): boolean {
  return chunk.buffer === sharedMemory
}
