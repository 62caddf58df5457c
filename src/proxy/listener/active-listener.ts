// A bound listener: its server sockets, the version of its config in use, its live connections. Made by ListenerRegistry; a new
// config version is swapped in under the open socket, and every live connection is told.

import type { SendHandle } from 'node:child_process'
import { chmodSync, linkSync, renameSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { connectionAccepted } from '../../io/read-turn.js'
import { endAfterException, guardSocket } from '../../io/socket-guard.js'
import type { SocketDestination } from '../../io/socket-options.js'
import { type Address, formatAddress } from '../../model/address.js'
import type { DrainSequence } from '../drain-sequence.js'
import type { HeldStream } from '../overload/overload-actions.js'
import type { OfferedSocket, Predecessor } from '../predecessor.js'
import type { AcceptGate } from './accept-gate.js'
import { Connection } from './connection.js'
import type { ListenerVersion } from './listener-version.js'

/** Envoy's default: what the kernel allows (net.core.somaxconn), which it takes for every larger number. */
const SYSTEM_MAXIMUM_BACKLOG = 2 ** 31 - 1

/** Clients that a listener keeps waiting while overload lets nobody in; those beyond are turned away. The kernel would queue as many. */
const MAX_HELD_CLIENTS = 1024

/** Where a listener's sockets come from and go to. Absent: it binds, accepts and serves. */
export type SocketSharing =
  | { readonly kind: 'hand-off'; readonly handOff: (listener: string, socket: net.Socket) => void }
  | { readonly kind: 'handed' }

/** Connections of all listeners of a process together. */
export interface ConnectionTally {
  open: number
}

export class ActiveListener {
  version: ListenerVersion
  private readonly servers: net.Server[] = []
  /** What each server listens on, as the config wrote it. */
  private readonly addressOf = new Map<net.Server, Address>()
  private readonly connections = new Set<Connection>()
  private readonly sharing: SocketSharing | null
  private readonly predecessor: Predecessor | null
  private readonly gate: AcceptGate | null
  private readonly tally: ConnectionTally
  private readonly listenerAt: (destination: SocketDestination) => ActiveListener | null
  /** Clients that wait until the overload is over. */
  private held: net.Socket[] = []
  private closing = false
  private sequence: DrainSequence | null = null

  /** `listenerAt`: who serves an address, for listeners that hand redirected connections over. */
  constructor(
    version: ListenerVersion,
    sharing: SocketSharing | null,
    predecessor: Predecessor | null,
    gate: AcceptGate | null,
    tally: ConnectionTally,
    listenerAt: (destination: SocketDestination) => ActiveListener | null,
  ) {
    this.version = version
    this.listenerAt = listenerAt
    this.sharing = sharing
    this.predecessor = predecessor
    this.gate = gate
    this.tally = tally
  }

  /** Bind all addresses. Rejects with the address in the message; nothing stays bound then. */
  async bind(): Promise<void> {
    const { model } = this.version
    if (!model.bindToPort || this.sharing?.kind === 'handed') return
    try {
      for (const address of [model.address, ...model.additionalAddresses]) await this.listen(address)
    } catch (error) {
      for (const server of this.servers) server.close()
      this.servers.length = 0
      throw error
    }
  }

  /** Bind all addresses and give them back: can this listener be had? Whoever connects meanwhile is turned away. */
  async tryBind(): Promise<void> {
    const { address, additionalAddresses } = this.version.model
    // What comes from the process before this one can be had.
    if ([address, ...additionalAddresses].every(each => this.predecessor?.has(each) === true)) return
    this.closing = true
    await this.bind()
    this.stopAccepting()
  }

  /** Bound addresses; port 0 is resolved. */
  get addresses(): Address[] {
    const bound = this.servers.map((server): Address => {
      const address = server.address()
      if (address === null || typeof address === 'string') return { kind: 'pipe', path: String(address), mode: 0 }
      return { kind: 'socket', host: address.address, port: address.port }
    })
    return bound.length > 0 ? bound : [this.version.model.address]
  }

  private listen(address: Address): Promise<void> {
    // pauseOnConnect: not a byte is read before the connection's filter chain says who reads it.
    const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, socket => this.onConnection(socket))
    this.servers.push(server)
    this.addressOf.set(server, address)
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'the address is already in use' : error.message
        reject(new Error(`cannot bind '${formatAddress(address)}': ${why}`))
      })
      const done = (): void => {
        if (this.version.model.transparent) {
          try {
            this.version.socketOptions!.makeTransparent(server)
          } catch (error) {
            reject(new Error(`cannot bind '${formatAddress(address)}': ${(error as Error).message}`))
            return
          }
        }
        server.on('error', error => this.version.log('warn', `listener ${this.version.name}: ${error.message}`))
        resolve()
      }
      const backlog = this.version.model.tcpBacklogSize ?? SYSTEM_MAXIMUM_BACKLOG
      const inherited = this.closing ? null : (this.predecessor?.take(address) ?? null)
      if (inherited !== null) {
        server.listen(inherited, backlog, done)
        return
      }
      if (address.kind === 'pipe') {
        if (!address.path.startsWith('@')) {
          try {
            unlinkSync(address.path)
          } catch {
            // Not there: the usual case.
          }
        }
        server.listen({ path: address.path.startsWith('@') ? `\0${address.path.slice(1)}` : address.path, backlog }, () => {
          if (address.mode !== 0 && !address.path.startsWith('@')) chmodSync(address.path, address.mode)
          done()
        })
      } else server.listen({ host: address.host, port: address.port, backlog }, done)
    })
  }

  private onConnection(socket: net.Socket): void {
    if (this.closing) socket.destroy()
    else if (this.gate === null || this.mayEnter(this.gate, socket)) this.enter(socket)
  }

  /** False: the client is turned away, or waits. */
  private mayEnter(gate: AcceptGate, socket: net.Socket): boolean {
    const { model, stats } = this.version
    if (model.bypassOverload === true) return true
    if (gate.holds) {
      if (this.held.length < MAX_HELD_CLIENTS) {
        socket.on('error', () => {})
        this.held.push(socket)
        return false
      }
    } else if (!gate.rejects()) return true
    stats.main.downstream_cx_overload_reject.value++
    socket.destroy()
    return false
  }

  /** The overload is over. */
  acceptHeld(): void {
    const { held } = this
    this.held = []
    for (const socket of held) {
      if (this.closing) socket.destroy()
      else if (!socket.destroyed) this.enter(socket)
    }
  }

  private enter(socket: net.Socket): void {
    if (this.sharing?.kind === 'hand-off') this.sharing.handOff(this.version.name, socket)
    else this.accept(socket)
  }

  /** A client's socket: of our own, or handed over by the process that accepts. */
  accept(socket: net.Socket): void {
    const { model, stats, socketOptions } = this.version
    if (this.gate?.full() === true && model.ignoreGlobalConnLimit !== true) {
      stats.main.downstream_global_cx_overflow.value++
      socket.destroy()
      return
    }
    connectionAccepted()
    guardSocket(socket)
    const destination = model.originalDst ? socketOptions!.originalDestination(socket) : null
    const owner = destination !== null && model.handsOffRedirected ? (this.listenerAt(destination) ?? this) : this
    owner.serve(socket, destination)
  }

  private serve(socket: net.Socket, destination: SocketDestination | null): void {
    try {
      const connection = new Connection(
        socket,
        this.version,
        destination,
        () => this.shouldDrainClose(),
        gone => this.onGone(gone),
      )
      this.connections.add(connection)
      this.tally.open++
    } catch (error) {
      endAfterException(error, socket)
    }
  }

  private onGone(connection: Connection): void {
    if (this.connections.delete(connection)) this.tally.open--
  }

  /** Swap the config under the open socket. */
  update(version: ListenerVersion): void {
    this.version = version
    for (const connection of this.connections) connection.update(version)
  }

  /** Overload shortens timeouts more, or less, than it did. */
  rescaleTimeouts(): void {
    for (const connection of this.connections) connection.rescaleTimeouts()
  }

  /** What is in progress on its HTTP connections. */
  *streams(): IterableIterator<HeldStream> {
    for (const connection of this.connections) yield* connection.streams
  }

  /** Its TCP sockets. Those of the file system are bound anew by whoever comes next, as their paths are. */
  offeredSockets(): OfferedSocket[] {
    return this.servers.flatMap(server => {
      const address = this.addressOf.get(server)!
      const { _handle: handle } = server as net.Server & { readonly _handle?: SendHandle | null }
      return address.kind === 'pipe' || handle == null ? [] : [{ address: formatAddress(address), handle }]
    })
  }

  /** Another process has bound the paths anew: Node must not take them away when the servers here close. */
  keepPaths(): void {
    for (const server of this.servers) {
      const address = this.addressOf.get(server)!
      if (address.kind !== 'pipe' || address.path.startsWith('@')) continue
      const kept = `${address.path}.restart`
      try {
        linkSync(address.path, kept)
        server.close()
        renameSync(kept, address.path)
      } catch (error) {
        this.version.log('warn', `listener ${this.version.name}: ${(error as Error).message}`)
      }
    }
  }

  /** Stop accepting; open connections stay. */
  stopAccepting(): void {
    this.closing = true
    for (const server of this.servers) server.close()
    this.servers.length = 0
    this.acceptHeld()
  }

  /** The listener goes away: its HTTP clients are asked to leave with their answers. */
  drainBy(sequence: DrainSequence): void {
    this.sequence = sequence
    sequence.start()
    if (sequence.immediate) this.announceDrain()
  }

  announceDrain(): void {
    for (const connection of this.connections) connection.announceDrain()
  }

  private shouldDrainClose(): boolean {
    return this.sequence?.shouldClose() === true || this.version.drainClose()
  }

  /** The process ends: idle connections close at once, the others after what is in progress. */
  drain(): void {
    for (const connection of this.connections) connection.drain()
  }

  destroy(): void {
    this.stopAccepting()
    for (const connection of this.connections) connection.destroy()
  }
}
