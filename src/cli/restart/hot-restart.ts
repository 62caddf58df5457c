// Hot restart by Envoy's command line: a process of epoch N > 0 asks the one of epoch N - 1 with the same base id for its listening sockets,
// and every process waits to be asked by the next. On where one of the flags is given (--restart-epoch, --base-id, --use-dynamic-base-id,
// --base-id-path, --socket-path) and --disable-hot-restart is not. Called by run-proxy.ts; the talk itself: src/sidecar/restart.
// Invariant: the name of an epoch is held by one live process; what a dead one left is taken away.

import { chmodSync, rmSync } from 'node:fs'
import net from 'node:net'
import { OldProcess, type Sidecar, type ToNewProcess, type ToOldProcess } from '../../sidecar/sidecar.js'
import type { ProxyLogger } from '../logger.js'
import type { ProxyFlags } from '../proxy-flags.js'
import { socketOfEpoch, socketPrefix } from './restart-address.js'
import { canHotRestart, channelBusy, channelOver } from './restart-channel.js'

const MAX_DYNAMIC_BASE_ID = 2 ** 31
const DYNAMIC_TRIES = 16

export class HotRestart {
  readonly baseId: number
  readonly epoch: number
  /** The process before this one. */
  readonly old: OldProcess | null
  private readonly server: net.Server
  private readonly log: ProxyLogger['log']
  private serve: ((socket: net.Socket) => void) | null = null

  private constructor(baseId: number, epoch: number, old: OldProcess | null, server: net.Server, log: ProxyLogger['log']) {
    this.baseId = baseId
    this.epoch = epoch
    this.old = old
    this.server = server
    this.log = log
    server.on('connection', socket => void this.onConnection(socket))
    server.unref()
  }

  /** null: it is off. A text says why the process cannot start. */
  static async begin(flags: ProxyFlags, logger: ProxyLogger): Promise<HotRestart | string | null> {
    const { restart } = flags
    if (!restart.enabled) return null
    if (!canHotRestart || channelBusy()) {
      const why = canHotRestart ? 'this process was started with an IPC channel' : 'this Node has no channel for it'
      return `hot restart: ${why}; --disable-hot-restart starts without`
    }
    let prefix: string
    try {
      prefix = socketPrefix(restart.socketPath)
    } catch (error) {
      return `hot restart: ${(error as Error).message}; --socket-path names another place, --disable-hot-restart starts without`
    }
    const { epoch } = restart
    const old = epoch === 0 ? null : await meetOld(socketOfEpoch(prefix, restart.baseId, epoch - 1), flags, logger)
    if (typeof old === 'string') return old
    const tries = restart.dynamicBaseId ? DYNAMIC_TRIES : 1
    for (let i = 0; i < tries; i++) {
      const baseId = restart.dynamicBaseId ? Math.floor(Math.random() * MAX_DYNAMIC_BASE_ID) : restart.baseId
      const path = socketOfEpoch(prefix, baseId, epoch)
      const server = await listen(path, restart.socketMode)
      if (typeof server !== 'string') return new HotRestart(baseId, epoch, old, server, logger.log)
      if (i + 1 === tries) return `hot restart: base id ${baseId}, epoch ${epoch}: ${server} (see --base-id)`
    }
    return null
  }

  /** From now on the next process may come. */
  offer(sidecar: Sidecar, onHandedOver: (shutdownMs: number) => void): void {
    this.serve = socket =>
      sidecar.offer(channelOver<ToNewProcess, ToOldProcess>(socket), shutdownMs => {
        this.close()
        onHandedOver(shutdownMs)
      })
  }

  close(): void {
    this.serve = null
    this.server.close()
  }

  private async onConnection(socket: net.Socket): Promise<void> {
    socket.on('error', () => {})
    // The process before this one drains by itself from here on.
    if (this.serve !== null && channelBusy()) await this.old?.leave()
    if (this.serve === null || channelBusy()) {
      this.log('warn', 'hot restart: another process asked for the sockets while this one starts, ends, or is asked already')
      socket.destroy()
    } else this.serve(socket)
  }
}

async function meetOld(path: string, flags: ProxyFlags, logger: ProxyLogger): Promise<OldProcess | string | null> {
  const { restart } = flags
  const socket = await connect(path)
  if (typeof socket !== 'string') {
    const old = await OldProcess.meet(channelOver<ToOldProcess, ToNewProcess>(socket), restart.epoch)
    return typeof old === 'string' ? `hot restart: ${old}` : old
  }
  const text = `hot restart: there is no process of epoch ${restart.epoch - 1} with base id ${restart.baseId}: ${socket}`
  if (!restart.skipOnNoParent) return `${text}; it has to be started with --restart-epoch or --base-id too`
  logger.log('warn', text)
  return null
}

/** A text says why not. */
function connect(path: string): Promise<net.Socket | string> {
  return new Promise(resolve => {
    const socket = net.connect({ path })
    // Not a byte may be read here: it is the channel's.
    socket.pause()
    socket.once('error', error => resolve(error.message))
    socket.once('connect', () => resolve(socket))
  })
}

function tryListen(path: string): Promise<net.Server | NodeJS.ErrnoException> {
  return new Promise(resolve => {
    const server = net.createServer({ pauseOnConnect: true })
    server.once('error', resolve)
    server.listen({ path }, () => resolve(server))
  })
}

/** A text says why not. */
async function listen(path: string, mode: number): Promise<net.Server | string> {
  let server = await tryListen(path)
  const isFile = !path.startsWith('\0')
  if (!(server instanceof net.Server) && server.code === 'EADDRINUSE' && isFile) {
    const other = await connect(path)
    if (typeof other !== 'string') {
      other.destroy()
      return 'another process has it'
    }
    rmSync(path, { force: true })
    server = await tryListen(path)
  }
  if (!(server instanceof net.Server)) return server.code === 'EADDRINUSE' ? 'another process has it' : server.message
  if (isFile) chmodSync(path, mode)
  return server
}
