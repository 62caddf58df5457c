// Endpoints of STRICT_DNS and LOGICAL_DNS clusters: asks for every name of the config on a timer and turns the answers into endpoints.
// Owned by UpstreamCluster, which gets the whole list after every change; asks through a NameResolver.
// STRICT_DNS: every address of an answer is an endpoint, an empty answer removes them. LOGICAL_DNS: one host, dialled at the first
// address; an empty answer changes nothing. A failed query keeps what there was and is repeated with backoff.

import { isIP } from 'node:net'
import { fullJitterMs } from '../../io/backoff.js'
import type { Clock, Timer } from '../../io/clock.js'
import type { DnsOptions } from '../../model/cluster.js'
import type { Endpoint, EndpointAssignment, LocalityEndpoints } from '../../model/endpoint.js'
import type { DnsResult, NameResolver } from './dns-resolver.js'

export interface DnsHooks {
  /** New endpoints of the whole cluster. `logicalAddress`: where LOGICAL_DNS dials now. */
  onEndpoints(localities: readonly LocalityEndpoints[], logicalAddress: string | null): void
  /** Every name has been asked for once, with whatever result. */
  onFirstAnswers(): void
  onAttempt(): void
  onSuccess(changed: boolean): void
  onFailure(hostname: string, reason: string): void
  readonly clock: Clock
  readonly random: () => number
}

interface Target {
  readonly group: number
  readonly place: number
  readonly hostname: string
  readonly port: number
  addresses: readonly string[]
  /** Why the last query gave no address; '' where it did. */
  problem: string
  answered: boolean
  failures: number
  timer: Timer | null
}

/** A TTL of 0 would ask without pause. */
const MIN_REFRESH_MS = 1

export class DnsDiscovery {
  private readonly assignment: EndpointAssignment
  private readonly options: DnsOptions
  private readonly logical: boolean
  private readonly resolver: NameResolver
  private readonly hooks: DnsHooks
  private readonly targets: Target[] = []
  private unanswered = 0
  private closed = false

  constructor(assignment: EndpointAssignment, options: DnsOptions, logical: boolean, resolver: NameResolver, hooks: DnsHooks) {
    this.assignment = assignment
    this.options = options
    this.logical = logical
    this.resolver = resolver
    this.hooks = hooks
    assignment.localities.forEach((locality, group) => {
      locality.endpoints.forEach((endpoint, place) => {
        if (endpoint.address.kind !== 'socket') return
        const { host: hostname, port } = endpoint.address
        this.targets.push({ group, place, hostname, port, addresses: [], problem: '', answered: false, failures: 0, timer: null })
      })
    })
    this.unanswered = this.targets.length
  }

  start(): void {
    if (this.targets.length === 0) this.hooks.onFirstAnswers()
    for (const target of this.targets) this.ask(target)
  }

  /** Of the first name without an address. */
  get problem(): string {
    return this.targets.find(({ problem }) => problem !== '')?.problem ?? ''
  }

  close(): void {
    this.closed = true
    for (const target of this.targets) target.timer?.cancel()
  }

  private ask(target: Target): void {
    target.timer = null
    this.hooks.onAttempt()
    this.resolver.resolve(target.hostname, this.options.family, this.options.resolver, result => {
      if (!this.closed) this.take(target, result)
    })
  }

  private take(target: Target, result: DnsResult): void {
    const failed = !result.ok || result.answer.stale
    if (failed) {
      target.failures++
      this.hooks.onFailure(target.hostname, result.ok ? 'query failed, the last answer is kept' : result.reason)
    } else target.failures = 0
    target.problem = problemOf(target.hostname, result)
    if (result.ok) {
      const { addresses } = result.answer
      const ignored = addresses.length === 0 && this.logical
      const changed = !ignored && !sameList(addresses, target.addresses)
      if (!failed) this.hooks.onSuccess(changed)
      if (changed) {
        target.addresses = addresses
        this.publish()
      }
    }
    if (!target.answered) {
      target.answered = true
      if (--this.unanswered === 0) this.hooks.onFirstAnswers()
    }
    const delay = failed ? this.backoffMs(target.failures) : this.refreshMs(result.ok ? result.answer.ttlSeconds : null)
    if (!this.closed) target.timer = this.hooks.clock.after(delay, () => this.ask(target))
  }

  private refreshMs(ttlSeconds: number | null): number {
    const { respectTtl, refreshMs, minRefreshMs, jitterMs } = this.options
    const base = respectTtl && ttlSeconds !== null && ttlSeconds > 0 ? Math.max(minRefreshMs, ttlSeconds * 1000) : refreshMs
    return Math.max(MIN_REFRESH_MS, base + (jitterMs > 0 ? Math.floor(this.hooks.random() * jitterMs) : 0))
  }

  /** Fully jittered exponential backoff between the two failure refresh rates. */
  private backoffMs(failures: number): number {
    const { failureRefreshBaseMs: base, failureRefreshMaxMs: max } = this.options
    return Math.max(MIN_REFRESH_MS, base, Math.floor(fullJitterMs(failures - 1, base, max, this.hooks.random)))
  }

  private publish(): void {
    const byPlace = new Map<string, Target>()
    for (const target of this.targets) byPlace.set(`${target.group}/${target.place}`, target)
    const localities = this.assignment.localities.map((locality, group) => ({
      ...locality,
      endpoints: locality.endpoints.flatMap((endpoint, place) => {
        const target = byPlace.get(`${group}/${place}`)
        return target === undefined ? [endpoint] : this.endpointsOf(endpoint, target)
      }),
    }))
    const first = this.targets[0]?.addresses[0] ?? null
    this.hooks.onEndpoints(localities, this.logical ? first : null)
  }

  private endpointsOf(endpoint: Endpoint, target: Target): Endpoint[] {
    // The name, as configured, is the host's name for SNI, Host rewriting and hashing.
    const hostname = endpoint.hostname !== '' || isIP(target.hostname) !== 0 ? endpoint.hostname : target.hostname
    if (this.logical) return target.addresses.length === 0 ? [] : [{ ...endpoint, hostname }]
    return target.addresses.map(host => ({ ...endpoint, hostname, address: { kind: 'socket', host, port: target.port } }))
  }
}

function problemOf(hostname: string, result: DnsResult): string {
  if (!result.ok) return `DNS resolution of ${hostname} failed: ${result.reason}`
  return result.answer.addresses.length === 0 ? `DNS has no address for ${hostname}` : ''
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i])
}
