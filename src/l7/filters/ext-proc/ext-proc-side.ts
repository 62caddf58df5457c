// One direction of a message under an external processor: what waits for its answer, and what waits behind that. Two per request, owned by
// ext-proc.ts. One part at a time is with the processor; the sender is paused meanwhile.

import { NO_TIMER, type Timer } from '../../../io/clock.js'
import type { BodyMode } from '../../../model/http-filter.js'
import type { HeaderList } from '../../codec/header-list.js'
import type { BodyFlow } from '../body-flow.js'
import type { Part } from './ext-proc-messages.js'

export class Side {
  bodyMode: BodyMode
  /** Nothing follows the head, or a tunnel does. */
  bodiless = false
  sendsTrailers: boolean
  /** The processor has the attributes of this direction. */
  attributesSent = false
  /** What the processor has, not answered yet. */
  awaiting: Part | null = null
  /** Its message's timer. */
  timer: Timer = NO_TIMER
  /** The head waits for us. */
  holdsHead = false
  readonly queue: { readonly chunk: Buffer; readonly end: boolean }[] = []
  trailers: HeaderList | null = null
  private paused = false
  /** Goes in the place of the next `skipBytes` of the body. */
  private replacement: Buffer | null = null
  private skipBytes = 0

  constructor(
    readonly flow: BodyFlow,
    bodyMode: BodyMode,
    sendsTrailers: boolean,
  ) {
    this.bodyMode = bodyMode
    this.sendsTrailers = sendsTrailers
  }

  hasNoBody(): void {
    this.bodiless = true
    this.bodyMode = 'NONE'
  }

  /** The processor wants the body otherwise. */
  setMode(mode: BodyMode | undefined): void {
    if (mode !== undefined && !this.bodiless) this.bodyMode = mode
  }

  replace(body: Buffer, skipBytes: number): void {
    this.replacement = body
    this.skipBytes = skipBytes
  }

  /** A piece of the body past what replaces it. */
  substitute(chunk: Buffer): Buffer {
    const dropped = Math.min(this.skipBytes, chunk.length)
    this.skipBytes -= dropped
    const rest = dropped === 0 ? chunk : chunk.subarray(dropped)
    const { replacement } = this
    if (replacement === null) return rest
    this.replacement = null
    return rest.length === 0 ? replacement : Buffer.concat([replacement, rest])
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.flow.pause()
  }

  unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.flow.unpause()
  }

  /** Everything that waits goes on as it is. */
  flush(): void {
    for (const { chunk, end } of this.queue.splice(0)) this.flow.emitData(chunk, end)
    const { trailers } = this
    this.trailers = null
    if (trailers !== null) this.flow.emitTrailers(trailers)
    this.unpause()
  }
}
