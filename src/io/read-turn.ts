// The share of a turn of the event loop that bulk may take. libuv reads a socket up to 32 times before it looks at the next one, 2 MiB, and
// accepts one connection of a listener a turn: while 500 clients download, each turn is long, and who connects then waits for as many turns
// as connected before him. Here a socket that has brought TURN_BYTES rests: its handle stops, and starts again in a later turn, as many
// of those who rest at a time as keep the turn short, first come first served. Small reads are never held back. Used by readShared for
// plain and TLS sockets. Invariant: a handle that rests is started again unless its socket stopped it meanwhile.

/** What one connection brings in a turn, give or take one read. */
export const TURN_BYTES = 128 * 1024
/** What all of them may bring before each rests after one read. */
const ALL_TURN_BYTES = 1024 * 1024
/** So many of those who rest go on in a turn. */
const RELEASED = ALL_TURN_BYTES / TURN_BYTES
/** Those who have gone on are taken off the list from here on. */
const COMPACT_FROM = 256

/** What a net or tls socket reads from. */
export interface ReadHandle {
  /** Node's own mark: the socket wants to be read. */
  reading?: boolean
  readStart?(): number
  readStop?(): number
}

interface Reading {
  readonly destroyed: boolean
  readonly _handle?: ReadHandle | null
}

let turn = 0
let allBytes = 0
let turnEnds = false
let accepted = false
/** In the order in which they came to rest; those before `next` have gone on. */
const resting: ReadTurn[] = []
let next = 0

/** A connection was accepted: there may be more of them, and each turn takes one. */
export function connectionAccepted(): void {
  accepted = true
}

function endTurn(): void {
  turnEnds = false
  turn++
  allBytes = 0
  const until = Math.min(resting.length, next + (accepted ? 1 : RELEASED))
  accepted = false
  while (next < until) resting[next++]!.goOn()
  if (next === resting.length || next >= COMPACT_FROM) {
    resting.splice(0, next)
    next = 0
  }
  if (resting.length > 0) expectEnd()
}

function expectEnd(): void {
  if (turnEnds) return
  turnEnds = true
  setImmediate(endTurn)
}

/** Of one socket. HOT: once a long read. */
export class ReadTurn {
  private turn = -1
  private bytes = 0
  private handle: ReadHandle | null = null

  constructor(private readonly socket: Reading) {}

  /** So much was read. */
  took(length: number): void {
    expectEnd()
    if (this.turn !== turn) {
      this.turn = turn
      this.bytes = 0
    }
    this.bytes += length
    allBytes += length
    if ((this.bytes >= TURN_BYTES || allBytes >= ALL_TURN_BYTES) && this.handle === null) this.rest()
  }

  private rest(): void {
    const handle = this.socket._handle
    if (this.socket.destroyed || handle?.readStop === undefined || handle.readStart === undefined) return
    this.handle = handle
    handle.readStop()
    resting.push(this)
  }

  goOn(): void {
    const { socket, handle } = this
    this.handle = null
    if (!socket.destroyed && socket._handle === handle && handle?.reading === true) handle.readStart!()
  }
}
