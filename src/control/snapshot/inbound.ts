// What it takes to receive the mesh's connections to a service: its identity, and its intentions compiled. Called by the kinds of proxies,
// of which a sidecar does so for one service and a terminating gateway for each that it stands before.
import type { ConfigEntryIndex, JwtProvider } from '../config-entries/types.js'
import { DEFAULT_TENANCY } from '../discovery-chain/names.js'
import { compileIntentions, jwtIssuers, type PeerIdentity } from '../intentions/compile.js'
import { withShadowsFor } from '../intentions/match.js'
import type { CompiledIntentions, Intention } from '../intentions/types.js'
import { consumersOf } from '../peering/exported-services.js'
import type { BuildContext } from './kinds/proxy-kind.js'
import type { ProxyIdentity } from './proxy-view.js'

/** Undefined: the service has no certificate yet. */
export function identityOf(service: string, { mesh }: BuildContext): ProxyIdentity | undefined {
  const leaf = mesh.leaf(service)
  if (leaf === undefined) return undefined
  return {
    trustDomain: mesh.trustDomain,
    datacenter: mesh.datacenter,
    certificateChainPem: leaf.chainPem,
    privateKeyPem: leaf.keyPem,
    rootsPem: mesh.rootsPem(),
    peerBundles: [],
  }
}

/** The same for who is called by it: also by the peers that the service is exported to. */
export function inboundIdentityOf(service: string, context: BuildContext): ProxyIdentity | undefined {
  const identity = identityOf(service, context)
  if (identity === undefined) return undefined
  const { peers } = context.mesh
  return { ...identity, peerBundles: consumersOf(service, context.entries).flatMap(peer => peers.bundle(peer) ?? []) }
}

export interface Authorisation {
  /** Those that are enforced. */
  readonly intentions: readonly Intention[]
  readonly rbac: CompiledIntentions
  /** As it would be with those that are in shadow; absent: none is. */
  readonly shadowRbac?: CompiledIntentions
  readonly jwtProviders: readonly JwtProvider[]
}

export function authorisationOf(service: string, http: boolean, { mesh, entries }: BuildContext): Authorisation {
  const all = withShadowsFor(entries, service)
  const intentions = all.filter(({ shadow }) => shadow !== true)
  const { trustDomain } = mesh
  const peers = new Map<string, PeerIdentity>()
  for (const { sourcePeer } of all) {
    const bundle = sourcePeer === undefined ? undefined : mesh.peers.bundle(sourcePeer)
    if (bundle !== undefined) peers.set(sourcePeer!, { trustDomain: bundle.trustDomain, exportedPartition: DEFAULT_TENANCY })
  }
  const options = { defaultAction: mesh.defaultPolicy(), http, trustDomain, peers, jwtIssuers: jwtIssuers(entries) }
  return {
    intentions,
    rbac: compileIntentions(intentions, options),
    ...(all.length === intentions.length ? {} : { shadowRbac: compileIntentions(all, options) }),
    jwtProviders: http ? jwtProviders(all, entries) : [],
  }
}

function jwtProviders(intentions: readonly Intention[], entries: ConfigEntryIndex): JwtProvider[] {
  const names = new Set<string>()
  for (const { jwt, permissions = [] } of intentions)
    for (const requirement of [jwt, ...permissions.map(permission => permission.JWT)])
      for (const provider of requirement?.Providers ?? []) names.add(provider.Name)
  return [...names]
    .sort()
    .map(name => entries.get('jwt-provider', name))
    .filter(entry => entry !== undefined)
}
