// All that a mesh gateway's resources are made from: who has which server name. Made for `kinds/mesh-gateway.ts`, read by
// `mesh-gateway-resources.ts`.
import type { AccessLogs, ServiceResolver } from '../../config-entries/types.js'
import { compileDiscoveryChain } from '../../discovery-chain/compile.js'
import { DEFAULT_TENANCY, filterName, peeredSni } from '../../discovery-chain/names.js'
import type { CompiledDiscoveryChain, DiscoveryTarget } from '../../discovery-chain/types.js'
import { consumersOf } from '../../peering/exported-services.js'
import { serverAddress } from '../../peering/peering-token.js'
import type { ImportedService } from '../../peering/peering-types.js'
import type { BuildContext, ProxyInstance } from '../kinds/proxy-kind.js'
import { peerChain } from '../peer-targets.js'
import { type GatewayConfig, readGatewayConfig } from './gateway-config.js'
import { serviceTarget } from './service-target.js'

/** A service of ours, asked for by peers. */
export interface ExportedView {
  readonly serverNames: readonly string[]
  /** Of resolvers alone: what is inside of the TLS is nothing that could be routed by. */
  readonly chain: CompiledDiscoveryChain
  readonly filterName: string
}

/** A service of a peer, asked for by our own. */
export interface ImportedView {
  readonly serverName: string
  readonly cluster: string
  readonly target: DiscoveryTarget
  readonly filterName: string
}

/** A control plane. */
export interface ServerView {
  readonly serverName: string
  readonly statPrefix: string
  readonly places: readonly { readonly host: string; readonly port: number }[]
}

export interface MeshGatewayView {
  readonly gateway: GatewayConfig
  readonly accessLogs: AccessLogs | undefined
  readonly targets: readonly { readonly target: DiscoveryTarget; readonly resolver: ServiceResolver | undefined }[]
  readonly exported: readonly ExportedView[]
  readonly imported: readonly ImportedView[]
  readonly servers: readonly ServerView[]
}

export function meshGatewayView(proxy: ProxyInstance, context: BuildContext): MeshGatewayView {
  const { entries, catalog, mesh } = context
  const services = [...catalog.serviceNames()].filter(name => catalog.isInMesh(name)).sort()
  return {
    gateway: readGatewayConfig(proxy, context),
    accessLogs: entries.get('proxy-defaults', 'global')?.AccessLogs,
    targets: services.flatMap(service => {
      const resolver = entries.get('service-resolver', service)
      const subsets = [undefined, ...Object.keys(resolver?.Subsets ?? {}).sort()]
      return subsets.map(subset => ({ target: serviceTarget(service, subset, resolver, mesh), resolver }))
    }),
    exported: services.flatMap(service => exportedView(service, context) ?? []),
    imported: mesh.peers.imports().map(service => importedView(service, context)),
    servers: serverViews(context),
  }
}

function exportedView(service: string, { entries, mesh, problems }: BuildContext): ExportedView | undefined {
  const { datacenter, trustDomain } = mesh
  const peers = consumersOf(service, entries)
  if (peers.length === 0) return undefined
  const result = compileDiscoveryChain({ service, datacenter, trustDomain, entries, overrideProtocol: 'tcp' })
  if ('errors' in result) {
    problems.push({
      path: `exported-services ${service}`,
      reason: `is not served: ${result.errors.map(({ reason }) => reason).join('; ')}`,
    })
    return undefined
  }
  // The same clusters as for our own callers, who have said nothing of protocols.
  const { CustomizationHash: _hash, ...chain } = result.chain
  return {
    serverNames: peers.map(peer => peeredSni(service, peer, trustDomain)),
    chain,
    filterName: filterName(service, DEFAULT_TENANCY, DEFAULT_TENANCY, datacenter),
  }
}

function importedView({ name, peer, sni }: ImportedService, context: BuildContext): ImportedView {
  // Beyond this gateway there is no other of ours.
  const { chain } = peerChain({ service: name, peer, connectTimeoutMs: undefined, mode: 'remote' }, context)
  const [target] = Object.values(chain.Targets)
  return { serverName: sni, cluster: target!.Name, target: target!, filterName: `${name}.${DEFAULT_TENANCY}.${peer}` }
}

function serverViews({ entries, mesh }: BuildContext): ServerView[] {
  if (entries.get('mesh', 'mesh')?.Peering?.PeerThroughMeshGateways !== true) return []
  const own = mesh.peers.server()
  const dialled = mesh.peers.dialled().map(({ serverName, addresses }) => ({ serverName, places: addresses.map(serverAddress) }))
  const seen = new Set<string>()
  return [
    ...(own === undefined ? [] : [{ serverName: own.serverName, statPrefix: 'mesh_gateway_local_peering_server', places: [own] }]),
    ...dialled.map(server => ({ ...server, statPrefix: 'mesh_gateway_remote_peering_servers' })),
  ].filter(({ serverName }) => !seen.has(serverName) && seen.add(serverName))
}
