// VHDS. RouteRegistry puts each virtual host into the table that its name begins with, once an update is settled, and lets those go on who
// asked for it by one of its names.

import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeVirtualHost } from '../../xds/resources/decode.js'
import { unreachableHostSources } from '../../xds/resources/source-references.js'
import { VIRTUAL_HOST_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'

export class VirtualHostKind implements ResourceKind {
  readonly typeUrl = VIRTUAL_HOST_TYPE
  readonly removesFirst = true
  private readonly server: Server
  private readonly decode: Decode
  private readonly bootstrap: Bootstrap

  constructor(server: Server, decode: Decode, bootstrap: Bootstrap) {
    this.server = server
    this.decode = decode
    this.bootstrap = bootstrap
  }

  apply(resource: XdsResource, source: ConfigSource): readonly ConfigError[] {
    const decoded = this.decode(decodeVirtualHost, resource)
    if (!decoded.ok) return decoded.errors
    const errors = unreachableHostSources(decoded.value, this.bootstrap)
    return errors.length > 0 ? errors : this.server.routes.putVirtualHost(source, resource.name, decoded.value)
  }

  remove(name: string, source: ConfigSource): void {
    this.server.routes.removeVirtualHost(source, name)
  }

  refused(): void {}

  settled({ source, update, refused }: UpdateOutcome): void {
    const { resources, removed, absent = [] } = update
    const found = new Map<string, string>()
    for (const { name, aliases = [] } of resources) {
      if (refused.has(name)) continue
      for (const asked of [name, ...aliases]) found.set(asked, name)
    }
    this.server.routes.settleVirtualHosts(source, { found, missing: [...removed, ...absent] })
  }
}
