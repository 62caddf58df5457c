// Config sources of a resource that could never be asked, as Envoy refuses them: `ads` without `ads_config` in the bootstrap, gRPC services
// that are no static cluster, and static secrets that there are not. Called for each dynamic cluster and listener by cli, and for static ones by bootstrap.ts. Works on
// the model, so that it needs no protobuf.

import type { Bootstrap } from '../../model/bootstrap.js'
import type { Cluster } from '../../model/cluster.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { ExtensionConfig } from '../../model/extension-config.js'
import type { HttpFilter, HttpFilterConfig, HttpFilterOverride, OnDemandConfig } from '../../model/http-filter.js'
import type { Listener, NetworkFilter } from '../../model/listener.js'
import type { OAuth2Config } from '../../model/oauth2.js'
import type { RouteTable, VirtualHost } from '../../model/route.js'
import type { CommonTlsContext, SdsSecretRef } from '../../model/tls.js'

/** What can be asked: the ADS stream, if there is one, the clusters that xDS servers may be, and the secrets of the bootstrap. */
export type Reachable = Pick<Bootstrap, 'ads' | 'clusters' | 'secrets'>

export function unreachableClusterSources(cluster: Cluster, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  const { discovery } = cluster
  if (discovery.kind === 'eds') check(discovery.source, 'eds_cluster_config.eds_config', reachable, errors)
  if (cluster.tls !== null) checkSecrets(cluster.tls, 'transport_socket', reachable, errors)
  cluster.transportSocketMatches.forEach((match, i) => {
    if (match.tls !== null) checkSecrets(match.tls, `transport_socket_matches[${i}].transport_socket`, reachable, errors)
  })
  return errors
}

export function unreachableListenerSources(listener: Listener, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  const chains = listener.filterChains.map((chain, i) => ({ chain, path: `filter_chains[${i}]` }))
  if (listener.defaultFilterChain !== null) chains.push({ chain: listener.defaultFilterChain, path: 'default_filter_chain' })
  for (const { name, discovery } of listener.discoveredFilters ?? [])
    check(discovery.source, `listener_filters.${name}.config_discovery.config_source`, reachable, errors)
  for (const { chain, path } of chains) {
    if (chain.tls !== null) checkSecrets(chain.tls, `${path}.transport_socket`, reachable, errors)
    chain.filters.forEach((filter, i) => {
      checkNetworkFilter(filter, `${path}.filters[${i}]`, reachable, errors)
    })
  }
  return errors
}

/** Of a filter that comes over ECDS. */
export function unreachableExtensionSources(config: ExtensionConfig, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  if (config.place === 'network' && config.filter !== null) checkNetworkFilter(config.filter, '', reachable, errors)
  if (config.place === 'http') checkHttpFilter(config.filter, '', reachable, errors)
  return errors
}

/** `path`: of the filter; '' of one that stands in no chain. */
function checkNetworkFilter(filter: NetworkFilter, path: string, reachable: Reachable, errors: ConfigError[]): void {
  if (filter.kind === 'discovered') {
    const at = `${path}.config_discovery`
    const { source, fallback } = filter.discovery
    check(source, `${at}.config_source`, reachable, errors)
    if (fallback !== null) checkNetworkFilter(fallback, `${at}.default_config`, reachable, errors)
  }
  if (filter.kind !== 'httpConnectionManager') return
  const { httpFilters, routeTable, rdsName, rdsSource = { kind: 'ads' }, scopedRoutes } = filter.hcm
  const at = path === '' ? 'typed_config' : `${path}.typed_config`
  httpFilters.forEach((httpFilter, j) => {
    checkHttpFilter(httpFilter, `${at}.http_filters[${j}]`, reachable, errors)
  })
  if (routeTable !== null)
    for (const { path: below, reason } of unreachableTableSources(routeTable, reachable))
      errors.push({ path: `${at}.route_config.${below}`, reason })
  if (rdsName !== null) check(rdsSource, `${at}.rds.config_source`, reachable, errors)
  if (scopedRoutes === undefined) return
  const { scopes } = scopedRoutes
  // Inline scopes have inline tables.
  if (scopes.kind === 'inline') return
  check(scopedRoutes.rdsSource, `${at}.scoped_routes.rds_config_source`, reachable, errors)
  check(scopes.source, `${at}.scoped_routes.scoped_rds.scoped_rds_config_source`, reachable, errors)
}

function checkHttpFilter(filter: HttpFilterConfig | HttpFilter, path: string, reachable: Reachable, errors: ConfigError[]): void {
  if (filter.kind === 'discovered') check(filter.discovery.source, `${path}.config_discovery.config_source`, reachable, errors)
  const at = path === '' ? 'typed_config' : `${path}.typed_config`
  if (filter.kind === 'onDemand') checkOdcds(filter.config, at, reachable, errors)
  if (filter.kind === 'credentialInjector') checkSecret(filter.config.secret, `${at}.credential.typed_config.credential`, reachable, errors)
  if (filter.kind === 'oauth2' && filter.config !== null) checkCredentials(filter.config, `${at}.config.credentials`, reachable, errors)
  if (filter.kind === 'matched' && filter.filter !== null) checkHttpFilter(filter.filter, `${at}.extension_config`, reachable, errors)
}

function checkCredentials({ clientSecret, hmacSecret }: OAuth2Config, at: string, reachable: Reachable, errors: ConfigError[]): void {
  if (clientSecret !== null) checkSecret(clientSecret, `${at}.token_secret`, reachable, errors)
  checkSecret(hmacSecret, `${at}.hmac_secret`, reachable, errors)
}

export function unreachableTableSources({ vhds, overrides, virtualHosts }: RouteTable, reachable: Reachable): ConfigError[] {
  const errors: ConfigError[] = []
  if (vhds !== undefined) check(vhds, 'vhds.config_source', reachable, errors)
  checkOverrides(overrides, '', reachable, errors)
  virtualHosts.forEach((host, i) => {
    errors.push(...unreachableHostSources(host, reachable, `virtual_hosts[${i}].`))
  })
  return errors
}

export function unreachableHostSources({ overrides, routes }: VirtualHost, reachable: Reachable, prefix = ''): ConfigError[] {
  const errors: ConfigError[] = []
  checkOverrides(overrides, prefix, reachable, errors)
  routes.forEach((route, i) => {
    checkOverrides(route.overrides, `${prefix}routes[${i}].`, reachable, errors)
  })
  return errors
}

function checkOverrides(
  overrides: ReadonlyMap<string, HttpFilterOverride>,
  prefix: string,
  reachable: Reachable,
  errors: ConfigError[],
): void {
  for (const [name, override] of overrides) {
    const at = `${prefix}typed_per_filter_config.${name}`
    if (override.kind === 'onDemand') checkOdcds(override.config, at, reachable, errors)
    if (override.kind === 'oauth2') checkCredentials(override.config, `${at}.config.credentials`, reachable, errors)
  }
}

function checkOdcds({ odcds }: OnDemandConfig, path: string, reachable: Reachable, errors: ConfigError[]): void {
  if (odcds === null) return
  check(odcds.source, `${path}.odcds.source`, reachable, errors)
  if (odcds.source.kind === 'ads' && reachable.ads !== null && reachable.ads.apiType !== 'DELTA_GRPC')
    errors.push({ path: `${path}.odcds.source.ads`, reason: "odcds: the ads_config must be of api_type 'DELTA_GRPC'" })
}

/** What of a TLS context names secrets. */
interface SecretUser {
  readonly common: CommonTlsContext
  readonly ticketKeysSds?: SdsSecretRef | null
}

function checkSecrets({ common, ticketKeysSds = null }: SecretUser, path: string, reachable: Reachable, errors: ConfigError[]): void {
  const at = `${path}.typed_config`
  common.certificateSds.forEach((ref, i) => {
    checkSecret(ref, `${at}.common_tls_context.tls_certificate_sds_secret_configs[${i}]`, reachable, errors)
  })
  if (common.validationSds !== null)
    checkSecret(common.validationSds, `${at}.common_tls_context.validation_context_sds_secret_config`, reachable, errors)
  if (ticketKeysSds !== null) checkSecret(ticketKeysSds, `${at}.session_ticket_keys_sds_secret_config`, reachable, errors)
}

/** Without a source it is a static one. */
function checkSecret({ name, source }: SdsSecretRef, path: string, reachable: Reachable, errors: ConfigError[]): void {
  if (source.kind !== 'static') check(source, `${path}.sds_config`, reachable, errors)
  else if (!reachable.secrets.some(secret => secret.name === name)) errors.push({ path, reason: `unknown static secret: ${name}` })
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
