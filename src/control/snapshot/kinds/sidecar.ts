// The sidecar of one service (`Kind` connect-proxy): a public listener that authorises, and one listener an upstream. Called by
// build-snapshot.ts; gathers the view from config entries, chains, intentions and certificates, the files beside `kinds/` make the resources.
import type { Upstream } from '../../catalog/service-definition.js'
import { mergedExpose } from '../../config-entries/expose.js'
import type { ConfigError, Expose, Mesh, MeshGatewayMode, UpstreamConfig } from '../../config-entries/types.js'
import { compileDiscoveryChain } from '../../discovery-chain/compile.js'
import { DEFAULT_TENANCY, envoyId, filterName } from '../../discovery-chain/names.js'
import { isHttpLike, serviceProtocol } from '../../discovery-chain/service-protocol.js'
import type { CompiledDiscoveryChain } from '../../discovery-chain/types.js'
import { intentionTable } from '../../intentions/table.js'
import { buildClusters } from '../clusters.js'
import { destinationEndpoints } from '../destinations.js'
import { buildEndpoints } from '../endpoints.js'
import { extendClusters, extendEndpoints, extendListeners, extendRoutes } from '../extensions/apply-extensions.js'
import { readExtensions } from '../extensions/read-extensions.js'
import { authorisationOf, inboundIdentityOf } from '../inbound.js'
import { buildInboundListeners, buildOutboundListeners } from '../listeners.js'
import { peerChain, withPeers } from '../peer-targets.js'
import { readProxyConfig, readUpstreamSettings, type TcpTunnelMode, type UpstreamSettings } from '../proxy-config.js'
import { acceptsTunnels, type ExposedPath, type ProxyView, type UpstreamView } from '../proxy-view.js'
import { buildRoutes } from '../routes.js'
import { type IntendedService, intendedServices, transparentSettings, transparentView } from '../transparent-view.js'
import { type BuildContext, type ProxyInstance, type ProxyKind, SnapshotError } from './proxy-kind.js'

export const SIDECAR: ProxyKind<ProxyView> = {
  view: sidecarView,
  listeners: view => extendListeners(view, [...buildInboundListeners(view), ...buildOutboundListeners(view)]),
  clusters: view => extendClusters(view, buildClusters(view)),
  routes: view => extendRoutes(view, buildRoutes(view)),
  endpoints: (view, lookup) => extendEndpoints(view, [...buildEndpoints(view, lookup), ...destinationEndpoints(view, lookup)]),
  acceptsTunnels,
  placed: {
    // Where others reach it is for others to know; what it listens on is in `Address` alone.
    unplaced: proxy => ({ ...proxy, Address: '', TaggedAddresses: {}, Tags: [], Meta: {} }),
    shared: view => extendListeners(view, buildOutboundListeners(view)),
    own: (shared, proxy, problems) => {
      const view = { ...shared, proxy, problems }
      return extendListeners(view, buildInboundListeners(view, shared))
    },
  },
}

function sidecarView(proxy: ProxyInstance, context: BuildContext): ProxyView {
  const { mesh, entries, problems } = context
  const service = proxy.Proxy.DestinationServiceName
  const identity = inboundIdentityOf(service, context)
  if (identity === undefined) throw new SnapshotError(`service ${service} has no certificate yet`)
  const proxyDefaults = entries.get('proxy-defaults', 'global')
  const serviceDefaults = entries.get('service-defaults', service)
  const config = readProxyConfig({ proxyDefaults, serviceDefaults, registration: proxy.Proxy.Config }, problems)
  const protocol = config.protocol ?? serviceProtocol(entries, service)
  const http = isHttpLike(protocol)
  const { intentions, ...authorisation } = authorisationOf(service, http, context)
  const own: OwnDefaults = {
    service,
    upstreams: serviceDefaults?.UpstreamConfig,
    tunnelMode: config.tcpTunnel,
    meshGateway: proxy.Proxy.MeshGateway ?? serviceDefaults?.MeshGateway?.Mode ?? proxyDefaults?.MeshGateway?.Mode,
  }
  const settings = transparentSettings(proxy, serviceDefaults, proxyDefaults)
  const isTransparent = settings.mode === 'transparent'
  const toView = (upstream: Upstream): UpstreamView => upstreamView(upstream, own, context)
  const explicit = proxy.Proxy.Upstreams.map(toView)
  const upstreams = isTransparent ? withVirtualAddresses(explicit, intendedServices(service, context), toView, problems) : explicit
  return {
    proxy,
    protocol,
    config,
    mesh: entries.get('mesh', 'mesh'),
    accessLogs: proxyDefaults?.AccessLogs,
    identity,
    ...authorisation,
    intentionTable: intentionTable(service, intentions, { defaultAction: mesh.defaultPolicy(), http }),
    extensions: readExtensions([...(proxyDefaults?.EnvoyExtensions ?? []), ...(serviceDefaults?.EnvoyExtensions ?? [])], problems),
    problems,
    exposed: exposedPaths(proxy, mergedExpose(proxy.Proxy.Expose, service, entries), problems),
    upstreams,
    transparent: isTransparent ? transparentView(service, settings.outboundPort, upstreams, context) : undefined,
    permissive: settings.mutualTls === 'permissive' && mayBePermissive(proxy, entries.get('mesh', 'mesh'), problems),
  }
}

/** Those of the registration as they are, and after them the services that have no other way in. */
function withVirtualAddresses(
  explicit: readonly UpstreamView[],
  intended: readonly IntendedService[],
  toView: (upstream: Upstream) => UpstreamView,
  problems: ConfigError[],
): UpstreamView[] {
  const views = [...explicit]
  for (const { service, peer, addresses } of intended) {
    const own = views.findIndex(
      ({ upstream }) => upstream.DestinationName === service && upstream.Datacenter === '' && upstream.DestinationPeer === peer,
    )
    if (own >= 0) {
      views[own] = { ...views[own]!, virtualAddresses: addresses }
      continue
    }
    try {
      views.push({ ...toView(implicitUpstream(service, peer)), virtualAddresses: addresses })
    } catch (error) {
      // Nobody asked for this one by name: the others go on.
      if (!(error instanceof SnapshotError)) throw error
      problems.push({ path: 'Mode', reason: `transparent: ${error.message}` })
    }
  }
  return views
}

function implicitUpstream(service: string, peer: string | undefined): Upstream {
  return {
    DestinationType: 'service',
    DestinationName: service,
    ...(peer === undefined ? {} : { DestinationPeer: peer }),
    DestinationNamespace: DEFAULT_TENANCY,
    DestinationPartition: DEFAULT_TENANCY,
    Datacenter: '',
    LocalBindAddress: '',
    LocalBindPort: 0,
    LocalBindSocketPath: '',
    LocalBindSocketMode: '',
    Config: {},
  }
}

/** What a config entry says was checked when it was written; a registration is checked here. */
function mayBePermissive({ Proxy: proxy }: ProxyInstance, mesh: Mesh | undefined, problems: ConfigError[]): boolean {
  if (proxy.MutualTLSMode !== 'permissive' || mesh?.AllowEnablingPermissiveMutualTLS === true) return true
  problems.push({
    path: 'Proxy.MutualTLSMode',
    reason: 'has no effect: "permissive" needs AllowEnablingPermissiveMutualTLS in the mesh config entry',
  })
  return false
}

/** What would bind a port that the proxy has already is left out. */
function exposedPaths(proxy: ProxyInstance, { Checks = false, Paths: paths = [] }: Expose, problems: ConfigError[]): ExposedPath[] {
  const checks = Checks ? (proxy.exposedChecks ?? []) : []
  const taken = new Set([proxy.Port, ...proxy.Proxy.Upstreams.map(({ LocalBindPort }) => LocalBindPort)])
  return [...paths, ...checks].filter(({ ListenerPort }, i) => {
    if (taken.has(ListenerPort)) {
      const path = i < paths.length ? `Expose.Paths[${i}].ListenerPort` : 'Expose.Checks'
      problems.push({ path, reason: `has no effect: the proxy listens on ${ListenerPort} already` })
      return false
    }
    taken.add(ListenerPort)
    return true
  })
}

/** What the proxy says of all its upstreams. */
interface OwnDefaults {
  readonly service: string
  readonly upstreams: { readonly Overrides?: readonly UpstreamConfig[]; readonly Defaults?: UpstreamConfig } | undefined
  readonly tunnelMode: TcpTunnelMode
  readonly meshGateway: MeshGatewayMode | undefined
}

function upstreamView(upstream: Upstream, own: OwnDefaults, context: BuildContext): UpstreamView {
  const { mesh, entries, problems } = context
  const name = upstream.DestinationName
  const datacenter = upstream.Datacenter || mesh.datacenter
  const { Overrides, Defaults } = own.upstreams ?? {}
  const override = Overrides?.find(candidate => candidate.Name === name && (candidate.Peer ?? '') === (upstream.DestinationPeer ?? ''))
  const settings = readUpstreamSettings(Defaults, override, upstream.Config, problems)
  const meshGateway = upstream.MeshGateway ?? override?.MeshGateway?.Mode ?? Defaults?.MeshGateway?.Mode ?? own.meshGateway
  if (upstream.DestinationPeer !== undefined) return peerUpstream(upstream, upstream.DestinationPeer, settings, meshGateway, context)
  const result = compileDiscoveryChain({
    service: name,
    datacenter,
    trustDomain: mesh.trustDomain,
    entries,
    ...(settings.protocol === undefined ? {} : { overrideProtocol: settings.protocol }),
    ...(settings.connectTimeoutMs === undefined ? {} : { overrideConnectTimeoutMs: settings.connectTimeoutMs }),
    ...(meshGateway === undefined ? {} : { overrideMeshGateway: meshGateway }),
  })
  if ('errors' in result) throw new SnapshotError(`upstream ${name}: ${result.errors.map(({ reason }) => reason).join('; ')}`)
  // As in Consul: routes, splits and resolvers could not be carried out by a listener or cluster that they know nothing of.
  const isPlain = result.chain.Default === true
  for (const [key, json] of [
    ['envoy_listener_json', settings.listenerJson],
    ['envoy_cluster_json', settings.clusterJson],
  ] as const)
    if (json !== undefined && !isPlain)
      problems.push({ path: `Proxy.Upstreams.Config.${key}`, reason: `has no effect: ${name} has a discovery chain of its own` })
  // A listener or cluster of the operator's own knows nothing of tunnels.
  const isOwn = isPlain && (settings.listenerJson !== undefined || settings.clusterJson !== undefined)
  const tunnel = !isOwn && usesTunnel(settings.tcpTunnel ?? own.tunnelMode, result.chain, context)
  const { chain, peers } = withPeers(result.chain, context, own.service)
  return {
    listenerJson: isPlain ? settings.listenerJson : undefined,
    clusterJson: isPlain ? settings.clusterJson : undefined,
    upstream,
    envoyId: envoyId({ name, ...(upstream.Datacenter === '' ? {} : { datacenter: upstream.Datacenter }) }),
    filterName: filterName(name, upstream.DestinationNamespace, upstream.DestinationPartition, datacenter),
    chain: tunnel ? tunnelledChain(chain) : chain,
    peers,
    settings,
    tunnel,
    virtualAddresses: [],
  }
}

/** A service of a peer by the name that the peer exports it under. Listeners and clusters of the operator's own know nothing of peers. */
function peerUpstream(
  upstream: Upstream,
  peer: string,
  settings: UpstreamSettings,
  mode: MeshGatewayMode | undefined,
  context: BuildContext,
): UpstreamView {
  const service = upstream.DestinationName
  for (const [key, json] of [
    ['envoy_listener_json', settings.listenerJson],
    ['envoy_cluster_json', settings.clusterJson],
  ] as const)
    if (json !== undefined)
      context.problems.push({ path: `Proxy.Upstreams.Config.${key}`, reason: `has no effect: ${service} is of a peer` })
  return {
    listenerJson: undefined,
    clusterJson: undefined,
    upstream,
    envoyId: envoyId({ name: service, peer }),
    filterName: `${service}.${DEFAULT_TENANCY}.${peer}`,
    ...peerChain({ service, peer, connectTimeoutMs: settings.connectTimeoutMs, mode }, context),
    settings,
    tunnel: false,
    virtualAddresses: [],
  }
}

/**
 * Clusters for tunnels have names of their own. Listeners and clusters change one after the other, so with one name the old listener would
 * for a moment send plain bytes to where tunnels are expected, or the other way about.
 */
function tunnelledChain(chain: CompiledDiscoveryChain): CompiledDiscoveryChain {
  const hash = chain.CustomizationHash
  return { ...chain, CustomizationHash: hash ? `${hash}-${TUNNEL}` : TUNNEL }
}

/** Before the `~` of a cluster's name, where Consul has a hash of what the upstream overrides. */
const TUNNEL = 'tunnel'

function usesTunnel(mode: TcpTunnelMode, { Protocol, Targets }: CompiledDiscoveryChain, { acceptsTunnels }: BuildContext): boolean {
  if (Protocol !== 'tcp' || mode === 'off' || mode === 'accept') return false
  // Each is asked, as each one's answer is what this snapshot depends on.
  return (
    mode === 'use' ||
    Object.values(Targets)
      .map(({ Service, Peer }) => !Peer && acceptsTunnels(Service))
      .every(accepted => accepted)
  )
}
