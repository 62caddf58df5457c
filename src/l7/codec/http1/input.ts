// What an HTTP/1 codec has read and cannot take yet, and the one pause of its transport. While bytes wait the transport is paused,
// so what waits is bounded by one read. Owned by one codec, which does the decoding in `take`.

import type { Transport } from '../codec.js'

/** Bytes held while the transport is paused. One read is the rule; more means a transport that does not pause. */
export const MAX_HELD_BYTES = 4 * 1024 * 1024

export interface InputTaker {
  /**
   * Decode `chunk` from its start. Returns the offset behind the last byte taken: less than the length when the rest must wait.
   * The bytes are only borrowed.
   */
  take(chunk: Buffer): number
  /** Nothing is taken any more; what is left is dropped. */
  readonly inputClosed: boolean
  /** All that could be taken has been taken. */
  afterInput(): void
  /** The peer's FIN, once everything before it has been taken. */
  inputEnded(): void
  /** More than MAX_HELD_BYTES. */
  inputOverflow(): void
}

export class Http1Input {
  /** Bytes not yet taken. */
  held: Buffer | null = null
  /** The stream's owner wants no events now. */
  paused = false
  /** Inside `take`. */
  running = false
  /** FIN has come and waits behind held bytes or a pause. */
  finPending = false
  private ended = false
  private readPaused = false
  private readonly transport: Transport
  private readonly taker: InputTaker

  constructor(transport: Transport, taker: InputTaker) {
    this.transport = transport
    this.taker = taker
  }

  /** HOT. */
  feed(chunk: Buffer): void {
    if (this.ended || this.taker.inputClosed) return
    if (!this.running && this.held === null) {
      this.run(chunk, false)
      return
    }
    if (this.held !== null && this.held.length + chunk.length > MAX_HELD_BYTES) {
      this.taker.inputOverflow()
      return
    }
    this.held = this.held === null ? Buffer.from(chunk) : Buffer.concat([this.held, chunk])
    if (!this.running) this.settle()
  }

  /** `owned`: the chunk is our copy, its rest may be kept as it is. */
  private run(chunk: Buffer, owned: boolean): void {
    const { taker } = this
    this.running = true
    for (;;) {
      const offset = taker.take(chunk)
      if (taker.inputClosed) break
      if (offset < chunk.length) {
        // Bytes that came meanwhile (re-entrant) stand behind the rest of this chunk.
        const rest = chunk.subarray(offset)
        this.held = this.held !== null ? Buffer.concat([rest, this.held]) : owned ? rest : Buffer.from(rest)
        break
      }
      if (this.held === null) break
      chunk = this.held
      owned = true
      this.held = null
    }
    this.running = false
    this.settle()
    taker.afterInput()
    this.deliverFin()
  }

  /** What was held can perhaps be taken now. */
  pump(): void {
    const { held } = this
    if (this.running) return
    if (held !== null && !this.paused) {
      this.held = null
      this.run(held, true)
      return
    }
    this.settle()
    this.deliverFin()
  }

  /** Once what runs now is done. No event of the socket comes before. */
  pumpSoon(): void {
    process.nextTick(pumpLater, this)
  }

  setPaused(paused: boolean): void {
    if (paused === this.paused) return
    this.paused = paused
    if (!this.running) this.pump()
  }

  /** The peer's FIN. */
  end(): void {
    this.ended = true
    this.finPending = true
    this.deliverFin()
  }

  private deliverFin(): void {
    if (!this.finPending || this.held !== null || this.paused || this.running) return
    this.finPending = false
    this.taker.inputEnded()
  }

  /** The one place that pauses and resumes the transport, so that pauses are always balanced. */
  private settle(): void {
    const want = !this.taker.inputClosed && (this.paused || this.held !== null)
    if (want === this.readPaused) return
    this.readPaused = want
    if (want) this.transport.pauseRead()
    else this.transport.resumeRead()
  }

  /** After the codec has closed: drop everything, give the pause back. */
  close(): void {
    this.held = null
    this.paused = false
    this.finPending = false
    this.settle()
  }
}

function pumpLater(input: Http1Input): void {
  input.pump()
}
