// Which intentions speak of a destination, in which order, and which of them speak of a given source.
// Used by the RBAC compiler, `decide`, the intention table and the HTTP API's match endpoint.
// Invariant: the list is in order of precedence; the first intention whose source matches decides, the rest are shadowed.
import { SHADOW_META } from '../config-entries/rules-intentions.js'
import type { ConfigEntryIndex, ServiceIntentions } from '../config-entries/types.js'
import type { Intention, SourceIdentity } from './types.js'

const DEFAULT_TENANCY = 'default'

/** The intentions that are enforced for the service `destination`: those of its own entry and of the wildcard entry. */
export function intentionsFor(entries: ConfigEntryIndex, destination: string): Intention[] {
  return withShadowsFor(entries, destination).filter(({ shadow }) => shadow !== true)
}

/** Those that are only counted and logged, too: what would be, if they were enforced. */
export function withShadowsFor(entries: ConfigEntryIndex, destination: string): Intention[] {
  const own = entries.get('service-intentions', destination)
  const wildcard = destination === '*' ? undefined : entries.get('service-intentions', '*')
  return sortIntentions([...(own ? flattenEntry(own) : []), ...(wildcard ? flattenEntry(wildcard) : [])])
}

/** Whether this source of the entry is in shadow. */
function isShadow({ Meta }: ServiceIntentions, source: string): boolean {
  const shadow = Meta?.[SHADOW_META]
  return shadow !== undefined && (shadow === 'true' || shadow.split(',').some(name => name.trim() === source))
}

export function flattenEntry(entry: ServiceIntentions): Intention[] {
  return entry.Sources.map(source => {
    const sourceNamespace = source.Namespace ?? DEFAULT_TENANCY
    const sourcePartition = source.Partition ?? DEFAULT_TENANCY
    return {
      name: `${sourceLabel(source.Name, sourceNamespace, sourcePartition, source.Peer)} -> ${entry.Name}`,
      source: source.Name,
      sourceNamespace,
      sourcePartition,
      ...(source.Peer !== undefined && { sourcePeer: source.Peer }),
      destination: entry.Name,
      precedence: source.Precedence,
      ...(source.Action !== undefined && { action: source.Action }),
      ...(source.Permissions !== undefined && { permissions: source.Permissions }),
      ...(entry.JWT !== undefined && { jwt: entry.JWT }),
      ...(source.Description !== undefined && { description: source.Description }),
      ...(isShadow(entry, source.Name) && { shadow: true as const }),
    }
  })
}

export function sourceLabel(name: string, namespace: string, partition: string, peer: string | undefined): string {
  const inNamespace = namespace === DEFAULT_TENANCY ? name : `${namespace}/${name}`
  if (peer !== undefined) return `peer:${peer}/${inNamespace}`
  return partition === DEFAULT_TENANCY ? inNamespace : `${partition}/${namespace}/${name}`
}

/** Highest precedence first; equals by name, so that the order never depends on how entries were stored. */
export function sortIntentions(intentions: readonly Intention[]): Intention[] {
  return [...intentions].sort((a, b) => b.precedence - a.precedence || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

export function sourceMatches(intention: Intention, source: SourceIdentity): boolean {
  return (
    (intention.sourcePeer ?? '') === (source.peer ?? '') &&
    (source.peer !== undefined || intention.sourcePartition === (source.partition ?? DEFAULT_TENANCY)) &&
    (intention.sourceNamespace === '*' || intention.sourceNamespace === (source.namespace ?? DEFAULT_TENANCY)) &&
    (intention.source === '*' || intention.source === source.service)
  )
}

/** The intentions that can decide at all: one for each source, the others with the same source are shadowed by it. */
export function withoutShadowed(sorted: readonly Intention[]): Intention[] {
  const seen = new Set<string>()
  return sorted.filter(({ sourcePeer = '', sourcePartition, sourceNamespace, source }) => {
    const key = JSON.stringify([sourcePeer, sourcePartition, sourceNamespace, source])
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}
