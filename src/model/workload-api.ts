// How the two halves of the mesh speak of a SPIFFE Workload API: by a static cluster of the proxy's bootstrap, whose mark Envoy ignores. Read
// by the sidecar, which asks the cluster for secrets in the Workload API's own way, and named by the control plane's resources.

/** The cluster that --spiffe-endpoint-socket adds, and that our control plane's resources name. */
export const WORKLOAD_API_CLUSTER = 'spiffe_workload_api'
/** In the cluster's `filter_metadata["outrigger"]`: true. */
export const WORKLOAD_API_KEY = 'workload_api'
/** The secret that holds the bundles of all trust domains, each for its own, here and at SPIRE's SDS. */
export const ALL_BUNDLES = 'ALL'
