// RDS. Updates are counted by the connection managers that use the table (RouteRegistry).

import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeRouteConfiguration } from '../../xds/resources/decode.js'
import { ROUTE_TYPE } from '../../xds/type-urls.js'
import type { ResourceKind } from './resource-kind.js'

export class RouteKind implements ResourceKind {
  readonly typeUrl = ROUTE_TYPE
  readonly removesFirst = false
  private readonly server: Server

  constructor(server: Server) {
    this.server = server
  }

  apply({ any }: XdsResource): readonly ConfigError[] {
    const decoded = decodeRouteConfiguration(any.value)
    return decoded.ok ? this.server.config.applyRoute(decoded.value) : decoded.errors
  }

  /** A removed table serves on while a listener wants it, as in Envoy: removal takes effect with the listener. */
  remove(): void {}

  refused(name: string): void {
    this.server.routes.refused(name)
  }

  settled(): void {}
}
