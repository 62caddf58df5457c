// All that a terminating gateway's resources are made from: for each service that it stands before its identity, its intentions and where it
// is. Made for `kinds/terminating-gateway.ts`, read by the builders beside this file.
// Invariant: a service whose protocol, subsets and intentions are what they are for its callers: the gateway is their sidecar.
import { isIP } from 'node:net'
import type { LinkedService } from '../../config-entries/gateway-types.js'
import type { ServiceDefaults, ServiceResolver } from '../../config-entries/types.js'
import { DEFAULT_TENANCY, destinationSni, filterName, peeredSni } from '../../discovery-chain/names.js'
import { isHttpLike, serviceProtocol } from '../../discovery-chain/service-protocol.js'
import type { DiscoveryTarget } from '../../discovery-chain/types.js'
import { linkedServices } from '../../gateways/gateway-links.js'
import { consumersOf } from '../../peering/exported-services.js'
import { authorisationOf, inboundIssuedIdentityOf } from '../inbound.js'
import { type BuildContext, type ProxyInstance, SnapshotError } from '../kinds/proxy-kind.js'
import { readProxyConfig } from '../proxy-config.js'
import type { InboundView } from '../proxy-view.js'
import { type GatewayConfig, readGatewayConfig } from './gateway-config.js'
import { serviceTarget } from './service-target.js'

/** Where connections to a service, or to one subset of it, go. */
export interface OutsideCluster {
  /** Its name, and the server name that callers' sidecars ask for. */
  readonly sni: string
  /** Server names that peers ask for. */
  readonly peerNames: readonly string[]
  readonly target: DiscoveryTarget
  /** Undefined: instances with IP addresses, which travel as endpoints. */
  readonly places: readonly Place[] | undefined
}

export interface Place {
  readonly host: string
  readonly port: number
}

export interface OutsideService extends InboundView {
  readonly service: string
  readonly link: LinkedService
  readonly statPrefix: string
  readonly resolver: ServiceResolver | undefined
  readonly clusters: readonly OutsideCluster[]
}

export interface TerminatingView {
  readonly gateway: GatewayConfig
  readonly services: readonly OutsideService[]
}

export function terminatingView(proxy: ProxyInstance, context: BuildContext): TerminatingView {
  const { entries, catalog } = context
  const entry = entries.get('terminating-gateway', proxy.Service)
  const links = entry === undefined ? [] : linkedServices(entry, entries, catalog)
  const services = links.map(({ service, link }) => outsideService(service, link, proxy, context))
  // Each has been asked for, so that all that are missing are on their way.
  const missing = services.indexOf(undefined)
  if (missing >= 0) throw new SnapshotError(`service ${links[missing]!.service} has no certificate yet`)
  return { gateway: readGatewayConfig(proxy, context), services: services.filter(service => service !== undefined) }
}

function outsideService(service: string, link: LinkedService, proxy: ProxyInstance, context: BuildContext): OutsideService | undefined {
  const { mesh, entries, problems } = context
  const identity = inboundIssuedIdentityOf(service, context)
  if (identity === undefined) return undefined
  const proxyDefaults = entries.get('proxy-defaults', 'global')
  const serviceDefaults = entries.get('service-defaults', service)
  const resolver = entries.get('service-resolver', service)
  const protocol = serviceProtocol(entries, service)
  const { intentions: _, ...authorisation } = authorisationOf(service, isHttpLike(protocol), context)
  const subsets = [undefined, ...Object.keys(resolver?.Subsets ?? {}).sort()]
  return {
    service,
    link,
    resolver,
    identity,
    protocol,
    ...authorisation,
    mesh: entries.get('mesh', 'mesh'),
    accessLogs: proxyDefaults?.AccessLogs,
    config: readProxyConfig({ proxyDefaults, serviceDefaults: undefined, registration: proxy.Proxy.Config }, problems),
    statPrefix: `upstream.${filterName(service, DEFAULT_TENANCY, DEFAULT_TENANCY, mesh.datacenter)}`,
    clusters: [
      ...subsets.map(subset => outsideCluster(service, subset, resolver, serviceDefaults, context)),
      ...destinationClusters(service, resolver, serviceDefaults, context),
    ],
  }
}

/** One for each address: transparent proxies ask for that which was dialled. */
function destinationClusters(
  service: string,
  resolver: ServiceResolver | undefined,
  defaults: ServiceDefaults | undefined,
  { mesh }: BuildContext,
): OutsideCluster[] {
  const target = serviceTarget(service, undefined, resolver, mesh)
  const { Addresses = [], Port = 0 } = defaults?.Destination ?? {}
  return [...new Set(Addresses)].map(host => ({
    sni: destinationSni(host, target.SNI),
    peerNames: [],
    target,
    places: [{ host, port: Port }],
  }))
}

function outsideCluster(
  service: string,
  subset: string | undefined,
  resolver: ServiceResolver | undefined,
  defaults: ServiceDefaults | undefined,
  { mesh, catalog, entries }: BuildContext,
): OutsideCluster {
  const target = serviceTarget(service, subset, resolver, mesh)
  const sni = target.SNI
  const peerNames = subset === undefined ? consumersOf(service, entries).map(peer => peeredSni(service, peer, mesh.trustDomain)) : []
  const destination = defaults?.Destination
  if (destination !== undefined)
    return { sni, peerNames, target, places: destination.Addresses.map(host => ({ host, port: destination.Port })) }
  const instances = catalog.instancesOf(service).filter(({ Kind, Port }) => Kind === '' && Port !== 0)
  if (instances.every(instance => isIP(catalog.addressOf(instance)) !== 0)) return { sni, peerNames, target, places: undefined }
  const chosen = instances.filter(instance => catalog.inSubset(instance, target.Subset.Filter))
  const alive = chosen.filter(instance => catalog.health(instance) !== 'critical')
  // With none that is well it is better to try than to have nobody to ask.
  const places = (alive.length > 0 ? alive : chosen).map(instance => ({ host: catalog.addressOf(instance), port: instance.Port }))
  return { sni, peerNames, target, places }
}
