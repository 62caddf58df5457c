// Virtual hosts that come over VHDS, by the source they come from: each is named `<route table>/<host>` and belongs to the table of that
// name. RouteRegistry holds a source while a table in use names it, and puts the hosts into the tables. Invariant: a source sends its hosts
// once, whoever asks later, so all of them are kept while the source is held.

import type { ConfigError } from '../model/config-error.js'
import { type ConfigSource, sourceKey } from '../model/config-source.js'
import type { VirtualHost } from '../model/route.js'
import { tableOf } from '../model/virtual-host-name.js'

interface Held {
  readonly source: ConfigSource
  users: number
  /** The first update has come. */
  seen: boolean
  readonly hosts: Map<string, VirtualHost>
  /** Names that came in the update under way: two of them may not share a domain. */
  readonly fresh: Set<string>
}

export class VirtualHostStore {
  private readonly held = new Map<string, Held>()

  hold(source: ConfigSource): void {
    const key = sourceKey(source)
    const held = this.held.get(key)
    if (held === undefined) this.held.set(key, { source, users: 1, seen: false, hosts: new Map(), fresh: new Set() })
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
    const others = [...held.fresh].filter(other => other !== name && tableOf(other) === table).map(other => held.hosts.get(other)!)
    host.domains.forEach((domain, i) => {
      if (taken.has(domain) || others.some(other => other.domains.includes(domain)))
        errors.push({ path: `domains[${i}]`, reason: `duplicate entry '${domain}' in route '${table}'` })
    })
    if (errors.length > 0) return errors
    held.hosts.set(name, host)
    held.fresh.add(name)
    return []
  }

  remove(source: ConfigSource, name: string): void {
    this.held.get(sourceKey(source))?.hosts.delete(name)
  }

  /** An update is over. */
  settle(source: ConfigSource): void {
    const held = this.held.get(sourceKey(source))
    if (held === undefined) return
    held.seen = true
    held.fresh.clear()
  }
}
