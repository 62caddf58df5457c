// A terminating gateway (`Kind` terminating-gateway): the mesh's way to services outside of it. Called by build-snapshot.ts; the files under
// `gateways/` gather its view and make its resources.
import { terminatingClusters, terminatingEndpoints, terminatingListeners, terminatingRoutes } from '../gateways/terminating-resources.js'
import { type TerminatingView, terminatingView } from '../gateways/terminating-view.js'
import type { ProxyKind } from './proxy-kind.js'

export const TERMINATING_GATEWAY: ProxyKind<TerminatingView> = {
  view: terminatingView,
  listeners: terminatingListeners,
  clusters: terminatingClusters,
  routes: terminatingRoutes,
  endpoints: terminatingEndpoints,
  acceptsTunnels: () => false,
}
