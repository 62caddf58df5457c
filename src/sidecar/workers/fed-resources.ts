// The resources that the primary accepted, as bytes, by type and source. The primary keeps them for workers that start later; a worker
// keeps what it may want later than it came (a secret of a cluster that nobody has dialled yet). Written by WorkerPool and WorkerFeed.
// Invariant: it holds what is subscribed now, so it is bounded by the config.

import { type ConfigSource, sourceKey } from '../../model/config-source.js'
import type { XdsResource } from '../../xds/client/client.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_CONFIG_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  RUNTIME_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
} from '../../xds/type-urls.js'

/** An update as it goes to the workers: only what was accepted. */
export interface FedUpdate {
  readonly typeUrl: string
  readonly source: ConfigSource
  readonly resources: readonly XdsResource[]
  readonly removed: readonly string[]
  /** Names that were asked for on demand, and that the server does not have; secrets that nobody is to wait for. */
  readonly absent?: readonly string[]
}

/** Who names others comes before the named. */
const ORDER = [
  RUNTIME_TYPE,
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  LISTENER_TYPE,
  EXTENSION_CONFIG_TYPE,
  SCOPED_ROUTE_TYPE,
  ROUTE_TYPE,
  VIRTUAL_HOST_TYPE,
  SECRET_TYPE,
]

interface Fed {
  readonly typeUrl: string
  readonly source: ConfigSource
  readonly resources: Map<string, XdsResource>
  /** Names of the resources that a request's name (alias) brought. */
  readonly byAlias: Map<string, Set<string>>
  /** Secrets that nobody waits for, though they are not here. */
  readonly absent: Set<string>
}

export class FedResources {
  private readonly groups = new Map<string, Fed>()

  apply({ typeUrl, source, resources, removed, absent = [] }: FedUpdate): void {
    const key = keyOf(typeUrl, source)
    let group = this.groups.get(key)
    // An empty one too: it says that the source has answered.
    if (group === undefined)
      this.groups.set(key, (group = { typeUrl, source, resources: new Map(), byAlias: new Map(), absent: new Set() }))
    for (const name of removed) take(group, name)
    for (const resource of resources) put(group, resource)
    // Of other types what requests ask for is never known to be complete.
    if (typeUrl === SECRET_TYPE) for (const name of [...removed, ...absent]) group.absent.add(name)
  }

  /** Nobody asks for these any more; `*`: for nothing of the type. */
  forget(typeUrl: string, source: ConfigSource, names: readonly string[]): void {
    const key = keyOf(typeUrl, source)
    const group = this.groups.get(key)
    if (group === undefined) return
    for (const name of names) {
      take(group, name)
      group.absent.delete(name)
    }
    if (names.includes('*') || group.resources.size + group.absent.size === 0) this.groups.delete(key)
  }

  /** What a subscription to the name brings. */
  get(typeUrl: string, source: ConfigSource, name: string): XdsResource[] {
    const group = this.groups.get(keyOf(typeUrl, source))
    if (group === undefined) return []
    const found = group.resources.has(name) ? [name] : [...(group.byAlias.get(name) ?? [])]
    return found.map(one => group.resources.get(one)!)
  }

  /** Of these names. */
  absent(typeUrl: string, source: ConfigSource, names: readonly string[]): string[] {
    const group = this.groups.get(keyOf(typeUrl, source))
    return group === undefined ? [] : names.filter(name => group.absent.has(name))
  }

  /** Of one type and source. */
  all(typeUrl: string, source: ConfigSource): XdsResource[] {
    return [...(this.groups.get(keyOf(typeUrl, source))?.resources.values() ?? [])]
  }

  /** All of it, in the order in which it can be applied. */
  updates(): FedUpdate[] {
    return [...this.groups.values()]
      .map(({ typeUrl, source, resources, absent }) => ({
        typeUrl,
        source,
        resources: [...resources.values()],
        removed: [],
        ...(absent.size === 0 ? {} : { absent: [...absent] }),
      }))
      .sort((a, b) => ORDER.indexOf(a.typeUrl) - ORDER.indexOf(b.typeUrl))
  }
}

function put(group: Fed, resource: XdsResource): void {
  const { name, aliases = [] } = resource
  unlink(group, name)
  group.resources.set(name, resource)
  for (const alias of aliases) {
    const names = group.byAlias.get(alias)
    if (names === undefined) group.byAlias.set(alias, new Set([name]))
    else names.add(name)
  }
}

function take(group: Fed, name: string): void {
  unlink(group, name)
  group.resources.delete(name)
}

function unlink({ resources, byAlias }: Fed, name: string): void {
  const { aliases = [] } = resources.get(name) ?? {}
  for (const alias of aliases) {
    const names = byAlias.get(alias)
    if (names?.delete(name) === true && names.size === 0) byAlias.delete(alias)
  }
}

function keyOf(typeUrl: string, source: ConfigSource): string {
  return `${typeUrl} ${sourceKey(source)}`
}
