// What it takes to receive the mesh's connections to a service: its identity, and its intentions compiled. Called by the kinds of proxies,
// of which a sidecar does so for one service and a terminating gateway for each that it stands before.
import type { ConfigEntryIndex, JwtProvider } from '../config-entries/types.js'
import { DEFAULT_TENANCY } from '../discovery-chain/names.js'
import { compileIntentions, jwtIssuers, type PeerIdentity } from '../intentions/compile.js'
import { intentionsFor, withShadowsFor } from '../intentions/match.js'
import { quoteMeta } from '../intentions/spiffe-pattern.js'
import type { CompiledIntentions, Intention } from '../intentions/types.js'
import { consumersOf } from '../peering/exported-services.js'
import type { PeerBundle } from '../peering/peering-types.js'
import type { Federation } from '../spiffe/federation-types.js'
import { idFromTemplate, patternOfTemplate } from '../spiffe/id-template.js'
import { trustDomainOf, workloadIdOf, workloadIds } from '../spiffe/workload-ids.js'
import type { BuildContext } from './kinds/proxy-kind.js'
import type { ProxyCertificate, ProxyIdentity } from './proxy-view.js'

/** No certificate has it. */
const NOBODY = 'spiffe://unknown.invalid/nobody'

/** Undefined: the service has no certificate yet. */
export function identityOf(service: string, context: BuildContext): ProxyIdentity | undefined {
  const { mesh, entries } = context
  const id = workloadIdOf(service, entries, mesh.datacenter)
  return id === undefined ? issuedIdentityOf(service, context) : withCertificate({ kind: 'workload', id }, context)
}

/** By the mesh's own CA, whatever the service has elsewhere: of what stands behind a gateway, which shows it in its place. */
function issuedIdentityOf(service: string, context: BuildContext): ProxyIdentity | undefined {
  const leaf = context.mesh.leaf(service)
  return leaf && withCertificate({ kind: 'issued', chainPem: leaf.chainPem, keyPem: leaf.keyPem }, context)
}

function withCertificate(certificate: ProxyCertificate, { mesh }: BuildContext): ProxyIdentity {
  return { trustDomain: mesh.trustDomain, datacenter: mesh.datacenter, certificate, rootsPem: mesh.rootsPem(), otherBundles: [] }
}

/** The same for who is called by it: also by the peers that the service is exported to, and by federated trust domains. */
export function inboundIdentityOf(service: string, context: BuildContext): ProxyIdentity | undefined {
  return withCallers(service, identityOf(service, context), context)
}

export function inboundIssuedIdentityOf(service: string, context: BuildContext): ProxyIdentity | undefined {
  return withCallers(service, issuedIdentityOf(service, context), context)
}

function withCallers(service: string, identity: ProxyIdentity | undefined, context: BuildContext): ProxyIdentity | undefined {
  if (identity === undefined) return undefined
  const { mesh, entries } = context
  const { peers, federations } = mesh
  const consumers = consumersOf(service, entries)
  // A trust domain has one bundle: what an operator has federated with goes over what a peer says of itself.
  const bundles = [
    ...consumers.flatMap(peer => peers.bundle(peer) ?? []),
    ...consumers.flatMap(name => federations.named(name)?.bundle ?? []),
    ...federations.ofMesh(),
    ...callersFromElsewhere(service, context),
  ].filter(({ trustDomain }) => trustDomain !== mesh.trustDomain)
  return { ...identity, otherBundles: [...new Map(bundles.map(bundle => [bundle.trustDomain, bundle])).values()] }
}

/** Of the trust domains of those whom the intentions let in by name. */
function callersFromElsewhere(service: string, { mesh, entries }: BuildContext): PeerBundle[] {
  return intentionsFor(entries, service).flatMap(({ source, sourcePeer, action }) => {
    const id = sourcePeer !== undefined || action === 'deny' ? undefined : workloadIdOf(source, entries, mesh.datacenter)
    return (id === undefined ? undefined : mesh.federations.bundleOf(trustDomainOf(id))) ?? []
  })
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
    const peer = sourcePeer === undefined ? undefined : peerIdentityOf(sourcePeer, mesh)
    if (peer !== undefined) peers.set(sourcePeer!, peer)
  }
  const options = {
    defaultAction: mesh.defaultPolicy(),
    http,
    trustDomain,
    peers,
    workloadIds: workloadIds(
      entries,
      mesh.datacenter,
      mesh.federations.ofMesh().map(bundle => bundle.trustDomain),
    ),
    jwtIssuers: jwtIssuers(entries),
  }
  return {
    intentions,
    rbac: compileIntentions(intentions, options),
    ...(all.length === intentions.length ? {} : { shadowRbac: compileIntentions(all, options) }),
    jwtProviders: http ? jwtProviders(all, entries) : [],
  }
}

/** A peer, or a federated trust domain, which intentions name alike. */
function peerIdentityOf(name: string, { peers, federations, datacenter }: BuildContext['mesh']): PeerIdentity | undefined {
  const bundle = peers.bundle(name)
  if (bundle !== undefined) return { trustDomain: bundle.trustDomain, exportedPartition: DEFAULT_TENANCY }
  const federation = federations.named(name)
  if (federation === undefined) return undefined
  const names = { namespace: DEFAULT_TENANCY, datacenter }
  return {
    trustDomain: federation.bundle.trustDomain,
    exportedPartition: DEFAULT_TENANCY,
    idPattern: service => idPattern(federation, service, names),
  }
}

/** Of a trust domain without a template `*` is every workload, and a name is the path. */
function idPattern({ bundle, idTemplate }: Federation, service: string, names: { namespace: string; datacenter: string }): string {
  const template = idTemplate ?? `spiffe://${bundle.trustDomain}/{service}`
  if (service !== '*') return `^${quoteMeta(idFromTemplate(template, { ...names, service }) ?? NOBODY)}$`
  return idTemplate === undefined ? `^spiffe://${quoteMeta(bundle.trustDomain)}/.+$` : patternOfTemplate(template, names)
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
