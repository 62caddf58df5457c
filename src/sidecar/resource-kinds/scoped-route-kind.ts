// SRDS. All scopes of a source; ScopeRegistry gives them to the connection managers once an update is settled.

import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeScopedRoute } from '../../xds/resources/decode.js'
import { SCOPED_ROUTE_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind, UpdateOutcome } from './resource-kind.js'

export class ScopedRouteKind implements ResourceKind {
  readonly typeUrl = SCOPED_ROUTE_TYPE
  readonly removesFirst = true
  private readonly server: Server
  private readonly decode: Decode

  constructor(server: Server, decode: Decode) {
    this.server = server
    this.decode = decode
  }

  apply(resource: XdsResource, source: ConfigSource): readonly ConfigError[] {
    const decoded = this.decode(decodeScopedRoute, resource)
    return decoded.ok ? this.server.scopes.put(source, decoded.value) : decoded.errors
  }

  remove(name: string, source: ConfigSource): void {
    this.server.scopes.removeScope(source, name)
  }

  refused(): void {}

  settled({ source }: UpdateOutcome): void {
    this.server.scopes.settle(source)
  }
}
