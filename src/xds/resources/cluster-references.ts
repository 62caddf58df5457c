// References from decoded resources to things that have to exist: clusters named by an inline route table (Envoy's
// validate_clusters), and static secrets. Called by bootstrap.ts for static resources; the owner of the dynamic ones may ask the same
// of a listener or table it got. Works on the model, so that it needs no protobuf.

import type { Bootstrap } from '../../model/bootstrap.js'
import type { ConfigError } from '../../model/config-error.js'
import type { Listener, NetworkFilter } from '../../model/listener.js'
import type { ForwardAction, MirrorPolicy, RouteTable } from '../../model/route.js'
import type { CommonTlsContext, SdsSecretRef } from '../../model/tls.js'

/** Clusters that the listener's inline tables name and `exists` does not know, where the table asks for the check. */
export function unknownClusters(listener: Listener, exists: (name: string) => boolean): ConfigError[] {
  const errors: ConfigError[] = []
  const visit = (filters: readonly NetworkFilter[], path: string): void => {
    filters.forEach((filter, i) => {
      if (filter.kind !== 'httpConnectionManager' || filter.hcm.routeTable === null) return
      for (const error of unknownTableClusters(filter.hcm.routeTable, exists)) {
        errors.push({ path: `${path}.filters[${i}].typed_config.route_config.${error.path}`, reason: error.reason })
      }
    })
  }
  listener.filterChains.forEach((chain, i) => {
    visit(chain.filters, `filter_chains[${i}]`)
  })
  if (listener.defaultFilterChain !== null) visit(listener.defaultFilterChain.filters, 'default_filter_chain')
  return errors
}

/** The same for one table; nothing when the table does not ask for the check. */
export function unknownTableClusters(table: RouteTable, exists: (name: string) => boolean): ConfigError[] {
  if (!table.validateClusters) return []
  const errors: ConfigError[] = []
  const check = (name: string, path: string): void => {
    if (name !== '' && !exists(name)) errors.push({ path, reason: `route: unknown cluster '${name}'` })
  }
  const mirrors = (policies: readonly MirrorPolicy[], path: string): void => {
    policies.forEach((policy, i) => {
      check(policy.cluster, `${path}request_mirror_policies[${i}].cluster`)
    })
  }
  mirrors(table.mirrors, '')
  table.virtualHosts.forEach((host, i) => {
    mirrors(host.mirrors, `virtual_hosts[${i}].`)
    host.routes.forEach((route, j) => {
      if (route.action.kind !== 'forward') return
      const path = `virtual_hosts[${i}].routes[${j}].route.`
      checkAction(route.action, path, check)
      mirrors(route.action.mirrors, path)
    })
  })
  return errors
}

function checkAction(action: ForwardAction, path: string, check: (name: string, path: string) => void): void {
  if (action.cluster.kind === 'cluster') check(action.cluster.name, `${path}cluster`)
  if (action.cluster.kind === 'weighted') {
    action.cluster.clusters.forEach((cluster, i) => {
      check(cluster.name, `${path}weighted_clusters.clusters[${i}].name`)
    })
  }
}

/** SDS references without an sds_config name a static secret, which must be there. */
export function unknownSecrets(resources: Pick<Bootstrap, 'listeners' | 'clusters'>, exists: (name: string) => boolean): ConfigError[] {
  const errors: ConfigError[] = []
  const check = (ref: SdsSecretRef, path: string): void => {
    if (ref.source.kind === 'static' && !exists(ref.name)) errors.push({ path, reason: `unknown static secret: ${ref.name}` })
  }
  const context = (common: CommonTlsContext | undefined, path: string): void => {
    if (common === undefined) return
    const at = `${path}.transport_socket.typed_config.common_tls_context`
    common.certificateSds.forEach((ref, i) => {
      check(ref, `${at}.tls_certificate_sds_secret_configs[${i}]`)
    })
    if (common.validationSds !== null) check(common.validationSds, `${at}.validation_context_sds_secret_config`)
  }
  resources.listeners.forEach((listener, i) => {
    listener.filterChains.forEach((chain, j) => {
      context(chain.tls?.common, `listeners[${i}].filter_chains[${j}]`)
    })
    context(listener.defaultFilterChain?.tls?.common, `listeners[${i}].default_filter_chain`)
  })
  resources.clusters.forEach((cluster, i) => {
    context(cluster.tls?.common, `clusters[${i}]`)
    cluster.transportSocketMatches.forEach((match, j) => {
      context(match.tls?.common, `clusters[${i}].transport_socket_matches[${j}]`)
    })
  })
  return errors
}
