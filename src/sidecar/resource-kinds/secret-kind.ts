// SDS. Says which secrets are wanted (TLS contexts come and go), of which nothing is to be expected any more (what waits for them starts
// without), and counts each under `sds.<name>.`.

import type { AdsStats, SubscriptionStats } from '../../metrics/subscription-stats.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { SdsSecretRef } from '../../model/tls.js'
import { secretKey } from '../../mtls/secrets/secret-registry.js'
import type { Server, ServerLog } from '../../proxy/server.js'
import type { XdsResource, XdsUpdate } from '../../xds/client/client.js'
import { decodeSecret } from '../../xds/resources/decode.js'
import { SECRET_TYPE } from '../../xds/type-urls.js'
import { isSameSource, type NamedSubscriptions } from '../named-subscriptions.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countEach } from './subscription-counts.js'

export interface SecretKindOptions {
  readonly server: Server
  readonly decode: Decode
  readonly named: NamedSubscriptions
  readonly ads: AdsStats
  /** What such a source removes is used no longer. */
  readonly takesBack: (source: ConfigSource) => boolean
  /** Once, unless it is stopped before. */
  readonly after: (ms: number, run: () => void) => () => void
  readonly log: ServerLog
}

export class SecretKind implements ResourceKind {
  readonly typeUrl = SECRET_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly named: NamedSubscriptions
  private readonly ads: AdsStats
  private readonly takesBack: (source: ConfigSource) => boolean
  private readonly after: SecretKindOptions['after']
  private readonly log: ServerLog
  /** By the name of a wanted secret. */
  private readonly stats = new Map<string, SubscriptionStats>()
  /** Those of the initial_fetch_timeouts that run, by secret. */
  private readonly timers = new Map<string, (() => void)[]>()

  constructor({ server, decode, named, ads, takesBack, after, log }: SecretKindOptions) {
    this.takesBack = takesBack
    this.server = server
    this.decode = decode
    this.named = named
    this.ads = ads
    this.after = after
    this.log = log
  }

  /** Subscribe to what is wanted, now and later. */
  start(): void {
    this.server.onSecretWanted = ref => this.want(ref)
    this.server.onSecretUnwanted = ref => this.drop(ref)
    for (const ref of this.server.secrets.wanted()) this.want(ref)
  }

  private want(ref: SdsSecretRef): void {
    const { name, source } = ref
    if (source.kind === 'static') return
    if (!this.stats.has(name)) this.stats.set(name, this.ads.sds(name))
    this.named.add(SECRET_TYPE, { name, source })
    this.limit(ref)
  }

  private limit(ref: SdsSecretRef): void {
    const { name, initialFetchTimeoutMs: ms } = ref
    const { secrets } = this.server
    if (ms === 0 || secrets.isSettled(ref)) return
    const stop = this.after(ms, () => {
      if (secrets.isSettled(ref)) return
      const stats = this.stats.get(name)
      if (stats !== undefined) stats.init_fetch_timeout.value++
      this.log('warn', `no secret ${name} within ${ms} ms: what waits for it starts without`, undefined, 'config')
      secrets.expire(ref)
    })
    const key = secretKey(ref)
    this.timers.set(key, [...(this.timers.get(key) ?? []), stop])
  }

  private drop(ref: SdsSecretRef): void {
    const { name, source } = ref
    if (source.kind === 'static') return
    for (const stop of this.timers.get(secretKey(ref)) ?? []) stop()
    this.timers.delete(secretKey(ref))
    this.named.remove(SECRET_TYPE, { name, source })
    if (this.server.secrets.wanted().some(ref => ref.name === name)) return
    this.stats.get(name)?.release()
    this.stats.delete(name)
  }

  apply(resource: XdsResource, source: ConfigSource): readonly ConfigError[] {
    const decoded = this.decode(decodeSecret, resource)
    if (!decoded.ok) return decoded.errors
    const ref = this.wanted(resource.name, source)
    return ref === undefined ? [] : this.server.config.applySecret(ref, decoded.value)
  }

  /** A secret that an SDS server removes stays in use, as in Envoy: its TLS contexts have no other. */
  remove(name: string, source: ConfigSource): void {
    if (!this.takesBack(source)) return
    const ref = this.wanted(name, source)
    if (ref !== undefined) this.server.secrets.withdraw(ref)
  }

  /** The same name from another source is another secret. */
  private wanted(name: string, source: ConfigSource): SdsSecretRef | undefined {
    return this.server.secrets.wanted().find(ref => ref.name === name && isSameSource(ref.source, source))
  }

  /** A file has been read: names that it lacks do not come, and count as Envoy counts them. */
  lackedBy(source: ConfigSource, { resources }: XdsUpdate): string[] {
    const there = new Set(resources.map(({ name }) => name))
    const lacked = this.namesFrom(source).filter(name => !there.has(name))
    for (const name of lacked) count(this.stats.get(name), 'update_rejected')
    return lacked
  }

  /** A file cannot be read. */
  unreadIn(source: ConfigSource): string[] {
    const names = this.namesFrom(source)
    for (const name of names) count(this.stats.get(name), 'update_failure')
    return names
  }

  private namesFrom(source: ConfigSource): string[] {
    const refs = this.server.secrets.wanted().filter(ref => isSameSource(ref.source, source))
    return [...new Set(refs.map(({ name }) => name))]
  }

  refused(): void {}

  settled(outcome: UpdateOutcome): void {
    const { update, source, refused } = outcome
    for (const name of [...refused, ...update.removed, ...(update.absent ?? [])]) {
      const ref = this.wanted(name, source)
      if (ref !== undefined) this.server.secrets.giveUp(ref)
    }
    // As Envoy: the answer that there is none is one.
    for (const name of update.removed) count(this.stats.get(name), 'update_success')
    countEach(outcome, name => {
      const stats = this.stats.get(name)
      return stats === undefined ? [] : [stats]
    })
  }
}

function count(stats: SubscriptionStats | undefined, outcome: 'update_success' | 'update_rejected' | 'update_failure'): void {
  if (stats === undefined) return
  stats.update_attempt.value++
  stats[outcome].value++
}
