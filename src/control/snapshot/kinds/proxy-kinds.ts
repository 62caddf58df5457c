// The kinds of proxies that are served, by the `Kind` of their registration.
import type { ProxyKinds } from '../build-snapshot.js'
import { API_GATEWAY } from './api-gateway.js'
import { INGRESS_GATEWAY } from './ingress-gateway.js'
import { MESH_GATEWAY } from './mesh-gateway.js'
import { SIDECAR } from './sidecar.js'
import { TERMINATING_GATEWAY } from './terminating-gateway.js'

export const PROXY_KINDS: ProxyKinds = {
  'connect-proxy': SIDECAR,
  'terminating-gateway': TERMINATING_GATEWAY,
  'api-gateway': API_GATEWAY,
  'ingress-gateway': INGRESS_GATEWAY,
  'mesh-gateway': MESH_GATEWAY,
}
