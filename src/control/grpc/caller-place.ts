// Which node and proxy a caller says that it is, and where that is. Used by the services of this folder whose answers depend on it.
// Invariant: nothing is permitted for it: who may ask is CallerAccess's to say.
import type { CatalogIndex } from '../catalog/catalog-index.js'
import type { CatalogNode } from '../catalog/catalog-types.js'
import { localityOf } from '../catalog/instance-locality.js'
import type { Locality } from '../catalog/locality.js'
import type { GrpcCall } from './grpc-call.js'

/** Ours: what a dataplane of this product says of itself to whom it asks for servers. Consul's servers pass over it. */
const PROXY_ID_KEY = 'outrigger-proxy-id'
const NODE_NAME_KEY = 'outrigger-node-name'
const NODE_ID_KEY = 'outrigger-node-id'

/** The node that the caller says it is on; the server's own where it says nothing. */
export function namedNode(catalog: CatalogIndex, name: string, id: string): CatalogNode | undefined {
  if (name !== '') return catalog.node(name)
  return id === '' ? catalog.ownNode : catalog.nodeWithId(id)
}

/** Undefined: it says nothing of itself, or nobody says where it is. */
export function placeOfCaller(catalog: CatalogIndex, call: GrpcCall): Locality | undefined {
  const proxyId = said(call, PROXY_ID_KEY)
  if (proxyId === '') return undefined
  const node = namedNode(catalog, said(call, NODE_NAME_KEY), said(call, NODE_ID_KEY))
  const proxy = node && catalog.instanceOn(catalog.nodeKey(node.Node), proxyId)
  return proxy && localityOf(catalog, proxy)
}

/** Percent-encoded, as metadata has ASCII alone; '' = nothing, or nothing that can be read. */
function said(call: GrpcCall, key: string): string {
  try {
    return decodeURIComponent(call.metadata(key) ?? '')
  } catch {
    return ''
  }
}
