// ECDS. Says which extension configs are wanted (filters come and go with their listeners) and counts each under
// `extension_config_discovery.`.

import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeExtensionConfig } from '../../xds/resources/decode.js'
import { unreachableExtensionSources } from '../../xds/resources/source-references.js'
import { EXTENSION_CONFIG_TYPE } from '../../xds/type-urls.js'
import type { NamedResource } from '../named-subscriptions.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'
import { countEach } from './subscription-counts.js'

export class ExtensionKind implements ResourceKind {
  readonly typeUrl = EXTENSION_CONFIG_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly bootstrap: Bootstrap
  private readonly after: (ms: number, run: () => void) => void
  private readonly awaited = new Set<string>()

  constructor(server: Server, decode: Decode, bootstrap: Bootstrap, after: (ms: number, run: () => void) => void) {
    this.server = server
    this.decode = decode
    this.bootstrap = bootstrap
    this.after = after
  }

  /** What is wanted now; a first answer that does not come in time is counted. */
  wanted(): readonly NamedResource[] {
    const { extensions } = this.server
    const wanted = extensions.subscriptions()
    const keys = new Set(wanted.map(({ place, name }) => `${place} ${name}`))
    for (const key of this.awaited) if (!keys.has(key)) this.awaited.delete(key)
    for (const { place, name, initialFetchTimeoutMs } of wanted) {
      const key = `${place} ${name}`
      if (this.awaited.has(key)) continue
      this.awaited.add(key)
      if (initialFetchTimeoutMs === 0) continue
      this.after(initialFetchTimeoutMs, () => {
        if (extensions.has(place, name)) return
        for (const stats of extensions.statsOf(name)) stats.init_fetch_timeout.value++
      })
    }
    return wanted
  }

  apply(resource: XdsResource): readonly ConfigError[] {
    const decoded = this.decode(decodeExtensionConfig, resource)
    if (!decoded.ok) return decoded.errors
    const errors = unreachableExtensionSources(decoded.value, this.bootstrap)
    return errors.length > 0 ? errors : this.server.extensions.apply(decoded.value)
  }

  remove(name: string): void {
    this.server.extensions.remove(name)
  }

  refused(name: string): void {
    this.server.extensions.refused(name)
  }

  settled(outcome: UpdateOutcome): void {
    countEach(outcome, name => this.server.extensions.statsOf(name))
  }
}
