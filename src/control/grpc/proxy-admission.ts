// Whether a proxy may open a stream (xDS, load reports), and which instance of the catalog it is: by its token, by the node that it names,
// and by the version that it has.
// Made by the control plane. Invariant: who is served here receives the private key of its service.
import { status } from '@grpc/grpc-js'
import type { Node } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import type { Acceptance, AdsServerOptions } from '../../xds/server/server.js'
import { lacks } from '../acl/access.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { Catalog } from '../catalog/catalog.js'
import { type CatalogInstance, keyOn, meshServiceOf, OWN_NODE } from '../catalog/catalog-types.js'
import { tooOldEnvoy } from './envoy-version.js'

const MAX_NODE_ID_CHARS = 256

/** The node of the catalog that a proxy says it is on, as the catalog's keys are; undefined: it says nothing, which is this server's own. */
export function catalogNodeOf(node: Node): string | undefined {
  const name = node.metadata?.['node_name']
  return typeof name === 'string' ? name.toLowerCase() : undefined
}

export function proxyAdmission(parts: {
  readonly authorizer: Authorizer
  readonly catalog: Catalog
  readonly acl: AclSystem | undefined
}): AdsServerOptions['accept'] {
  const { authorizer, catalog, acl } = parts
  return (node, metadata) => {
    const token = metadata('x-consul-token')
    const verdict = authorizer.verdict('xds', token)
    if (verdict === 'token-missing') return { code: status.UNAUTHENTICATED, message: 'a token is required (x-consul-token)' }
    if (verdict === 'token-unknown') return { code: status.PERMISSION_DENIED, message: 'Permission denied' }
    if (node.id === '' || node.id.length > MAX_NODE_ID_CHARS)
      return { code: status.INVALID_ARGUMENT, message: `node.id must be a proxy ID of 1 to ${MAX_NODE_ID_CHARS} characters` }
    const tooOld = tooOldEnvoy(node)
    if (tooOld !== undefined) return { code: status.INVALID_ARGUMENT, message: tooOld }
    const name = catalogNodeOf(node)
    const on = name !== undefined && catalog.node(name) !== undefined ? catalog.nodeKey(name) : OWN_NODE
    if (acl !== undefined) {
      const refused = refusedProxy(acl, token, catalog.instanceOn(on, node.id))
      if (refused !== undefined) return refused
    }
    // A proxy that is not registered (yet) is kept waiting, as Consul's agent does: it may start before its registration.
    return { ok: true, nodeKey: keyOn(on, node.id) }
  }
}

/** A proxy gets the private key of its service: its token must be able to write that service (Consul's rule for xDS). */
function refusedProxy(acl: AclSystem, token: string | undefined, proxy: CatalogInstance | undefined): Acceptance | undefined {
  const resolved = acl.resolve(token)
  if (resolved === undefined) return { code: status.UNAUTHENTICATED, message: 'unauthenticated: ACL not found' }
  // With ACLs nobody waits here without a right: Envoy and our sidecar come again until the proxy is registered.
  if (proxy?.Proxy === undefined) return { code: status.PERMISSION_DENIED, message: 'Permission denied: the proxy is not registered' }
  const service = meshServiceOf(proxy)
  if (resolved.rules.allows('service', service, 'write')) return undefined
  return { code: status.PERMISSION_DENIED, message: lacks(resolved.accessorId, 'service:write', service).message }
}
