// An ingress gateway (`Kind` ingress-gateway): traffic from outside to services named by its entry. Called by build-snapshot.ts; the files
// under `gateways/` gather its view and make its resources.
import { edgeClusters, edgeEndpoints, edgeListeners, edgeRoutes } from '../gateways/edge-resources.js'
import type { EdgeView } from '../gateways/edge-view.js'
import { ingressView } from '../gateways/ingress-view.js'
import type { ProxyKind } from './proxy-kind.js'

export const INGRESS_GATEWAY: ProxyKind<EdgeView> = {
  view: ingressView,
  listeners: edgeListeners,
  clusters: edgeClusters,
  routes: edgeRoutes,
  endpoints: edgeEndpoints,
  acceptsTunnels: () => false,
}
