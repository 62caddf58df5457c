// Virtual hosts that come over VHDS, by the source they come from: each is named `<route table>/<host>` and belongs to the table of that
// name. RouteRegistry holds a source while a table in use names it, and puts the hosts into the tables. Invariant: a source sends its hosts
// once, whoever asks later, so all of them are kept while the source is held.

import { isDeepStrictEqual } from 'node:util'
import type { ConfigError } from '../model/config-error.js'
import { type ConfigSource, sourceKey } from '../model/config-source.js'
import type { VirtualHost } from '../model/route.js'
import { tableOf } from '../model/virtual-host-name.js'

const NO_TABLES: ReadonlySet<string> = new Set()

interface Held {
  readonly source: ConfigSource
  users: number
  /** The first update has come. */
  seen: boolean
  readonly hosts: Map<string, VirtualHost>
  /** Whose is each domain (`<table>/<domain>`) that came in the update under way: two virtual hosts may not share one. */
  readonly freshDomains: Map<string, string>
  /** Tables whose hosts changed in the update under way. */
  readonly changed: Set<string>
}

export class VirtualHostStore {
  private readonly held = new Map<string, Held>()

  hold(source: ConfigSource): void {
    const key = sourceKey(source)
    const held = this.held.get(key)
    if (held === undefined)
      this.held.set(key, { source, users: 1, seen: false, hosts: new Map(), freshDomains: new Map(), changed: new Set() })
    else held.users++
  }

  drop(source: ConfigSource): void {
    const key = sourceKey(source)
    const held = this.held.get(key)
    if (held !== undefined && --held.users === 0) this.held.delete(key)
  }

  sources(): ConfigSource[] {
    return [...this.held.values()].map(({ source }) => source)
  }

  seen(source: ConfigSource): boolean {
    return this.held.get(sourceKey(source))?.seen === true
  }

  /** In the order in which they first came. */
  of(source: ConfigSource, table: string): VirtualHost[] {
    const hosts = this.held.get(sourceKey(source))?.hosts ?? new Map<string, VirtualHost>()
    return [...hosts].filter(([name]) => tableOf(name) === table).map(([, host]) => host)
  }

  /** `taken`: domains of the table itself. */
  put(source: ConfigSource, name: string, host: VirtualHost, taken: ReadonlySet<string>): readonly ConfigError[] {
    const held = this.held.get(sourceKey(source))
    if (held === undefined) return []
    const errors: ConfigError[] = []
    const table = tableOf(name)
    const { hosts, freshDomains, changed } = held
    host.domains.forEach((domain, i) => {
      if (taken.has(domain) || (freshDomains.get(`${table}/${domain}`) ?? name) !== name)
        errors.push({ path: `domains[${i}]`, reason: `duplicate entry '${domain}' in route '${table}'` })
    })
    if (errors.length > 0) return errors
    for (const domain of host.domains) freshDomains.set(`${table}/${domain}`, name)
    if (!isDeepStrictEqual(hosts.get(name), host)) {
      hosts.set(name, host)
      changed.add(table)
    }
    return []
  }

  remove(source: ConfigSource, name: string): void {
    const held = this.held.get(sourceKey(source))
    if (held?.hosts.delete(name) === true) held.changed.add(tableOf(name))
  }

  /** An update is over. Returns the tables that are another now; null: it is the first, so all of them are. */
  settle(source: ConfigSource): ReadonlySet<string> | null {
    const held = this.held.get(sourceKey(source))
    if (held === undefined) return NO_TABLES
    const first = !held.seen
    const changed = new Set(held.changed)
    held.seen = true
    held.freshDomains.clear()
    held.changed.clear()
    return first ? null : changed
  }
}
