// VHDS. All virtual hosts of a source; RouteRegistry puts each into the table that its name begins with, once an update is settled.

import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeVirtualHost } from '../../xds/resources/decode.js'
import { VIRTUAL_HOST_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'

export class VirtualHostKind implements ResourceKind {
  readonly typeUrl = VIRTUAL_HOST_TYPE
  readonly removesFirst = true
  private readonly server: Server
  private readonly decode: Decode

  constructor(server: Server, decode: Decode) {
    this.server = server
    this.decode = decode
  }

  apply(resource: XdsResource, source: ConfigSource): readonly ConfigError[] {
    const decoded = this.decode(decodeVirtualHost, resource)
    return decoded.ok ? this.server.routes.putVirtualHost(source, resource.name, decoded.value) : decoded.errors
  }

  remove(name: string, source: ConfigSource): void {
    this.server.routes.removeVirtualHost(source, name)
  }

  refused(): void {}

  settled({ source }: UpdateOutcome): void {
    this.server.routes.settleVirtualHosts(source)
  }
}
