// What transparent proxying makes of a sidecar: its mode and settings out of registration and config entries, and the services that its
// application may ask for by virtual address, which the intentions decide. Called by `kinds/sidecar.ts`; the listener and clusters are
// made by `outbound-listener.ts`.
// Invariant: a service that the intentions forbid gets no filter chain; its address leads nowhere.
import { isIP } from 'node:net'
import type { MutualTlsMode, ProxyDefaults, ProxyMode, ServiceDefaults, TransparentProxy } from '../config-entries/types.js'
import { DEFAULT_TENANCY, destinationSni, filterName } from '../discovery-chain/names.js'
import { serviceProtocol } from '../discovery-chain/service-protocol.js'
import { intentionsFor, sourceMatches } from '../intentions/match.js'
import { serviceTarget } from './gateways/service-target.js'
import type { BuildContext, ProxyInstance, VirtualService } from './kinds/proxy-kind.js'
import type { DestinationService, DirectService, TransparentView, UpstreamView } from './proxy-view.js'

/** Consul's. */
export const DEFAULT_OUTBOUND_PORT = 15_001

interface TransparentSettings {
  readonly mode: ProxyMode
  readonly outboundPort: number
  readonly mutualTls: MutualTlsMode
}

/** The nearest that says anything has its way: registration, service-defaults, proxy-defaults. */
export function transparentSettings(
  proxy: ProxyInstance,
  serviceDefaults: ServiceDefaults | undefined,
  proxyDefaults: ProxyDefaults | undefined,
): TransparentSettings {
  const sources: readonly { Mode?: ProxyMode; TransparentProxy?: TransparentProxy; MutualTLSMode?: MutualTlsMode }[] = [
    proxy.Proxy,
    serviceDefaults ?? {},
    proxyDefaults ?? {},
  ]
  return {
    mode: sources.find(({ Mode }) => Mode !== undefined)?.Mode ?? 'direct',
    outboundPort:
      sources.find(source => source.TransparentProxy?.OutboundListenerPort)?.TransparentProxy?.OutboundListenerPort ??
      DEFAULT_OUTBOUND_PORT,
    mutualTls: sources.find(({ MutualTLSMode }) => MutualTLSMode !== undefined)?.MutualTLSMode ?? 'strict',
  }
}

/** What a transparent proxy may be asked for. */
export interface IntendedService extends Pick<VirtualService, 'service' | 'addresses'> {
  /** Undefined: it is our own. */
  readonly peer?: string
}

/** Services of our own that `source` may call, and all that peers export: whether it may call those, their intentions say. */
export function intendedServices(source: string, context: BuildContext): IntendedService[] {
  const { mesh, problems } = context
  const own = ownServices(source, context)
  const taken = new Map(own.flatMap(({ service, addresses }) => addresses.map(address => [address, service])))
  const ofPeers = mesh.peers.imports().flatMap(({ name: service, peer }): IntendedService[] => {
    const address = mesh.peers.virtualAddress(peer, service)
    if (address === undefined) return []
    const owner = taken.get(address)
    if (owner === undefined) return [{ service, peer, addresses: [address] }]
    problems.push({
      path: 'TaggedAddresses.virtual',
      reason: `${address} of ${owner} is that of ${service} of peer ${peer} too, which is not reached by it`,
    })
    return []
  })
  return [...own, ...ofPeers]
}

/** With the addresses that are theirs alone. */
function ownServices(source: string, context: BuildContext): IntendedService[] {
  const { catalog, problems } = context
  const owners = new Map<string, string>()
  return catalog.virtualServices().flatMap(({ service, addresses }) => {
    if (service === source || !isIntended(source, service, context)) return []
    const own = addresses.filter(address => {
      const owner = owners.get(address)
      if (owner === undefined) owners.set(address, service)
      else
        problems.push({
          path: 'TaggedAddresses.virtual',
          reason: `${address} of ${service} has no effect: it is an address of ${owner} too`,
        })
      return owner === undefined
    })
    return own.length === 0 ? [] : [{ service, addresses: own }]
  })
}

/** Where permissions or tokens decide, they do so request by request. */
function isIntended(source: string, service: string, { entries, mesh }: BuildContext): boolean {
  const intention = intentionsFor(entries, service).find(candidate => sourceMatches(candidate, { service: source }))
  return (intention?.action ?? (intention?.permissions === undefined ? mesh.defaultPolicy() : 'allow')) === 'allow'
}

export function transparentView(
  source: string,
  outboundPort: number,
  upstreams: readonly UpstreamView[],
  context: BuildContext,
): TransparentView {
  return {
    outboundPort,
    passesOthers: context.entries.get('mesh', 'mesh')?.TransparentProxy?.MeshDestinationsOnly !== true,
    direct: directServices(upstreams, context),
    destinations: destinationServices(source, context),
  }
}

/** Those that a terminating gateway stands before, and that `source` may call. */
function destinationServices(source: string, context: BuildContext): DestinationService[] {
  const { entries, catalog, mesh, problems } = context
  const owners = new Map<string, string>()
  const inOrder = [...entries.list('service-defaults')].sort((a, b) => (a.Name < b.Name ? -1 : 1))
  return inOrder.flatMap(({ Name: service, Destination: destination }) => {
    if (destination === undefined || service === source || !catalog.isInMesh(service) || !isIntended(source, service, context)) return []
    const target = serviceTarget(service, undefined, entries.get('service-resolver', service), mesh)
    return {
      target,
      protocol: serviceProtocol(entries, service),
      filterName: filterName(service, DEFAULT_TENANCY, DEFAULT_TENANCY, mesh.datacenter),
      port: destination.Port,
      addresses: destination.Addresses.filter(address => {
        const place = `${address}:${destination.Port}`
        const owner = owners.get(place)
        if (owner === undefined) owners.set(place, service)
        else
          problems.push({
            path: 'Destination.Addresses',
            reason: `${place} of ${service} has no effect: it is a destination of ${owner} too`,
          })
        return owner === undefined
      }).map(address => ({ address, cluster: destinationSni(address, target.SNI) })),
    }
  })
}

/** Each service once, whichever chains lead to it; an address that two have is the first one's. */
function directServices(upstreams: readonly UpstreamView[], { catalog }: BuildContext): DirectService[] {
  const services = new Map<string, DirectService>()
  const taken = new Set(upstreams.flatMap(({ virtualAddresses }) => virtualAddresses))
  const registered = new Set(
    catalog.virtualServices().flatMap(({ service, dialledDirectly }) => (dialledDirectly ? [service.toLowerCase()] : [])),
  )
  for (const { chain, filterName, virtualAddresses, peers } of upstreams) {
    if (virtualAddresses.length === 0) continue
    for (const target of Object.values(chain.Targets)) {
      const isDirect = target.TransparentProxy.DialedDirectly === true
      // Of other services nothing is looked up: their instances come and go without a new listener here.
      if (target.Peer || services.has(target.ID) || !(isDirect || registered.has(target.Service.toLowerCase()))) continue
      const addresses = catalog
        .connectInstancesOf(target.Service)
        .filter(({ Kind, Proxy: proxy }) => Kind === 'connect-proxy' && (isDirect || proxy?.TransparentProxy?.DialedDirectly === true))
        .map(instance => catalog.addressOf(instance))
        .filter(address => isIP(address) !== 0 && !taken.has(address))
      if (addresses.length === 0) continue
      for (const address of addresses) taken.add(address)
      services.set(target.ID, { target, peer: peers.get(target.ID), filterName, addresses: [...new Set(addresses)].sort() })
    }
  }
  return [...services.values()]
}
