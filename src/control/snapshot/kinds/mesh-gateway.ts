// A mesh gateway (`Kind` mesh-gateway): hands connections of the mesh on by their server name, TLS untouched, to whoever has that name: services
// of ours, for our own callers and for peers, services of peers, for our callers, and the control planes of both. Called by build-snapshot.ts; the
// files under `gateways/` gather its view and make its resources.
// Invariant: it has no part in the TLS: who calls and who answers see each other's certificates.
import { meshGatewayClusters, meshGatewayEndpoints, meshGatewayListeners } from '../gateways/mesh-gateway-resources.js'
import { type MeshGatewayView, meshGatewayView } from '../gateways/mesh-gateway-view.js'
import type { ProxyKind } from './proxy-kind.js'

export const MESH_GATEWAY: ProxyKind<MeshGatewayView> = {
  view: meshGatewayView,
  listeners: meshGatewayListeners,
  clusters: meshGatewayClusters,
  routes: () => [],
  endpoints: meshGatewayEndpoints,
  acceptsTunnels: () => false,
}
