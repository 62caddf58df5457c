// The process that served before this one, seen from the new: gives its listening sockets, and once this one serves it drains and tells
// what it still counts. Met by the command line before the sidecar starts; Server asks it for sockets (proxy/predecessor.ts).
// Invariant: until takeOver() the old process serves as if nothing were; if this one ends before, nothing has changed.

import { StatsImport, type WorkerStats } from '../../metrics/stats-import.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import { type Address, formatAddress } from '../../model/address.js'
import { HOT_RESTART_VERSION, type ListeningHandle, type Predecessor } from '../../proxy/predecessor.js'
import type { OldProcessStats, OpenChannel, RestartChannel, RestartOffer, ToNewProcess, ToOldProcess } from './restart-messages.js'

/** An old process that has not offered all its sockets by then hangs. */
const MAX_OFFER_MS = 10_000

export class OldProcess implements Predecessor {
  connections = 0
  allocatedBytes = 0
  private readonly channel: RestartChannel<ToOldProcess>
  private readonly sockets = new Map<string, ListeningHandle>()
  private offer: RestartOffer = { firstStartedAt: 0, generation: 0 }
  private imported: WorkerStats | null = null
  private onOffered: ((problem: string) => void) | null = null
  private onGone: (() => void) | null = null
  private gone = false

  private constructor(open: OpenChannel<ToOldProcess, ToNewProcess>) {
    this.channel = open({
      onMessage: (message, handle) => this.onMessage(message, handle),
      onClose: () => this.onClose(),
    })
  }

  /** Resolves with all sockets here; a text says why not. */
  static async meet(open: OpenChannel<ToOldProcess, ToNewProcess>, epoch: number): Promise<OldProcess | string> {
    const old = new OldProcess(open)
    const problem = await new Promise<string>(resolve => {
      const timer = setTimeout(() => resolve(`the old process did not offer its sockets within ${MAX_OFFER_MS} ms`), MAX_OFFER_MS)
      old.onOffered = answer => {
        clearTimeout(timer)
        resolve(answer)
      }
      old.channel.send({ kind: 'hello', version: HOT_RESTART_VERSION, epoch })
    })
    old.onOffered = null
    if (problem === '') return old
    old.channel.close()
    return problem
  }

  get firstStartedAt(): number {
    return this.offer.firstStartedAt
  }

  get generation(): number {
    return this.offer.generation
  }

  has(address: Address): boolean {
    return this.sockets.has(formatAddress(address))
  }

  take(address: Address): ListeningHandle | null {
    const key = formatAddress(address)
    const handle = this.sockets.get(key) ?? null
    this.sockets.delete(key)
    return handle
  }

  /** This process serves. Sockets that nobody took are closed: their listeners are no more. */
  takeOver(store: StatsStore, { shutdownMs, withStats }: { readonly shutdownMs: number; readonly withStats: boolean }): void {
    if (this.gone) return
    if (withStats) this.imported = new StatsImport(store).worker()
    this.channel.send({ kind: 'take-over', shutdownMs })
    for (const handle of this.sockets.values()) handle.close()
    this.sockets.clear()
  }

  /** It goes on draining by itself, and is not heard of any more. Resolves when the channel is free for another. */
  async leave(): Promise<void> {
    if (this.gone) return
    await new Promise<void>(resolve => {
      this.onGone = resolve
      this.channel.close()
    })
  }

  private onMessage(message: ToNewProcess, handle: unknown): void {
    switch (message.kind) {
      case 'socket':
        if (isListening(handle)) this.sockets.set(message.address, handle)
        return
      case 'offered':
        this.offer = message.offer
        this.onOffered?.('')
        return
      case 'refused':
        this.onOffered?.(message.reason)
        return
      case 'stats':
        this.takeStats(message.stats)
    }
  }

  private takeStats({ changes, connections, allocatedBytes }: OldProcessStats): void {
    if (this.imported === null) return
    this.imported.apply(changes)
    this.connections = connections
    this.allocatedBytes = allocatedBytes
  }

  private onClose(): void {
    this.gone = true
    this.connections = 0
    this.allocatedBytes = 0
    this.imported?.release()
    this.imported = null
    this.onOffered?.('the old process closed the channel: it ends, or another process takes over already')
    this.onGone?.()
  }
}

function isListening(handle: unknown): handle is ListeningHandle {
  return typeof handle === 'object' && handle !== null && 'close' in handle
}
