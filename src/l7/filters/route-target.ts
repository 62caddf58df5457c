// What filters ask of the matched route: the cluster it goes to and its rate limit actions. The split among weighted clusters
// falls with the match, before the filters.

import type { RequestHead } from '../codec/codec.js'
import type { FilterCall } from './http-filter.js'

/** Cluster of the route; '' when there is none. */
export function targetCluster(call: FilterCall, head: RequestHead): string {
  const action = call.route?.model.action
  if (action?.kind !== 'forward') return ''
  const { cluster } = action
  if (cluster.kind === 'cluster') return cluster.name
  return cluster.kind === 'clusterHeader' ? (head.headers.get(cluster.header) ?? '') : call.info.upstreamCluster
}
