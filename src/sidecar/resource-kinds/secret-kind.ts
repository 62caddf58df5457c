// SDS. Says which secrets are wanted (TLS contexts come and go) and counts each under `sds.<name>.`.

import type { AdsStats, SubscriptionStats } from '../../metrics/subscription-stats.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { SdsSecretRef } from '../../model/tls.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeSecret } from '../../xds/resources/decode.js'
import { SECRET_TYPE } from '../../xds/type-urls.js'
import { isSameSource, type NamedSubscriptions } from '../named-subscriptions.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countEach } from './subscription-counts.js'

export class SecretKind implements ResourceKind {
  readonly typeUrl = SECRET_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly named: NamedSubscriptions
  private readonly ads: AdsStats
  private readonly takesBack: (source: ConfigSource) => boolean
  /** By the name of a wanted secret. */
  private readonly stats = new Map<string, SubscriptionStats>()

  /** `takesBack`: what such a source removes is used no longer. */
  constructor(server: Server, decode: Decode, named: NamedSubscriptions, ads: AdsStats, takesBack: (source: ConfigSource) => boolean) {
    this.takesBack = takesBack
    this.server = server
    this.decode = decode
    this.named = named
    this.ads = ads
  }

  /** Subscribe to what is wanted, now and later. */
  start(): void {
    this.server.onSecretWanted = ref => this.want(ref)
    this.server.onSecretUnwanted = ref => this.drop(ref)
    for (const ref of this.server.secrets.wanted()) this.want(ref)
  }

  private want({ name, source }: SdsSecretRef): void {
    if (source.kind === 'static') return
    if (!this.stats.has(name)) this.stats.set(name, this.ads.sds(name))
    this.named.add(SECRET_TYPE, { name, source })
  }

  private drop({ name, source }: SdsSecretRef): void {
    if (source.kind === 'static') return
    this.named.remove(SECRET_TYPE, { name, source })
    if (this.server.secrets.wanted().some(ref => ref.name === name)) return
    this.stats.get(name)?.release()
    this.stats.delete(name)
  }

  apply(resource: XdsResource, source: ConfigSource): readonly ConfigError[] {
    const decoded = this.decode(decodeSecret, resource)
    if (!decoded.ok) return decoded.errors
    return (
      this.wanted(resource.name, source)
        .map(ref => this.server.config.applySecret(ref, decoded.value))
        .find(errors => errors.length > 0) ?? []
    )
  }

  /** A secret that an SDS server removes stays in use, as in Envoy: its TLS contexts have no other. */
  remove(name: string, source: ConfigSource): void {
    if (this.takesBack(source)) for (const ref of this.wanted(name, source)) this.server.secrets.withdraw(ref)
  }

  /** The same name from another source is another secret. */
  private wanted(name: string, source: ConfigSource): SdsSecretRef[] {
    return this.server.secrets.wanted().filter(ref => ref.name === name && isSameSource(ref.source, source))
  }

  refused(): void {}

  settled(outcome: UpdateOutcome): void {
    countEach(outcome, name => {
      const stats = this.stats.get(name)
      return stats === undefined ? [] : [stats]
    })
  }
}
