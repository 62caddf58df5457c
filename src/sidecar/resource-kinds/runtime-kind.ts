// RTDS: the layers of the runtime that come over xDS. Envoy asks for them before all else, so the start waits until each came or its
// initial_fetch_timeout is over.

import type { StatsStore } from '../../metrics/stats-store.js'
import { type SubscriptionStats, subscriptionStats } from '../../metrics/subscription-stats.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeRuntime } from '../../xds/resources/decode.js'
import { RUNTIME_TYPE } from '../../xds/type-urls.js'
import type { NamedSubscriptions } from '../named-subscriptions.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countUpdate } from './subscription-counts.js'

export class RuntimeKind implements ResourceKind {
  readonly typeUrl = RUNTIME_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly named: NamedSubscriptions
  private readonly store: StatsStore
  private readonly after: (ms: number, run: () => void) => void
  /** From the first RTDS layer on. */
  private stats: SubscriptionStats | null = null
  /** Resources that have neither come nor timed out. */
  private readonly missing = new Set<string>()
  private onComplete = (): void => {}

  constructor(server: Server, decode: Decode, named: NamedSubscriptions, store: StatsStore, after: (ms: number, run: () => void) => void) {
    this.server = server
    this.decode = decode
    this.named = named
    this.store = store
    this.after = after
  }

  /** `runtime.`'s own; null without an RTDS layer. */
  get subscription(): SubscriptionStats | null {
    return this.stats
  }

  /** Asks for every RTDS layer. `done` once, when each came or its time is over; at once when there is none. */
  start(done: () => void): void {
    for (const { rtds } of this.server.runtime.layers) {
      if (rtds === null) continue
      this.missing.add(rtds.name)
      const stats = (this.stats ??= subscriptionStats(this.store, 'runtime'))
      if (rtds.initialFetchTimeoutMs > 0) {
        this.after(rtds.initialFetchTimeoutMs, () => {
          if (this.missing.has(rtds.name)) stats.init_fetch_timeout.value++
          this.seen(rtds.name)
        })
      }
      this.named.add(RUNTIME_TYPE, rtds)
    }
    if (this.missing.size === 0) done()
    else this.onComplete = done
  }

  apply(resource: XdsResource): readonly ConfigError[] {
    const { name } = resource
    const decoded = this.decode(decodeRuntime, resource)
    if (decoded.ok) this.server.runtime.set(name, decoded.value)
    this.seen(name)
    return decoded.ok ? [] : decoded.errors
  }

  remove(name: string): void {
    this.server.runtime.set(name, new Map())
    this.seen(name)
  }

  refused(): void {}

  settled(outcome: UpdateOutcome): void {
    if (this.stats !== null) countUpdate(this.stats, outcome)
  }

  private seen(name: string): void {
    if (!this.missing.delete(name) || this.missing.size > 0) return
    // After the ACK of the update that did it.
    queueMicrotask(() => this.onComplete())
  }
}
