// An accepted socket passed from one process to another: the primary takes the handle out of its net.Socket and sends it over the IPC
// channel, the worker makes a socket of it as net.Server would have. node:child_process documents the passing of whole sockets; those
// come out reading, half-open switched off, and tracked by both sides, so the bare handle goes instead, as node:cluster does it.
// Invariant: not a byte has been read of a socket that is passed.

import type { SendHandle } from 'node:child_process'
import net from 'node:net'

/** Null: the client has left already. */
export function handleOf(socket: net.Socket): SendHandle | null {
  const { _handle } = socket as net.Socket & { readonly _handle?: SendHandle | null }
  return socket.destroyed ? null : (_handle ?? null)
}

/** A paused socket, as `pauseOnConnect` gives it. Null: nothing came with the message, as the client had left. */
export function socketOf(handle: unknown): net.Socket | null {
  if (handle === null || handle === undefined) return null
  return new net.Socket({ handle, allowHalfOpen: true, pauseOnCreate: true, readable: true, writable: true } as net.SocketConstructorOpts)
}
