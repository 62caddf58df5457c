// LDS. A listener that cannot be bound is refused like one that cannot be decoded, so its verdict may come a moment later.

import type { AdsStats } from '../../metrics/subscription-stats.js'
import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeListener } from '../../xds/resources/decode.js'
import { unreachableListenerSources } from '../../xds/resources/source-references.js'
import { LISTENER_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countUpdate } from './subscription-counts.js'

export class ListenerKind implements ResourceKind {
  readonly typeUrl = LISTENER_TYPE
  readonly removesFirst = true
  private readonly server: Server
  private readonly decode: Decode
  private readonly bootstrap: Bootstrap
  private readonly stats: AdsStats

  constructor(server: Server, decode: Decode, bootstrap: Bootstrap, stats: AdsStats) {
    this.server = server
    this.decode = decode
    this.bootstrap = bootstrap
    this.stats = stats
  }

  apply(resource: XdsResource): readonly ConfigError[] | Promise<readonly ConfigError[]> {
    const decoded = this.decode(decodeListener, resource)
    if (!decoded.ok) return decoded.errors
    const errors = unreachableListenerSources(decoded.value, this.bootstrap)
    return errors.length > 0 ? errors : this.server.config.applyListener(decoded.value)
  }

  remove(name: string): void {
    this.server.config.removeListener(name)
  }

  isStatic(name: string): boolean {
    return this.bootstrap.listeners.some(listener => listener.name === name)
  }

  refused(): void {}

  settled(outcome: UpdateOutcome): void {
    countUpdate(this.stats.lds, outcome)
    this.server.sourceSeen('lds')
  }
}
