// References from decoded resources to clusters that have to exist: those named by an inline route table (Envoy's validate_clusters). Called
// by bootstrap.ts for static resources; the owner of the dynamic ones may ask the same of a listener or table it got. Works on the model, so
// that it needs no protobuf.

import type { ConfigError } from '../../model/config-error.js'
import type { Listener, NetworkFilter } from '../../model/listener.js'
import type { ForwardAction, MirrorPolicy, RouteTable } from '../../model/route.js'

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
