// Breaks a connection off with a TCP reset, whatever carries it: a plain socket, TLS over one, a unix socket, a tunnel. Called by
// the relays when one side was reset, so that the other does not take it for an orderly end. Never throws: Node's own
// `resetAndDestroy` does for every handle that is not TCP itself. Where a reset cannot be had (a unix socket has none, and libuv refuses
// one while a shutdown is under way) the connection is destroyed, which is all that its peer could be told. Invariant: the descriptor is
// closed, and 'close' follows.

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const carrierOf = Symbol('carrier')

interface Carried {
  [carrierOf]?: Socket
}

/** Remember the raw socket below `secured`: resetting the TLS socket itself is refused by Node. */
export function setCarrier(secured: Duplex, raw: Socket): void {
  ;(secured as Carried)[carrierOf] = raw
}

/** Reset `stream` towards its peer and destroy it. Idempotent. */
export function resetSocket(stream: Duplex & { resetAndDestroy?(): void }): void {
  const carrier = (stream as Carried)[carrierOf]
  const target: Duplex & { resetAndDestroy?(): void } = carrier ?? stream
  if (!target.destroyed && !isShuttingDown(stream)) {
    try {
      target.resetAndDestroy?.()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_INVALID_HANDLE_TYPE') throw error
    }
  }
  target.destroy()
  stream.destroy()
}

/**
 * All is sent, and the end is on its way. libuv refuses a reset now (EINVAL), and Node takes a handle that refused for closed: nobody could
 * ever close it, or hear of its close.
 */
function isShuttingDown(stream: Duplex): boolean {
  return stream.writableEnded && stream.writableLength === 0 && !stream.writableFinished
}
