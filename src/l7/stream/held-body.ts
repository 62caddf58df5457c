// The request body as far as it must be kept: what came before an upstream was open, and what another try, a redirect, a mirror or a
// filter may still need. One per request, shared by the exchange (which learns its end), the filter chain (which collects and changes
// it) and the router (which sends it). It sets no bound: each of them has a limit of its own.
// Invariant: while `replayable`, `chunks` are the whole body so far. HOT: a request without a body allocates no list.

import { ownBytes } from '../../io/shared-read.js'
import type { HeaderList } from '../codec/header-list.js'

const NONE: Buffer[] = []
const EMPTY = Buffer.alloc(0)
/** One read may arrive after the stream was paused. */
const SLACK_BYTES = 256 * 1024

export class HeldBody {
  bytes = 0
  /** Every byte so far is here, so that another try can send it again. */
  replayable = true
  /** The client has sent the last of it. */
  ended: boolean
  /** A filter has its end, and what of it the filter has not passed on yet. */
  withheld = false
  trailers: HeaderList | null = null
  private list: Buffer[] = NONE

  constructor(ended: boolean) {
    this.ended = ended
  }

  get chunks(): readonly Buffer[] {
    return this.list
  }

  /** Its end has passed the filters so far: `chunks` and `trailers` are the rest of it. */
  get complete(): boolean {
    return this.ended && !this.withheld
  }

  add(chunk: Buffer): void {
    if (chunk.length === 0) return
    const kept = ownBytes(chunk)
    if (this.list === NONE) this.list = [kept]
    else this.list.push(kept)
    this.bytes += chunk.length
  }

  /** All that is held, which a filter takes to put other chunks in its place. */
  take(): readonly Buffer[] {
    const taken = this.list
    this.clear()
    return taken
  }

  /** Too long to be kept, or sent and not needed again. */
  abandon(): void {
    this.replayable = false
    this.clear()
  }

  clear(): void {
    this.list = NONE
    this.bytes = 0
  }

  /** The body of the request that this one follows (an internal redirect). */
  inherit(previous: HeldBody): void {
    this.list = previous.list
    this.bytes = previous.bytes
  }

  /** Longer than `limitBytes`, and than what a paused client may still have sent. */
  exceeds(limitBytes: number): boolean {
    return this.bytes > limitBytes + SLACK_BYTES
  }

  whole(): Buffer {
    if (this.list.length === 0) return EMPTY
    return this.list.length === 1 ? this.list[0]! : Buffer.concat(this.list)
  }
}
