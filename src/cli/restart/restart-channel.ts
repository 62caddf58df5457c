// Makes Node's IPC channel, the one that can carry handles, out of a connected Unix socket: two processes that are not parent and child talk
// as if they were. Used by hot-restart.ts. child_process._forkChild is what Node itself calls in every forked child with the descriptor it
// inherited; it is not documented, so `canHotRestart` asks for it. docs/decisions/0011-hot-restart.md says what else was weighed.
// Invariant: a process has one such channel at a time (it is `process.send`), and the worker processes' channels are not among it.

import childProcess from 'node:child_process'
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { OpenChannel } from '../../sidecar/sidecar.js'

type ForkChild = (fd: number, serialization: 'advanced') => void
const forkChild = (childProcess as { readonly _forkChild?: ForkChild })._forkChild

export const canHotRestart = forkChild !== undefined

/** The descriptor belongs to the channel from then on, and is closed with it: the sockets it came in are never touched again. */
const EMPTIED: Socket[] = []

/** What Node listens to for a channel. It expects one channel in the life of a process, and takes none of it off. */
const OF_A_CHANNEL = ['internalMessage', 'newListener', 'removeListener']
const emitter: EventEmitter = process

function channelListeners(): ((...args: unknown[]) => void)[] {
  return OF_A_CHANNEL.flatMap(event => emitter.listeners(event) as ((...args: unknown[]) => void)[])
}

export function channelBusy(): boolean {
  return process.connected === true
}

/** `socket`: connected, and nothing was read from it or written to it. */
export function channelOver<Out, In>(socket: Socket): OpenChannel<Out, In> {
  return events => {
    const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle
    EMPTIED.push(socket)
    const before = new Set(channelListeners())
    forkChild!(fd, 'advanced')
    const own = channelListeners().filter(listener => !before.has(listener))
    const onMessage = (message: unknown, handle: unknown): void => events.onMessage(message as In, handle)
    process.on('message', onMessage)
    process.channel?.unref()
    process.once('disconnect', () => {
      process.off('message', onMessage)
      for (const listener of own) for (const event of OF_A_CHANNEL) emitter.off(event, listener)
      events.onClose()
    })
    return {
      send: (message, handle) => {
        if (process.connected === true) process.send!(message, handle, { keepOpen: true }, ignored)
      },
      close: () => {
        if (process.connected === true) process.disconnect()
      },
    }
  }
}

/** A channel that breaks shows in its end. */
function ignored(): void {}
