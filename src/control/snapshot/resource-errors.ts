// Would a sidecar take this resource? Asks the very decoders that it uses (xds/resources). Called before a write is acknowledged
// (check-write.ts) and before a snapshot is sent, where what is bad holds back itself alone.
// Verdicts are kept by the resource's version, which is the hash of its bytes: a resource that did not change costs a look-up.
import type { ConfigError } from '../../model/config-error.js'
import { decodeCluster, decodeEndpointAssignment, decodeListener, decodeRouteConfiguration } from '../../xds/resources/decode.js'
import type { Resource } from '../../xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../xds/type-urls.js'

const DECODERS: Readonly<Record<string, (bytes: Uint8Array) => { readonly ok: boolean; readonly errors?: readonly ConfigError[] }>> = {
  [LISTENER_TYPE]: decodeListener,
  [CLUSTER_TYPE]: decodeCluster,
  [ROUTE_TYPE]: decodeRouteConfiguration,
  [ENDPOINT_TYPE]: decodeEndpointAssignment,
}

/** Verdicts kept: more than the resources of a large mesh that are made anew for each proxy. */
const MAX_VERDICTS = 50_000
const NONE: readonly ConfigError[] = []

export class ResourceErrors {
  private readonly verdicts = new Map<string, readonly ConfigError[]>()

  of(resource: Resource): readonly ConfigError[] {
    const known = this.verdicts.get(resource.version)
    if (known !== undefined) return known
    const result = DECODERS[resource.any.typeUrl]?.(resource.any.value)
    const errors = result === undefined || result.ok ? NONE : (result.errors ?? NONE)
    if (this.verdicts.size >= MAX_VERDICTS) this.verdicts.clear()
    this.verdicts.set(resource.version, errors)
    return errors
  }
}
