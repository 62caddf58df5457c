// Breaks a connection off with a TCP reset, whatever carries it: a plain socket, TLS over one, a unix socket, a tunnel. Called by
// the relays when one side was reset, so that the other does not take it for an orderly end. Never throws: Node's own
// `resetAndDestroy` does for every handle that is not TCP itself. Where a reset cannot be had (a unix socket has none, and libuv refuses
// one while a shutdown is under way) the connection is destroyed, which is all that its peer could be told. Invariant: the descriptor is
// closed, and 'close' follows.

import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

const carrierOf = Symbol('carrier')

type Resettable = Duplex & { resetAndDestroy?(): void }

interface Carried {
  [carrierOf]?: Socket
}

/** Remember the raw socket below `secured`: resetting the TLS socket itself is refused by Node. */
export function setCarrier(secured: Duplex, raw: Socket): void {
  ;(secured as Carried)[carrierOf] = raw
}

/** Reset `stream` towards its peer and destroy it; over TLS it counts as destroyed when the socket below it is closed. Idempotent. */
export function resetSocket(stream: Resettable): void {
  const carrier = (stream as Carried)[carrierOf]
  const target: Resettable = carrier ?? stream
  if (target.destroyed) return
  if (carrier !== undefined) shield(stream, carrier)
  // libuv resets nothing while a FIN is on its way; Node would then forget the handle without closing it: the descriptor stays, the peer is
  // told nothing and `close` never comes. All bytes are the kernel's by then, so that an orderly end is the truth.
  if (!isEnding(stream) && !isEnding(target)) {
    try {
      target.resetAndDestroy?.()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_INVALID_HANDLE_TYPE') throw error
    }
  }
  target.destroy()
}

/** Its last byte is written, and its FIN asked for. */
function isEnding(stream: Duplex): boolean {
  return stream.writableEnded && stream.writableLength === 0 && !stream.writableFinished
}

/** Writing to a TLS socket, or destroying it, in the turn in which the socket below it was destroyed ends the process (SIGSEGV, Node 20 to 26). */
function shield(secured: Duplex, carrier: Socket): void {
  secured.cork()
  secured.destroy = () => secured
  carrier.once('close', () => {
    secured.destroy = Duplex.prototype.destroy
    secured.destroy()
  })
}
