// The process that is to serve after this one, seen from the old: it is given the listening sockets, and once it serves this one stops
// accepting, drains, and tells it what it still counts. Made by Sidecar for each that comes.
// Invariant: a new process that ends before it says take-over has changed nothing here.

import { isCarriedOver, StatsExport } from '../../metrics/stats-export.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import { HOT_RESTART_VERSION, type OfferedSocket } from '../../proxy/predecessor.js'
import type { OpenChannel, RestartChannel, RestartOffer, ToNewProcess, ToOldProcess } from './restart-messages.js'

const TELL_INTERVAL_MS = 500

export interface RestartedHost {
  readonly store: StatsStore
  readonly epoch: number
  readonly offer: RestartOffer
  sockets(): OfferedSocket[]
  /** Stop accepting and drain; the process is to end after that time. */
  handOver(shutdownMs: number): void
  counts(): { readonly connections: number; readonly allocatedBytes: number }
  log(message: string): void
}

export class NewProcess {
  private readonly host: RestartedHost
  private readonly channel: RestartChannel<ToNewProcess>
  private exported: StatsExport | null = null
  private timer: NodeJS.Timeout | null = null

  constructor(open: OpenChannel<ToNewProcess, ToOldProcess>, host: RestartedHost) {
    this.host = host
    this.channel = open({ onMessage: message => this.onMessage(message), onClose: () => this.onClose() })
  }

  private onMessage(message: ToOldProcess): void {
    if (message.kind === 'hello') this.answer(message.version, message.epoch)
    else this.handOver(message.shutdownMs)
  }

  private answer(version: string, epoch: number): void {
    const { host, channel } = this
    const reason = refusal(version, epoch, host.epoch)
    if (reason !== null) {
      channel.send({ kind: 'refused', reason })
      return
    }
    host.log(`a process of epoch ${epoch} starts and takes the listening sockets`)
    for (const { address, handle } of host.sockets()) channel.send({ kind: 'socket', address }, handle)
    channel.send({ kind: 'offered', offer: host.offer })
  }

  private handOver(shutdownMs: number): void {
    if (this.exported !== null) return
    this.exported = new StatsExport(this.host.store, { tells: isCarriedOver, since: 'flush' })
    this.host.handOver(shutdownMs)
    this.tell()
    this.timer = setInterval(() => this.tell(), TELL_INTERVAL_MS)
    this.timer.unref()
  }

  private tell(): void {
    this.channel.send({ kind: 'stats', stats: { changes: this.exported!.take(), ...this.host.counts() } })
  }

  private onClose(): void {
    if (this.timer !== null) clearInterval(this.timer)
    if (this.exported === null) this.host.log('the new process ended before it served: this one goes on')
  }
}

function refusal(version: string, epoch: number, ownEpoch: number): string | null {
  if (version !== HOT_RESTART_VERSION) return `the hot restart versions differ: ${HOT_RESTART_VERSION} here, ${version} there`
  if (epoch !== ownEpoch + 1) return `the epoch after ${ownEpoch} is ${ownEpoch + 1}, not ${epoch}`
  return null
}
