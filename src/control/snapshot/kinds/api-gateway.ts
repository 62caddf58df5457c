// An API gateway (`Kind` api-gateway): traffic from outside by http-routes and tcp-routes. Called by build-snapshot.ts; the files under
// `gateways/` gather its view and make its resources.
import { apiGatewayView } from '../gateways/api-gateway-view.js'
import { edgeClusters, edgeEndpoints, edgeListeners, edgeRoutes, edgeSecrets } from '../gateways/edge-resources.js'
import type { EdgeView } from '../gateways/edge-view.js'
import type { ProxyKind } from './proxy-kind.js'

export const API_GATEWAY: ProxyKind<EdgeView> = {
  view: apiGatewayView,
  listeners: edgeListeners,
  clusters: edgeClusters,
  routes: edgeRoutes,
  endpoints: edgeEndpoints,
  secrets: edgeSecrets,
  acceptsTunnels: () => false,
}
