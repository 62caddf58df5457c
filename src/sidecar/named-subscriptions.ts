// The resources that are asked for by name (EDS, RDS, SDS, what requests demand), or as all that a source has (SRDS, VHDS), each from the source that its user
// names: the ADS stream, a stream or a poll of that type alone, or a file. XdsBridge says what is wanted; names of one type and source share a stream or a file watch, which ends with the
// last of them (but for sources whose names are kept apart). Invariant: a source is open exactly while something of it is wanted, so what is open is bounded by the config.

import { type ConfigSource, sourceKey } from '../model/config-source.js'
import type { AdsClient } from '../xds/client/client.js'
import type { DiscoveryClient } from '../xds/client/client-options.js'
import type { FileSubscription } from '../xds/client/file-subscription.js'

/** In place of a name: all that the source has of the type. */
export const EVERYTHING = '*'

/** A resource, and where from. */
export interface NamedResource {
  readonly name: string
  readonly source: ConfigSource
}

export interface NamedSubscriptionsOptions {
  /** Null when the bootstrap has no `ads_config`. */
  readonly ads: () => AdsClient | null
  /** Not started yet; null when the source cannot be reached. */
  readonly openClient: (source: Extract<ConfigSource, { kind: 'api' }>, typeUrl: string) => DiscoveryClient | null
  readonly closeClient: (client: DiscoveryClient) => void
  /** Each name has a stream of its own. */
  readonly isApart: (typeUrl: string, source: ConfigSource) => boolean
  /** Not started yet. */
  readonly openPoll: (source: Extract<ConfigSource, { kind: 'rest' }>, typeUrl: string) => DiscoveryClient | null
  /** Not started yet. */
  readonly openFile: (source: Extract<ConfigSource, { kind: 'path' }>, typeUrl: string) => FileSubscription | null
  readonly onSubscribed?: (typeUrl: string, source: ConfigSource, names: readonly string[]) => void
  readonly onUnsubscribed?: (typeUrl: string, source: ConfigSource, names: readonly string[]) => void
}

/** All names of one type from one source. */
interface Group {
  readonly typeUrl: string
  readonly source: ConfigSource
  readonly names: Set<string>
  readonly client: DiscoveryClient | null
  /** The client is this group's own, not the ADS stream. */
  readonly own: boolean
  readonly file: FileSubscription | null
}

export class NamedSubscriptions {
  private readonly options: NamedSubscriptionsOptions
  private readonly groups = new Map<string, Group>()

  constructor(options: NamedSubscriptionsOptions) {
    this.options = options
  }

  /** Everything that is wanted of a type now. Returns the names that no source is asked for any more. */
  replace(typeUrl: string, wanted: readonly NamedResource[]): string[] {
    const next = new Map<string, { source: ConfigSource; names: Set<string> }>()
    const all = new Set<string>()
    for (const { name, source } of wanted) {
      all.add(name)
      const key = this.groupKey(typeUrl, source, name)
      const known = next.get(key)
      if (known === undefined) next.set(key, { source, names: new Set([name]) })
      else known.names.add(name)
    }
    for (const [key, { source, names }] of next) {
      const group = this.groups.get(key)
      this.subscribe(key, typeUrl, source, group === undefined ? [...names] : [...names].filter(name => !group.names.has(name)))
    }
    const gone = new Set<string>()
    for (const [key, group] of [...this.groups]) {
      if (group.typeUrl !== typeUrl) continue
      const names = [...group.names].filter(name => next.get(key)?.names.has(name) !== true)
      this.unsubscribe(key, names)
      for (const name of names) if (!all.has(name)) gone.add(name)
    }
    return [...gone]
  }

  add(typeUrl: string, { name, source }: NamedResource): void {
    const key = this.groupKey(typeUrl, source, name)
    if (this.groups.get(key)?.names.has(name) !== true) this.subscribe(key, typeUrl, source, [name])
  }

  /** `keepsOpen`: the stream outlives its last name, as another one may be wanted any time. */
  remove(typeUrl: string, { name, source }: NamedResource, keepsOpen = false): void {
    const key = this.groupKey(typeUrl, source, name)
    if (this.groups.get(key)?.names.has(name) === true) this.unsubscribe(key, [name], keepsOpen)
  }

  close(): void {
    for (const { file } of this.groups.values()) file?.close()
    this.groups.clear()
  }

  private groupKey(typeUrl: string, source: ConfigSource, name: string): string {
    return `${typeUrl} ${sourceKey(source)}${this.options.isApart(typeUrl, source) ? ` ${name}` : ''}`
  }

  private subscribe(key: string, typeUrl: string, source: ConfigSource, names: readonly string[]): void {
    if (names.length === 0) return
    let group = this.groups.get(key)
    const isNew = group === undefined
    if (group === undefined) {
      group = this.open(typeUrl, source)
      this.groups.set(key, group)
    }
    for (const name of names) group.names.add(name)
    for (const what of whatsOf(names)) group.client?.subscribe(typeUrl, what)
    if (isNew && group.own) group.client?.start()
    // A file that is being watched has been read before this name was wanted.
    if (isNew) void group.file?.start()
    else void group.file?.load()
    this.options.onSubscribed?.(typeUrl, source, names)
  }

  private unsubscribe(key: string, names: readonly string[], keepsOpen = false): void {
    const group = this.groups.get(key)
    if (group === undefined || names.length === 0) return
    for (const name of names) group.names.delete(name)
    this.options.onUnsubscribed?.(group.typeUrl, group.source, names)
    const stays = group.names.size > 0 || keepsOpen
    if (stays || !group.own) for (const what of whatsOf(names)) group.client?.unsubscribe(group.typeUrl, what)
    if (stays) return
    this.groups.delete(key)
    group.file?.close()
    if (group.own && group.client !== null) this.options.closeClient(group.client)
  }

  private open(typeUrl: string, source: ConfigSource): Group {
    const group = { typeUrl, source, names: new Set<string>(), client: null, own: false, file: null }
    switch (source.kind) {
      case 'ads':
        return { ...group, client: this.options.ads() }
      case 'api':
        return { ...group, client: this.options.openClient(source, typeUrl), own: true }
      case 'rest':
        return { ...group, client: this.options.openPoll(source, typeUrl), own: true }
      case 'path':
        return { ...group, file: this.options.openFile(source, typeUrl) }
    }
  }
}

/** All that there is, and names beside it (virtual hosts on demand). */
function whatsOf(names: readonly string[]): (readonly string[] | { readonly wildcard: true })[] {
  const named = names.filter(name => name !== EVERYTHING)
  return [...(named.length < names.length ? [{ wildcard: true } as const] : []), ...(named.length > 0 ? [named] : [])]
}

/** Whether both are one stream, or one file; `static` secrets come from the bootstrap and from no source. */
export function isSameSource(one: ConfigSource | { readonly kind: 'static' }, other: ConfigSource): boolean {
  return one.kind !== 'static' && sourceKey(one) === sourceKey(other)
}
