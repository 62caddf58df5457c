// Writes small messages to a plain socket past the machinery of Writable, where nothing waits before them: what Node does around one write
// (a request object, a queue, a callback, a tick) costs more than the call that it is for (docs/performance.md). Owned by a SocketTransport or, in
// the TCP relay, by a BulkWriter.
// What it relies on is not documented: it is tried out at start, and where it is missing (Node 24 and later, which do less around a write)
// everything is written by `socket.write`, as is TLS and whatever waits for the kernel.
// Invariant: bytes stay in order. A write is ours only while the socket itself has nothing to write, and what follows one that the
// kernel did not take whole queues up behind it in libuv.

import net from 'node:net'
import type { Duplex } from 'node:stream'
import { getSystemErrorName } from 'node:util'

/** Larger ones are bulk (bulk-writer.ts). */
const DIRECT_BYTES = 16 * 1024

/** Handles of the kernel's own. */
const KINDS: ReadonlySet<string> = new Set(['TCP', 'Pipe'])

/** What libuv tells of a write that it could not finish at once. */
interface WriteRequest {
  /** -1: libuv does not have it (yet). */
  getAsyncId(): number
  oncomplete: ((this: WriteRequest, status: number) => void) | null
  /** Kept until it is written. */
  buffer: Buffer | null
  writer: DirectWriter | null
}

interface WriteHandle {
  /** Bytes that the kernel has not taken yet. */
  readonly writeQueueSize: number
  writeLatin1String(request: WriteRequest, text: string): number
  writeBuffer(request: WriteRequest, chunk: Buffer): number
}

interface OpenSocket {
  readonly _handle?: WriteHandle | null
}

/** The class of the objects that a socket hands to its handle with a write: found by writing to a handle of our own. */
function findWriteRequest(): (new () => WriteRequest) | null {
  let found: (new () => WriteRequest) | null = null
  const handle = {
    getAsyncId: () => 0,
    readStart: () => 0,
    writeLatin1String(request: WriteRequest) {
      if (typeof request.getAsyncId === 'function') found = request.constructor as new () => WriteRequest
      return 0
    },
  }
  try {
    new net.Socket({ handle } as net.SocketConstructorOpts).on('error', () => {}).write('x', 'latin1')
  } catch {
    return null
  }
  return found
}

export const WRITE_REQUEST = findWriteRequest()

/** Of the next write, whoever makes it: only one that the kernel does not take whole keeps its request. */
let spare: WriteRequest | null = null

function spareRequest(): WriteRequest {
  const request = new WRITE_REQUEST!()
  request.oncomplete = null
  request.buffer = null
  request.writer = null
  return request
}

function onComplete(this: WriteRequest, status: number): void {
  this.writer!.onComplete(status)
}

export class DirectWriter {
  /** Bytes of a write of ours that the kernel has not taken yet. */
  waitingBytes = 0
  /** libuv has a write of ours. */
  private pending = false
  private readonly socket: Duplex
  private readonly handle: WriteHandle
  private owesDrain = false

  private constructor(socket: Duplex, handle: WriteHandle) {
    this.socket = socket
    this.handle = handle
  }

  /** Null: all that goes there goes by `write`. */
  static of(pipe: Duplex): DirectWriter | null {
    const { _handle: handle } = pipe as OpenSocket
    if (WRITE_REQUEST === null || handle === null || handle === undefined || !KINDS.has(handle.constructor.name)) return null
    return new DirectWriter(pipe, handle)
  }

  /** HOT. May `length` bytes be written here now? */
  takes(length: number): boolean {
    const { socket } = this
    return (
      length <= DIRECT_BYTES &&
      !this.pending &&
      socket.writableLength === 0 &&
      socket.writableCorked === 0 &&
      (socket as OpenSocket)._handle === this.handle
    )
  }

  /**
   * HOT. To be asked `takes` before. Latin-1 text, or bytes that the caller gives away. False: `limitBytes` or more wait for the peer, and
   * the socket emits `drain` when they are gone.
   */
  write(data: Buffer | string, limitBytes: number): boolean {
    const { handle } = this
    const request = (spare ??= spareRequest())
    const error = typeof data === 'string' ? handle.writeLatin1String(request, data) : handle.writeBuffer(request, data)
    if (error !== 0) {
      this.socket.destroy(writeError(error))
      return true
    }
    // The bytes that wait do not say it: what the first call left, the second one of libuv may have written, which tells us of it later.
    // A request that libuv still has must not be written with again: Node ends the process.
    if (request.getAsyncId() === -1) return true
    spare = null
    request.oncomplete = onComplete
    request.writer = this
    if (typeof data !== 'string') request.buffer = data
    this.pending = true
    this.waitingBytes = handle.writeQueueSize
    this.owesDrain = this.waitingBytes >= limitBytes
    return !this.owesDrain
  }

  /** Called by libuv: what waited is written, or lost. */
  onComplete(status: number): void {
    const { socket } = this
    this.pending = false
    this.waitingBytes = 0
    if (socket.destroyed) return
    if (status !== 0) socket.destroy(writeError(status))
    else if (this.owesDrain && !socket.writableNeedDrain) socket.emit('drain')
  }
}

/** As Node makes it. */
function writeError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(`write ${code}`), { errno, code, syscall: 'write' })
}
