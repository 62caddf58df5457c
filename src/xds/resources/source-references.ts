// Config sources of a resource that could never be asked, as Envoy refuses them: `ads` without `ads_config` in the bootstrap, and gRPC
// services that are no static cluster. Called for each dynamic cluster and listener by cli, and for static ones by bootstrap.ts. Works on
// the model, so that it needs no protobuf.

import type { Bootstrap } from '../../model/bootstrap.js'
import type { Cluster } from '../../model/cluster.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { Listener } from '../../model/listener.js'
import type { RouteTable } from '../../model/route.js'
import type { CommonTlsContext, SdsSecretRef } from '../../model/tls.js'

/** What can be asked: the ADS stream, if there is one, and the clusters that xDS servers may be. */
export type Reachable = Pick<Bootstrap, 'ads' | 'clusters'>

export function unreachableClusterSources(cluster: Cluster, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  const { discovery } = cluster
  if (discovery.kind === 'eds') check(discovery.source, 'eds_cluster_config.eds_config', reachable, errors)
  if (cluster.tls !== null) checkSecrets(cluster.tls.common, 'transport_socket', reachable, errors)
  cluster.transportSocketMatches.forEach((match, i) => {
    if (match.tls !== null) checkSecrets(match.tls.common, `transport_socket_matches[${i}].transport_socket`, reachable, errors)
  })
  return errors
}

export function unreachableListenerSources(listener: Listener, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  const chains = listener.filterChains.map((chain, i) => ({ chain, path: `filter_chains[${i}]` }))
  if (listener.defaultFilterChain !== null) chains.push({ chain: listener.defaultFilterChain, path: 'default_filter_chain' })
  for (const { chain, path } of chains) {
    if (chain.tls !== null) checkSecrets(chain.tls.common, `${path}.transport_socket`, reachable, errors)
    chain.filters.forEach((filter, i) => {
      if (filter.kind !== 'httpConnectionManager') return
      const { httpFilters, rdsName, rdsSource = { kind: 'ads' }, scopedRoutes } = filter.hcm
      const at = `${path}.filters[${i}].typed_config`
      httpFilters.forEach((httpFilter, j) => {
        if (httpFilter.kind === 'discovered')
          check(httpFilter.discovery.source, `${at}.http_filters[${j}].config_discovery.config_source`, reachable, errors)
      })
      if (rdsName !== null) check(rdsSource, `${at}.rds.config_source`, reachable, errors)
      if (scopedRoutes === undefined) return
      check(scopedRoutes.rdsSource, `${at}.scoped_routes.rds_config_source`, reachable, errors)
      const { scopes } = scopedRoutes
      if (scopes.kind === 'dynamic') check(scopes.source, `${at}.scoped_routes.scoped_rds.scoped_rds_config_source`, reachable, errors)
    })
  }
  return errors
}

export function unreachableTableSources({ vhds }: RouteTable, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  if (vhds !== undefined) check(vhds, 'vhds.config_source', reachable, errors)
  return errors
}

function checkSecrets(common: CommonTlsContext, path: string, reachable: Reachable, errors: ConfigError[]): void {
  const at = `${path}.typed_config.common_tls_context`
  const secret = ({ source }: SdsSecretRef, field: string): void => {
    if (source.kind !== 'static') check(source, `${at}.${field}.sds_config`, reachable, errors)
  }
  common.certificateSds.forEach((ref, i) => {
    secret(ref, `tls_certificate_sds_secret_configs[${i}]`)
  })
  if (common.validationSds !== null) secret(common.validationSds, 'validation_context_sds_secret_config')
}

function check(source: ConfigSource, path: string, { ads, clusters }: Reachable, errors: ConfigError[]): void {
  if (source.kind === 'ads' && ads === null) errors.push({ path: `${path}.ads`, reason: 'ads_config is required in the bootstrap' })
  const asks = (cluster: string, field: string): void => {
    const found = clusters.find(({ name }) => name === cluster)
    if (cluster === '' || (found !== undefined && found.discovery.kind !== 'eds')) return
    errors.push({
      path: `${path}.api_config_source.${field}`,
      reason: `must have a statically defined non-EDS cluster: '${cluster}' does not exist, was added by CDS, or is an EDS cluster`,
    })
  }
  if (source.kind === 'rest') asks(source.cluster, 'cluster_names')
  if (source.kind !== 'api') return
  source.api.services.forEach(({ cluster }, i) => {
    asks(cluster, `grpc_services[${i}].envoy_grpc.cluster_name`)
  })
}
