// RDS. Updates are counted by the connection managers that use the table (RouteRegistry).

import type { Steps } from '../../io/slices.js'
import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Server } from '../../proxy/server.js'
import type { XdsResource } from '../../xds/client/client.js'
import { decodeRouteConfigurationInSteps } from '../../xds/resources/decode.js'
import { unreachableTableSources } from '../../xds/resources/source-references.js'
import { ROUTE_TYPE } from '../../xds/type-urls.js'
import type { Decode } from './dynamic-decoder.js'
import type { ResourceKind } from './resource-kind.js'

export class RouteKind implements ResourceKind {
  readonly typeUrl = ROUTE_TYPE
  readonly removesFirst = false
  private readonly server: Server
  private readonly decode: Decode
  private readonly bootstrap: Bootstrap

  constructor(server: Server, decode: Decode, bootstrap: Bootstrap) {
    this.server = server
    this.decode = decode
    this.bootstrap = bootstrap
  }

  *apply(resource: XdsResource): Steps<readonly ConfigError[]> {
    const decoded = yield* this.decode.inSteps(decodeRouteConfigurationInSteps, resource)
    if (!decoded.ok) return decoded.errors
    const errors = unreachableTableSources(decoded.value, this.bootstrap)
    return errors.length > 0 ? errors : yield* this.server.config.applyRoute(decoded.value)
  }

  /** A removed table serves on while a listener wants it, as in Envoy: removal takes effect with the listener. */
  remove(): void {}

  refused(name: string): void {
    this.server.routes.refused(name)
  }

  settled(): void {}
}
