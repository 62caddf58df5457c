// Names by c-ares: queries through node:dns Resolver, never dns.lookup (its four threads would stall everything else), or over TCP where
// the config says so. Hosts file, `localhost` and the search list of resolv.conf are honoured as c-ares' getaddrinfo does for Envoy.
// c-ares under Node takes a new socket for each query, so nothing here has to renew one.

import { Resolver } from 'node:dns'
import { isIP } from 'node:net'
import type { CaresResolver } from '../../model/dns-resolver.js'
import { localAddresses, routableFamilies, searchCandidates } from './local-names.js'
import { byFamily, type LookupFamily, MAX_ADDRESSES, type NameLookup, type Records } from './name-lookup.js'
import { type AddressRecord, queryOverTcp } from './tcp-query.js'

export interface CaresFiles {
  /** null = none. */
  readonly hostsFile: string | null
  /** Search and ndots only; servers are c-ares' business. null = none. */
  readonly resolvConf: string | null
}

/** c-ares' server where the system names none. */
const NO_SYSTEM_SERVER = '127.0.0.1'
const EMPTY: Records = { addresses: [], ttlSeconds: null }

export class CaresLookup implements NameLookup {
  private readonly config: CaresResolver
  private readonly files: CaresFiles
  /** By the place of the server that is asked first; one, unless servers rotate. */
  private channels: (Resolver | undefined)[] = []
  private servers: readonly string[] | null = null
  private turn = 0

  constructor(config: CaresResolver, files: CaresFiles) {
    this.config = config
    this.files = files
  }

  async lookup(name: string, family: LookupFamily): Promise<Records> {
    const { hostsFile, resolvConf } = this.files
    const { skipUnroutableFamilies, searchDomains } = this.config
    const routable = skipUnroutableFamilies ? routableFamilies() : { v4: true, v6: true }
    const local = await localAddresses(name, family === 'V6_ONLY', hostsFile)
    if (local !== null) {
      const chosen = byFamily(
        local.filter(address => (isIP(address) === 4 ? routable.v4 : routable.v6)),
        family,
      )
      if (chosen.length > 0) return { addresses: chosen, ttlSeconds: null }
    }
    let last = EMPTY
    for (const candidate of await searchCandidates(name, searchDomains ? resolvConf : null)) {
      last = await this.queryFamilies(candidate, family, routable)
      if (last.addresses.length > 0) break
    }
    return last
  }

  close(): void {
    for (const channel of this.channels) channel?.cancel()
    this.channels = []
  }

  private async queryFamilies(name: string, family: LookupFamily, routable: { v4: boolean; v6: boolean }): Promise<Records> {
    const query = (version: 4 | 6): Promise<Records> =>
      (version === 4 ? routable.v4 : routable.v6) ? this.query(name, version) : Promise.resolve(EMPTY)
    switch (family) {
      case 'V4_ONLY':
        return query(4)
      case 'V6_ONLY':
        return query(6)
      case 'V4_PREFERRED':
        return firstWithRecords(query, [4, 6])
      case 'AUTO':
        return firstWithRecords(query, [6, 4])
      case 'ALL': {
        const [v4, v6] = await Promise.all([query(4), query(6)])
        return { addresses: [...v4.addresses, ...v6.addresses], ttlSeconds: smaller(v4.ttlSeconds, v6.ttlSeconds) }
      }
    }
  }

  private async query(name: string, version: 4 | 6): Promise<Records> {
    const records = this.config.tcp ? await this.askOverTcp(name, version) : await this.ask(name, version)
    const kept = records.slice(0, MAX_ADDRESSES)
    let ttlSeconds: number | null = null
    for (const { ttl } of kept) ttlSeconds = smaller(ttlSeconds, ttl)
    return { addresses: kept.map(({ address }) => address), ttlSeconds }
  }

  private ask(name: string, version: 4 | 6): Promise<AddressRecord[]> {
    const channel = this.channel()
    return new Promise((resolve, reject) => {
      const done = (error: NodeJS.ErrnoException | null, records: AddressRecord[] | undefined): void => {
        if (error === null) resolve(records ?? [])
        // No such name, or no such record: an answer, not a failure.
        else if (error.code === 'ENOTFOUND' || error.code === 'ENODATA') resolve([])
        else reject(error)
      }
      if (version === 4) channel.resolve4(name, { ttl: true }, done)
      else channel.resolve6(name, { ttl: true }, done)
    })
  }

  private async askOverTcp(name: string, version: 4 | 6): Promise<AddressRecord[]> {
    const servers = (this.servers ??= this.findServers())
    const first = this.nextTurn(servers.length)
    let failure: unknown = new Error('no servers')
    for (let attempt = 0; attempt < this.config.tries; attempt++) {
      for (let i = 0; i < servers.length; i++) {
        try {
          return await queryOverTcp(servers[(first + i) % servers.length]!, name, version, this.config.timeoutMs)
        } catch (error) {
          failure = error
        }
      }
    }
    throw failure
  }

  private channel(): Resolver {
    const { rotate, timeoutMs, tries } = this.config
    const servers = (this.servers ??= this.findServers())
    const first = this.nextTurn(servers.length)
    let channel = this.channels[first]
    if (channel === undefined) {
      channel = new Resolver({ timeout: timeoutMs, tries })
      // Left alone where nothing is configured: c-ares then follows a system whose servers change.
      if (rotate || this.config.servers.length > 0) channel.setServers([...servers.slice(first), ...servers.slice(0, first)])
      this.channels[first] = channel
    }
    return channel
  }

  /** Whose place in the list is first now. */
  private nextTurn(servers: number): number {
    if (!this.config.rotate || servers === 0) return 0
    this.turn = (this.turn + 1) % servers
    return this.turn
  }

  private findServers(): readonly string[] {
    const { servers, serversAsFallback } = this.config
    if (servers.length > 0 && !serversAsFallback) return servers
    const system = new Resolver().getServers()
    return servers.length > 0 && (system.length === 0 || (system.length === 1 && system[0] === NO_SYSTEM_SERVER)) ? servers : system
  }
}

/** The second family is asked when the first has nothing, and also when it fails: many servers mistreat AAAA. */
async function firstWithRecords(query: (version: 4 | 6) => Promise<Records>, versions: readonly [4 | 6, 4 | 6]): Promise<Records> {
  let failure: unknown = null
  try {
    const records = await query(versions[0])
    if (records.addresses.length > 0) return records
  } catch (error) {
    failure = error
  }
  const second = await query(versions[1])
  if (second.addresses.length === 0 && failure !== null) throw failure
  return second
}

function smaller(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}
