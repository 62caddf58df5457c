// Names to addresses for STRICT_DNS and LOGICAL_DNS clusters: c-ares queries through node:dns Resolver, never dns.lookup (its four
// threads would stall everything else). Called by dns-discovery on its timers, never per request.
// Equal questions under way share one query; when a query fails, the last good answer stands in. Hosts file, `localhost`, IP literals
// and the search list of resolv.conf are honoured as c-ares' getaddrinfo does for Envoy.

import { Resolver } from 'node:dns'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { CaresHandles } from '../../metrics/stat-names.js'
import type { DnsOptions } from '../../model/cluster.js'

export interface DnsAnswer {
  /** IP literals in the order of the answer. Empty: the name exists without addresses, or does not exist. */
  readonly addresses: readonly string[]
  /** Smallest TTL; null where none applies (literals, hosts file). */
  readonly ttlSeconds: number | null
  /** True when the query failed and this is the last good answer. */
  readonly stale: boolean
}

export type DnsResult = { readonly ok: true; readonly answer: DnsAnswer } | { readonly ok: false; readonly reason: string }

export interface NameResolver {
  /** `done` is called once, asynchronously. Never throws. */
  resolve(hostname: string, family: DnsOptions['family'], servers: readonly string[], done: (result: DnsResult) => void): void
  close(): void
}

/** Names whose last good answer is kept. */
const MAX_CACHED_NAMES = 10_000
/** Questions under way; further ones fail at once. */
export const MAX_PENDING_QUERIES = 1_000
/** Distinct lists of servers (`dns_resolvers`). */
const MAX_SERVER_LISTS = 64
/** Addresses taken of one answer. */
const MAX_ADDRESSES = 10_000
/** Search domains tried (resolv.conf(5)). */
const MAX_SEARCH_DOMAINS = 6
const HOSTS_FILE_MAX_BYTES = 4 * 1024 * 1024

export interface DnsResolverOptions {
  /** Default /etc/hosts; null = none. */
  readonly hostsFile?: string | null
  /** Default /etc/resolv.conf (search and ndots only; servers are c-ares' business); null = none. */
  readonly resolvConf?: string | null
  readonly timeoutMs?: number
  readonly tries?: number
  /** `dns.cares.`, taken with the first question. */
  readonly stats?: () => CaresHandles
}

interface Records {
  readonly addresses: readonly string[]
  readonly ttlSeconds: number | null
}

export class DnsResolver implements NameResolver {
  private readonly hostsFile: string | null
  private readonly resolvConf: string | null
  private readonly timeoutMs: number
  private readonly tries: number
  private readonly resolvers = new Map<string, Resolver>()
  private readonly pending = new Map<string, ((result: DnsResult) => void)[]>()
  private readonly lastGood = new Map<string, Records>()
  private closed = false
  private readonly statsOf: (() => CaresHandles) | null
  private stats: CaresHandles | null = null

  constructor(options: DnsResolverOptions = {}) {
    this.hostsFile = options.hostsFile === undefined ? '/etc/hosts' : options.hostsFile
    this.resolvConf = options.resolvConf === undefined ? '/etc/resolv.conf' : options.resolvConf
    this.timeoutMs = options.timeoutMs ?? 5_000
    this.tries = options.tries ?? 3
    this.statsOf = options.stats ?? null
  }

  resolve(hostname: string, family: DnsOptions['family'], servers: readonly string[], done: (result: DnsResult) => void): void {
    const literal = hostname.startsWith('[') && hostname.endsWith(']') ? hostname.slice(1, -1) : hostname
    if (isIP(literal) !== 0) {
      queueMicrotask(() => done({ ok: true, answer: { addresses: [literal], ttlSeconds: null, stale: false } }))
      return
    }
    const problem = hostnameProblem(hostname)
    if (problem !== null) {
      queueMicrotask(() => done({ ok: false, reason: problem }))
      return
    }
    const key = `${family} ${servers.join(',')} ${hostname.toLowerCase()}`
    const waiting = this.pending.get(key)
    if (waiting !== undefined) {
      waiting.push(done)
      return
    }
    if (this.closed || this.pending.size >= MAX_PENDING_QUERIES) {
      const reason = this.closed ? 'resolver is closed' : `more than ${MAX_PENDING_QUERIES} queries under way (maxPendingQueries)`
      queueMicrotask(() => done({ ok: false, reason }))
      return
    }
    this.pending.set(key, [done])
    this.stats ??= this.statsOf?.() ?? null
    if (this.stats !== null) {
      this.stats.resolve_total.value++
      this.stats.pending_resolutions.value = this.pending.size
    }
    this.query(hostname, family, servers).then(
      records => this.finish(key, { ok: true, answer: { ...records, stale: false } }),
      (error: unknown) => this.finish(key, { ok: false, reason: reasonOf(error) }),
    )
  }

  close(): void {
    this.closed = true
    for (const resolver of this.resolvers.values()) resolver.cancel()
    this.resolvers.clear()
  }

  private finish(key: string, result: DnsResult): void {
    const waiting = this.pending.get(key) ?? []
    this.pending.delete(key)
    this.count(result)
    let told = result
    if (result.ok) {
      this.lastGood.delete(key)
      this.lastGood.set(key, result.answer)
      if (this.lastGood.size > MAX_CACHED_NAMES) this.lastGood.delete(this.lastGood.keys().next().value!)
    } else {
      const known = this.lastGood.get(key)
      if (known !== undefined) told = { ok: true, answer: { ...known, stale: true } }
    }
    for (const done of waiting) done(told)
  }

  private count(result: DnsResult): void {
    const { stats } = this
    if (stats === null) return
    stats.pending_resolutions.value = this.pending.size
    if (result.ok) {
      if (result.answer.addresses.length === 0) stats.not_found.value++
      return
    }
    stats.get_addr_failure.value++
    if (result.reason.includes('TIMEOUT')) stats.timeouts.value++
  }

  private async query(hostname: string, family: DnsOptions['family'], servers: readonly string[]): Promise<Records> {
    const name = hostname.toLowerCase()
    const local = isLocalhost(name) ? loopback(family) : await this.fromHostsFile(name)
    if (local !== null) {
      const chosen = byFamily(local, family)
      if (chosen.length > 0) return { addresses: chosen, ttlSeconds: null }
    }
    const resolver = this.resolverOf(servers)
    let last: Records = { addresses: [], ttlSeconds: null }
    for (const candidate of await this.candidates(name)) {
      last = await queryFamilies(resolver, candidate, family)
      if (last.addresses.length > 0) break
    }
    return last
  }

  private resolverOf(servers: readonly string[]): Resolver {
    const key = servers.join(',')
    let resolver = this.resolvers.get(key)
    if (resolver === undefined) {
      if (this.resolvers.size >= MAX_SERVER_LISTS) throw new Error(`more than ${MAX_SERVER_LISTS} lists of resolvers (MAX_SERVER_LISTS)`)
      resolver = new Resolver({ timeout: this.timeoutMs, tries: this.tries })
      if (servers.length > 0) resolver.setServers([...servers])
      this.resolvers.set(key, resolver)
    }
    return resolver
  }

  /** Absolute names to ask for, in order (resolv.conf search and ndots). */
  private async candidates(name: string): Promise<string[]> {
    if (name.endsWith('.') || this.resolvConf === null) return [name]
    const { search, ndots } = parseResolvConf(await readText(this.resolvConf))
    const qualified = search.map(domain => `${name}.${domain}`).filter(each => hostnameProblem(each) === null)
    const dots = name.split('.').length - 1
    return dots >= ndots ? [name, ...qualified] : [...qualified, name]
  }

  private async fromHostsFile(name: string): Promise<string[] | null> {
    if (this.hostsFile === null) return null
    const found: string[] = []
    for (const line of (await readText(this.hostsFile)).split('\n')) {
      const [address, ...names] = line.split('#', 1)[0]!.trim().split(/\s+/)
      if (address !== undefined && isIP(address) !== 0 && names.some(each => each.toLowerCase() === name)) found.push(address)
    }
    return found.length > 0 ? found : null
  }
}

/**
 * Why `hostname` cannot be asked for, or null. Checked at config and again at lookup: a NUL or other byte that C code would read
 * differently never reaches the resolver (CVE-2026-48930).
 */
export function hostnameProblem(hostname: string): string | null {
  const name = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
  if (name.length === 0 || name.length > 253) return `hostname must have 1 to 253 characters, has ${name.length}`
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    const plain =
      (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f
    if (!plain && code !== 0x2e) return `hostname has the character 0x${code.toString(16).padStart(2, '0')} at ${i}`
  }
  for (const label of name.split('.')) {
    if (label.length === 0 || label.length > 63) return `hostname has a label of ${label.length} characters`
  }
  return null
}

function isLocalhost(name: string): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  // RFC 6761, section 6.3
  return bare === 'localhost' || bare.endsWith('.localhost')
}

/** Where there is no IPv6 at all, `::1` is given only to who insists on it. */
function loopback(family: DnsOptions['family']): string[] {
  const hasV6 = Object.values(networkInterfaces()).some(list => list?.some(each => each.family === 'IPv6'))
  return hasV6 || family === 'V6_ONLY' ? ['127.0.0.1', '::1'] : ['127.0.0.1']
}

function byFamily(addresses: readonly string[], family: DnsOptions['family']): string[] {
  const v4 = addresses.filter(address => isIP(address) === 4)
  const v6 = addresses.filter(address => isIP(address) === 6)
  switch (family) {
    case 'V4_ONLY':
      return v4
    case 'V6_ONLY':
      return v6
    case 'V4_PREFERRED':
      return v4.length > 0 ? v4 : v6
    case 'AUTO':
      return v6.length > 0 ? v6 : v4
    case 'ALL':
      return [...v4, ...v6]
  }
}

async function queryFamilies(resolver: Resolver, name: string, family: DnsOptions['family']): Promise<Records> {
  switch (family) {
    case 'V4_ONLY':
      return queryOne(resolver, name, 4)
    case 'V6_ONLY':
      return queryOne(resolver, name, 6)
    case 'V4_PREFERRED':
      return firstWithRecords(resolver, name, [4, 6])
    case 'AUTO':
      return firstWithRecords(resolver, name, [6, 4])
    case 'ALL': {
      const [v4, v6] = await Promise.all([queryOne(resolver, name, 4), queryOne(resolver, name, 6)])
      return { addresses: [...v4.addresses, ...v6.addresses], ttlSeconds: smaller(v4.ttlSeconds, v6.ttlSeconds) }
    }
  }
}

/** The second family is asked when the first has nothing, and also when it fails: many servers mistreat AAAA. */
async function firstWithRecords(resolver: Resolver, name: string, versions: readonly [4 | 6, 4 | 6]): Promise<Records> {
  let failure: unknown = null
  try {
    const records = await queryOne(resolver, name, versions[0])
    if (records.addresses.length > 0) return records
  } catch (error) {
    failure = error
  }
  const second = await queryOne(resolver, name, versions[1])
  if (second.addresses.length === 0 && failure !== null) throw failure
  return second
}

function queryOne(resolver: Resolver, name: string, version: 4 | 6): Promise<Records> {
  return new Promise((resolve, reject) => {
    const done = (error: NodeJS.ErrnoException | null, records: { address: string; ttl: number }[] | undefined) => {
      // No such name, or no such record: an answer, not a failure.
      if (error !== null && error.code !== 'ENOTFOUND' && error.code !== 'ENODATA') return reject(error)
      const kept = error !== null || records === undefined ? [] : records.slice(0, MAX_ADDRESSES)
      let ttlSeconds: number | null = null
      for (const record of kept) ttlSeconds = smaller(ttlSeconds, record.ttl)
      resolve({ addresses: kept.map(record => record.address), ttlSeconds })
    }
    if (version === 4) resolver.resolve4(name, { ttl: true }, done)
    else resolver.resolve6(name, { ttl: true }, done)
  })
}

function smaller(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}

function parseResolvConf(text: string): { search: string[]; ndots: number } {
  let search: string[] = []
  let ndots = 1
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.split(/[#;]/, 1)[0]!.trim().split(/\s+/)
    if (keyword === 'search' || keyword === 'domain') search = values.filter(value => value !== '.')
    if (keyword === 'options') {
      for (const value of values) {
        const match = /^ndots:(\d{1,2})$/.exec(value)
        if (match !== null) ndots = Math.min(15, Number(match[1]))
      }
    }
  }
  return { search: search.slice(0, MAX_SEARCH_DOMAINS), ndots }
}

async function readText(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    return bytes.length > HOSTS_FILE_MAX_BYTES ? '' : bytes.toString('latin1')
  } catch {
    return ''
  }
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  return code ?? (error instanceof Error ? error.message : 'unknown error')
}
