// What an HTTP/1 codec writes: head text waits until the end of the turn for body bytes that may join it, so that head and small
// body leave in one write. Owned by one codec. HOT: every write.

import type { Transport } from '../codec.js'
import { type Flushable, queueFlush } from '../flush-queue.js'
import { MAX_JOINED_BODY_BYTES } from './message-writer.js'

export class Http1Output implements Flushable {
  /** Nothing more may be written: the connection is closed or broken. */
  closed = false
  /** Something has been handed to the transport since this was last set to false. */
  wrote = false
  private readonly transport: Transport
  private text = ''
  private queued = false

  constructor(transport: Transport) {
    this.transport = transport
  }

  /** Characters (= bytes) that still wait for the end of the turn. */
  get pendingBytes(): number {
    return this.text.length
  }

  /** Text that body bytes of the same turn may join. */
  queue(text: string): void {
    this.text += text
    if (this.queued) return
    this.queued = true
    queueFlush(this)
  }

  flush(): void {
    this.queued = false
    if (this.text === '') return
    const text = this.text
    this.text = ''
    if (this.closed) return
    this.wrote = true
    this.transport.write(text)
  }

  /** What waits, then the text, now. */
  writeText(text: string): boolean {
    const all = this.text === '' ? text : this.text + text
    this.text = ''
    if (this.closed || all === '') return true
    this.wrote = true
    return this.transport.write(all)
  }

  /** What waits, then `prefix`, the chunk and `suffix`, in as few writes as is cheap. */
  writeChunk(prefix: string, chunk: Buffer, suffix: string): boolean {
    const text = this.text === '' ? prefix : this.text + prefix
    this.text = ''
    if (this.closed) return true
    this.wrote = true
    if (chunk.length <= MAX_JOINED_BODY_BYTES) return this.transport.write(text + chunk.latin1Slice() + suffix)
    if (suffix !== '') {
      // One copy is cheaper than two more writes, each a packet and a system call of its own.
      const framed = Buffer.allocUnsafe(text.length + chunk.length + suffix.length)
      const at = framed.latin1Write(text, 0)
      chunk.copy(framed, at)
      framed.latin1Write(suffix, at + chunk.length)
      return this.transport.write(framed)
    }
    if (text !== '') this.transport.write(text)
    return this.transport.write(chunk)
  }

  /** Forget what waits and write no more. */
  close(): void {
    this.closed = true
    this.text = ''
  }
}
