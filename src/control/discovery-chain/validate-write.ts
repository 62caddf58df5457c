// Would this write (or delete) of config entries break something that works? (write-time validation)
// Called by the HTTP API and the mesh file before the store is touched; a non-empty answer refuses the write and nothing changes.
// Looks only at what the change can reach: services whose chain leads through a changed name, intentions on changed services,
// users of a changed JWT provider. Several changes at once are judged by the state after all of them.
import { foreignFields } from '../config-entries/entry-fields.js'
import { type EntryChange, withChanges } from '../config-entries/entry-index.js'
import type { ConfigEntryIndex, ConfigEntryKind, ConfigError, JwtRequirement, ServiceIntentions } from '../config-entries/types.js'
import { compileDiscoveryChain } from './compile.js'
import { isHttpLike, serviceProtocol } from './service-protocol.js'
import type { CompiledDiscoveryChain } from './types.js'

export interface WriteContext {
  readonly datacenter: string
  readonly trustDomain: string
}

export interface WriteRequest extends Partial<WriteContext> {
  /** As they are before the write. */
  readonly entries: ConfigEntryIndex
  readonly change: EntryChange | readonly EntryChange[]
}

export function validateWrite({ entries: before, change, datacenter = 'dc1', trustDomain = 'consul' }: WriteRequest): ConfigError[] {
  const context: WriteContext = { datacenter, trustDomain }
  const all: readonly EntryChange[] = 'op' in change ? [change] : change
  const after = withChanges(before, all)
  const errors: ConfigError[] = []
  const affected = affectedServices(after, all)
  for (const service of affected.chains) {
    const result = compileDiscoveryChain({ service, entries: after, ...context })
    if ('errors' in result) errors.push(...result.errors)
    else errors.push(...exportErrors(service, result.chain, before, after, context))
  }
  for (const service of affected.intentions) {
    const entry = after.get('service-intentions', service)
    if (entry !== undefined) errors.push(...intentionErrors(entry, after))
  }
  for (const change of all) {
    if (change.op === 'put') errors.push(...foreignFields(change.entry, datacenter), ...mutualTlsErrors(change.entry, after))
    else if (change.kind === 'jwt-provider') errors.push(...providerInUse(change.name, after))
  }
  return errors.filter((error, i) => errors.findIndex(other => other.path === error.path && other.reason === error.reason) === i)
}

const CHAIN_KINDS: ReadonlySet<ConfigEntryKind> = new Set<ConfigEntryKind>([
  'service-defaults',
  'service-router',
  'service-splitter',
  'service-resolver',
])

/** Services whose chain may come out differently, and destinations whose intentions must be looked at again. */
function affectedServices(after: ConfigEntryIndex, changes: readonly EntryChange[]) {
  const chains = new Set<string>()
  const intentions = new Set<string>()
  for (const change of changes) {
    const kind = change.op === 'put' ? change.entry.Kind : change.kind
    const name = change.op === 'put' ? change.entry.Name : change.name
    if (CHAIN_KINDS.has(kind)) chains.add(name)
    if (kind === 'service-intentions') intentions.add(name)
    if (kind === 'proxy-defaults') {
      for (const routed of ['service-router', 'service-splitter', 'service-resolver', 'service-defaults'] as const) {
        for (const entry of after.list(routed)) chains.add(entry.Name)
      }
      for (const entry of after.list('service-intentions')) intentions.add(entry.Name)
    }
    if (kind === 'exported-services') {
      for (const entry of after.list('exported-services')) for (const service of entry.Services) chains.add(service.Name)
      chains.delete('*')
    }
  }
  // Against the direction of the references: whoever leads to a changed service is affected as well.
  const referrers = chains.size > 0 ? referrersOf(after) : new Map<string, Set<string>>()
  for (const service of chains) for (const referrer of referrers.get(service) ?? []) chains.add(referrer)
  for (const service of chains) intentions.add(service)
  return { chains, intentions }
}

/** Service → services whose router, splitter or resolver names it. */
function referrersOf(entries: ConfigEntryIndex): Map<string, Set<string>> {
  const referrers = new Map<string, Set<string>>()
  const refer = (from: string, to: string | undefined) => {
    if (to === undefined || to === from) return
    const known = referrers.get(to)
    if (known === undefined) referrers.set(to, new Set([from]))
    else known.add(from)
  }
  for (const entry of entries.list('service-router')) for (const route of entry.Routes) refer(entry.Name, route.Destination?.Service)
  for (const entry of entries.list('service-splitter')) for (const split of entry.Splits) refer(entry.Name, split.Service)
  for (const entry of entries.list('service-resolver')) {
    refer(entry.Name, entry.Redirect?.Service)
    for (const failover of Object.values(entry.Failover ?? {})) {
      refer(entry.Name, failover.Service)
      for (const target of failover.Targets ?? []) refer(entry.Name, target.Service)
    }
  }
  return referrers
}

function intentionErrors(entry: ServiceIntentions, after: ConfigEntryIndex): ConfigError[] {
  const errors: ConfigError[] = []
  const quoted = JSON.stringify(entry.Name)
  const hasPermissions = entry.Sources.some(source => source.Permissions !== undefined)
  if ((hasPermissions || entry.JWT !== undefined) && entry.Name !== '*') {
    const protocol = serviceProtocol(after, entry.Name)
    if (!isHttpLike(protocol)) {
      const what = hasPermissions ? 'L7 intentions permissions' : 'JWT requirements'
      errors.push({ path: '', reason: `service ${quoted} has protocol ${JSON.stringify(protocol)}, which is incompatible with ${what}` })
    }
  }
  for (const [path, name] of providersOf(entry)) {
    if (after.get('jwt-provider', name) === undefined) {
      errors.push({ path, reason: `JWT provider ${JSON.stringify(name)} does not exist (intentions of ${quoted})` })
    }
  }
  return errors
}

/** Every JWT provider the entry names, with the path of the name. */
function* providersOf(entry: ServiceIntentions): Generator<[path: string, name: string]> {
  const of = (path: string, jwt: JwtRequirement | undefined) =>
    (jwt?.Providers ?? []).map((provider, i): [string, string] => [`${path}.Providers[${i}].Name`, provider.Name])
  yield* of('JWT', entry.JWT)
  for (const [i, source] of entry.Sources.entries()) {
    for (const [j, permission] of (source.Permissions ?? []).entries()) {
      yield* of(`Sources[${i}].Permissions[${j}].JWT`, permission.JWT)
    }
  }
}

function providerInUse(name: string, after: ConfigEntryIndex): ConfigError[] {
  const users = after.list('service-intentions').filter(entry => [...providersOf(entry)].some(([, provider]) => provider === name))
  return users.map(entry => ({
    path: '',
    reason: `JWT provider ${JSON.stringify(name)} is still named by the intentions of ${JSON.stringify(entry.Name)}`,
  }))
}

function mutualTlsErrors(entry: Extract<EntryChange, { op: 'put' }>['entry'], after: ConfigEntryIndex): ConfigError[] {
  if (entry.Kind !== 'service-defaults' && entry.Kind !== 'proxy-defaults') return []
  if (entry.MutualTLSMode !== 'permissive' || after.get('mesh', 'mesh')?.AllowEnablingPermissiveMutualTLS) return []
  return [{ path: 'MutualTLSMode', reason: '"permissive" needs AllowEnablingPermissiveMutualTLS in the mesh config entry' }]
}

/** What is exported to a peer must stay in this datacenter, and over tcp must not gain an identity the peer has not been told of. */
function exportErrors(
  service: string,
  chain: CompiledDiscoveryChain,
  before: ConfigEntryIndex,
  after: ConfigEntryIndex,
  context: WriteContext,
): ConfigError[] {
  if (!isExportedToPeer(service, after)) return []
  const errors: ConfigError[] = []
  const targets = Object.values(chain.Targets)
  if (targets.some(target => target.Datacenter !== context.datacenter || target.Partition !== chain.Partition)) {
    errors.push({
      path: '',
      reason: `service ${JSON.stringify(service)} is exported to a peer, but its chain leaves the datacenter or partition`,
    })
  }
  if (isHttpLike(chain.Protocol) || !isExportedToPeer(service, before)) return errors
  const old = compileDiscoveryChain({ service, entries: before, ...context })
  if ('errors' in old) return errors
  const known = new Set(Object.values(old.chain.Targets).map(target => target.Service))
  for (const name of new Set(targets.map(target => target.Service))) {
    if (known.has(name)) continue
    errors.push({
      path: '',
      reason: `tcp service ${JSON.stringify(service)} is exported to a peer; its chain may not gain the identity of ${JSON.stringify(name)}`,
    })
  }
  return errors
}

function isExportedToPeer(service: string, entries: ConfigEntryIndex): boolean {
  return entries
    .list('exported-services')
    .some(entry =>
      entry.Services.some(
        exported =>
          (exported.Name === service || exported.Name === '*') && exported.Consumers.some(consumer => consumer.Peer !== undefined),
      ),
    )
}
