// What the router does to a request head before it leaves: the route's header mutations, then its path and host rewrite, in Envoy's
// order. Once a request, not per try; again where a retry chooses another leg of a split (router.ts).

import type { RequestHead } from '../codec/codec.js'
import type { ClusterChoice, CompiledForward, CompiledRoute } from '../route/compiled-route.js'
import type { StreamInfo } from '../stream/stream-info.js'

export function prepareUpstreamHead(
  request: RequestHead,
  info: StreamInfo,
  route: CompiledRoute,
  forward: CompiledForward,
  choice: ClusterChoice,
  suppressEnvoyHeaders: boolean,
): void {
  route.applyRequestMutations(request, info, choice.weighted)
  forward.rewrite(request, info, suppressEnvoyHeaders)
}
