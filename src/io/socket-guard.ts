// The last line of defence: an exception that a connection's events throw ends that connection, and not the process. Put around every
// socket where it is made (ActiveListener, Connection's TLS, Dial). An assert is no such exception: it says that the process's own state is
// wrong, and ends it. Who wants to count and log them subscribes; a bug is the program's, so every sidecar of a process is told.

import { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'

export type ExceptionListener = (error: Error) => void

const listeners = new Set<ExceptionListener>()

/** `listener` hears of every exception that ended a connection. Returns the way to stop it. */
export function onConnectionException(listener: ExceptionListener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Ends what threw; an assert is thrown on. */
export function endAfterException(error: unknown, ended: { destroy(): unknown }): void {
  if ((error as { readonly code?: unknown } | null)?.code === 'ERR_ASSERTION') throw error
  const reported = error instanceof Error ? error : new Error(String(error))
  for (const listener of listeners) listener(reported)
  ended.destroy()
}

const plainEmit = EventEmitter.prototype.emit

// HOT: once an event of a socket. A `try` costs nothing until it catches, and arguments that are only passed on make no array.
function guardedEmit(this: Duplex, ...given: Parameters<typeof plainEmit>): boolean {
  try {
    return plainEmit.apply(this, given)
  } catch (error) {
    endAfterException(error, this)
    return true
  }
}

/** From here on exceptions out of `socket`'s events end it. Idempotent. */
export function guardSocket(socket: Duplex): void {
  socket.emit = guardedEmit
}
