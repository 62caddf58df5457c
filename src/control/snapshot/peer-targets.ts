// A compiled chain as a proxy uses it: the targets that it fails over to in its own order, and those that are known by other certificates than our own CA's: services of peers, with their names, which are known only with the
// peer's trust domain, and services that have an id from a Workload API; and how those certificates are verified. Called by the kinds of proxies for each chain, and for upstreams that name a peer themselves.
// Invariant: a peer that is not known (yet) leaves a cluster without endpoints, which expects an identity that nobody has.

import { serviceSpiffeId } from '../../mtls/spiffe.js'
import { durationFromMs } from '../config-entries/duration.js'
import type { MeshGatewayMode } from '../config-entries/types.js'
import { DEFAULT_TENANCY, peeredClusterName, targetId } from '../discovery-chain/names.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../discovery-chain/target-table.js'
import type { CompiledDiscoveryChain, DiscoveryTarget } from '../discovery-chain/types.js'
import { trustDomainOf, workloadIdOf } from '../spiffe/workload-ids.js'
import { orderedFailover } from './failover-order.js'
import type { BuildContext } from './kinds/proxy-kind.js'
import type { TargetPeer, TargetPeers } from './proxy-view.js'

export interface PeeredChain {
  readonly chain: CompiledDiscoveryChain
  readonly peers: TargetPeers
}

const NO_PEERS: TargetPeers = new Map()
/** Ends no trust domain. */
const UNKNOWN_DOMAIN = 'unknown.invalid'

/** `caller`: the service whose certificate the proxy shows. */
export function withPeers(compiled: CompiledDiscoveryChain, context: BuildContext, caller: string): PeeredChain {
  const chain = orderedFailover(compiled, context.places)
  const targets = Object.values(chain.Targets)
  const peers = new Map<string, TargetPeer>()
  for (const target of targets) {
    const known = target.Peer ? undefined : knownElsewhere(target.Service, context, caller)
    if (known !== undefined) peers.set(target.ID, known)
  }
  if (targets.every(({ Peer }) => !Peer)) return { chain, peers: peers.size === 0 ? NO_PEERS : peers }
  const named = targets.map(target => {
    if (!target.Peer) return target
    const { sni, name, ...peer } = peerNames(target.Service, target.Peer, context)
    peers.set(target.ID, peer)
    return { ...target, SNI: sni, Name: name }
  })
  const Targets = Object.assign(Object.create(null), Object.fromEntries(named.map(target => [target.ID, target])))
  return { chain: { ...chain, Targets }, peers }
}

function peerNames(service: string, peer: string, { mesh }: BuildContext): TargetPeer & { readonly sni: string; readonly name: string } {
  const bundle = mesh.peers.bundle(peer)
  const imported = mesh.peers.imported(peer, service)
  const name = peeredClusterName(service, peer, bundle?.trustDomain ?? UNKNOWN_DOMAIN)
  return {
    name,
    sni: imported?.sni ?? name,
    spiffeIds: imported?.spiffeIds ?? [`spiffe://${UNKNOWN_DOMAIN}/svc/${service}`],
    bundles: bundle === undefined ? [] : [bundle],
    ours: false,
  }
}

/**
 * A service that has an id from a Workload API: by that, and by the one that our own CA would give it, since its instances do not change from
 * one to the other in the same moment. Undefined: it has none.
 */
function knownElsewhere(service: string, { mesh, entries, problems }: BuildContext, caller: string): TargetPeer | undefined {
  const { datacenter, trustDomain, federations } = mesh
  const id = workloadIdOf(service, entries, datacenter)
  if (id === undefined) return undefined
  const theirs = trustDomainOf(id)
  const bundle = theirs === trustDomain ? undefined : federations.bundleOf(theirs)
  // Who has its own identity from a Workload API has from there also whom to trust.
  if (bundle === undefined && theirs !== trustDomain && workloadIdOf(caller, entries, datacenter) === undefined)
    problems.push({ path: 'Upstreams', reason: `${service} is ${id}, and the bundle of ${theirs} is not known: federate with it` })
  const own = { trustDomain, rootPems: [mesh.rootsPem()] }
  return {
    spiffeIds: [serviceSpiffeId({ trustDomain, datacenter, service }), id],
    bundles: bundle === undefined ? [own] : [own, bundle],
    ours: true,
  }
}

/** Of an upstream that names the peer: there is nothing to route by here, its exporter does that. */
export function peerChain(
  upstream: {
    readonly service: string
    readonly peer: string
    readonly connectTimeoutMs: number | undefined
    readonly mode: MeshGatewayMode | undefined
  },
  context: BuildContext,
): PeeredChain {
  const { service, peer, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, mode } = upstream
  const { mesh } = context
  const ID = targetId({ service, peer, datacenter: '' })
  const ConnectTimeout = durationFromMs(connectTimeoutMs)
  const target: DiscoveryTarget = {
    ID,
    Service: service,
    Namespace: DEFAULT_TENANCY,
    Partition: DEFAULT_TENANCY,
    Datacenter: '',
    Peer: peer,
    MeshGateway: mode === undefined ? {} : { Mode: mode },
    Subset: {},
    ConnectTimeout,
    SNI: '',
    Name: '',
    TransparentProxy: {},
  }
  const chain: CompiledDiscoveryChain = {
    ServiceName: service,
    Namespace: DEFAULT_TENANCY,
    Partition: DEFAULT_TENANCY,
    Datacenter: mesh.datacenter,
    Default: true,
    Protocol: mesh.peers.imported(peer, service)?.protocol ?? 'tcp',
    StartNode: `resolver:${ID}`,
    Nodes: { [`resolver:${ID}`]: { Type: 'resolver', Name: ID, Resolver: { Default: true, ConnectTimeout, Target: ID } } },
    Targets: { [ID]: target },
  }
  return withPeers(chain, context, '')
}
