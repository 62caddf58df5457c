// Names to addresses for DNS clusters: gives each question to the way its cluster asks (NameLookup), keeps the last good answers, counts.
// Called by dns-discovery on its timers, never per request.
// Equal questions under way share one query; when a query fails, the last good answer stands in.

import { isIP } from 'node:net'
import type { CaresHandles } from '../../metrics/stat-names.js'
import { DEFAULT_DNS_RESOLVER, type DnsResolverConfig } from '../../model/dns-resolver.js'
import { type CaresFiles, CaresLookup } from './cares-lookup.js'
import { hostnameProblem } from './hostname.js'
import type { LookupFamily, NameLookup, Records } from './name-lookup.js'
import { SystemLookup } from './system-lookup.js'

export interface DnsAnswer extends Records {
  /** IP literals in the order of the answer. Empty: the name exists without addresses, or does not exist. */
  readonly addresses: readonly string[]
  /** True when the query failed and this is the last good answer. */
  readonly stale: boolean
}

export type DnsResult = { readonly ok: true; readonly answer: DnsAnswer } | { readonly ok: false; readonly reason: string }

export interface NameResolver {
  /** `config` null: the proxy's own. `done` is called once, asynchronously. Never throws. */
  resolve(hostname: string, family: LookupFamily, config: DnsResolverConfig | null, done: (result: DnsResult) => void): void
  close(): void
}

/** Names whose last good answer is kept. */
const MAX_CACHED_NAMES = 10_000
/** Questions under way; further ones fail at once. */
export const MAX_PENDING_QUERIES = 1_000
/** Distinct resolver configs. */
const MAX_LOOKUPS = 64

export interface DnsResolverOptions {
  /** Default /etc/hosts; null = none. */
  readonly hostsFile?: string | null
  /** Default /etc/resolv.conf; null = none. */
  readonly resolvConf?: string | null
  /** For clusters without a resolver of their own. */
  readonly config?: DnsResolverConfig
  /** `dns.cares.`, taken with the first question. */
  readonly stats?: () => CaresHandles
}

export class DnsResolver implements NameResolver {
  private readonly files: CaresFiles
  private readonly config: DnsResolverConfig
  private readonly lookups = new Map<string, NameLookup>()
  private readonly pending = new Map<string, ((result: DnsResult) => void)[]>()
  private readonly lastGood = new Map<string, Records>()
  private closed = false
  private readonly statsOf: (() => CaresHandles) | null
  private stats: CaresHandles | null = null

  constructor(options: DnsResolverOptions = {}) {
    const { hostsFile = '/etc/hosts', resolvConf = '/etc/resolv.conf' } = options
    this.files = { hostsFile, resolvConf }
    this.config = options.config ?? DEFAULT_DNS_RESOLVER
    this.statsOf = options.stats ?? null
  }

  resolve(hostname: string, family: LookupFamily, config: DnsResolverConfig | null, done: (result: DnsResult) => void): void {
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
    const name = hostname.toLowerCase()
    const how = JSON.stringify(config ?? this.config)
    const key = `${family} ${name} ${how}`
    const waiting = this.pending.get(key)
    if (waiting !== undefined) {
      waiting.push(done)
      return
    }
    const refused = this.refusal(how)
    if (refused !== null) {
      queueMicrotask(() => done({ ok: false, reason: refused }))
      return
    }
    this.pending.set(key, [done])
    this.stats ??= this.statsOf?.() ?? null
    if (this.stats !== null) {
      this.stats.resolve_total.value++
      this.stats.pending_resolutions.value = this.pending.size
    }
    this.lookupOf(how, config ?? this.config)
      .lookup(name, family)
      .then(
        records => this.finish(key, { ok: true, answer: { ...records, stale: false } }),
        (error: unknown) => this.finish(key, { ok: false, reason: reasonOf(error) }),
      )
  }

  close(): void {
    this.closed = true
    for (const lookup of this.lookups.values()) lookup.close()
    this.lookups.clear()
  }

  private refusal(how: string): string | null {
    if (this.closed) return 'resolver is closed'
    if (this.pending.size >= MAX_PENDING_QUERIES) return `more than ${MAX_PENDING_QUERIES} queries under way (maxPendingQueries)`
    if (this.lookups.size >= MAX_LOOKUPS && !this.lookups.has(how)) return `more than ${MAX_LOOKUPS} resolver configs (MAX_LOOKUPS)`
    return null
  }

  private lookupOf(how: string, config: DnsResolverConfig): NameLookup {
    let lookup = this.lookups.get(how)
    if (lookup === undefined) {
      lookup = config.kind === 'cares' ? new CaresLookup(config, this.files) : new SystemLookup(config)
      this.lookups.set(how, lookup)
    }
    return lookup
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
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  return code ?? (error instanceof Error ? error.message : 'unknown error')
}
