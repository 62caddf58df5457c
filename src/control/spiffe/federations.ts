// Federation kept: relationships written and ended, and the bundle of each fetched again as often as its trust domain asks (SPIFFE Federation,
// sections 4.1 and 6). Made by `ControlPlane`; called by the HTTP API. Of several replicas the one that holds the lease fetches on time.
// Invariants: a bundle belongs to the trust domain that its relationship names, whatever endpoint it came from; one that cannot be had, or is
// older than the one held, changes nothing and is said once; a trust domain belongs to one relationship, and never to our own mesh or a peer.
import { fullJitterMs } from '../../io/backoff.js'
import type { HeldLease, TaskLeases } from '../store/task-leases.js'
import { fetchBundle } from './bundle-endpoint.js'
import type { FederationTable } from './federation-table.js'
import type { FederatedBundle, FederationRecord } from './federation-types.js'

export const MAX_FEDERATIONS = 256
/** Where the bundle does not say (the specification's recommendation), and the bounds of what it may say. */
const DEFAULT_REFRESH_MS = 300_000
const MIN_REFRESH_MS = 5_000
const MAX_REFRESH_MS = 86_400_000
/** After a failure, doubled with each further one. */
const RETRY_BASE_MS = 2_000

export class FederationError extends Error {
  constructor(
    readonly statusCode: 400 | 404 | 409 | 429 | 502,
    message: string,
  ) {
    super(message)
  }
}

export interface FederationsOptions {
  readonly table: FederationTable
  readonly leases: TaskLeases
  /** Our own. */
  readonly trustDomain: string
  /** Names and trust domains of peerings. */
  peers(): readonly { readonly name: string; readonly trustDomain: string | undefined }[]
  readonly fetch?: typeof fetchBundle
  readonly random?: () => number
  onProblem(name: string, reason: string): void
  onNotice(name: string, what: string): void
}

/** How the last attempt to fetch went. */
export interface FetchStatus {
  readonly fetchedAtMs: number
  /** '': it went well. */
  readonly problem: string
}

interface Refresh {
  readonly timer: NodeJS.Timeout
  /** What is fetched, and how. */
  readonly endpoint: string
  failures: number
}

export class Federations {
  private readonly options: FederationsOptions
  private readonly statuses = new Map<string, FetchStatus>()
  private readonly refreshes = new Map<string, Refresh>()
  private lease: HeldLease | undefined
  private release: (() => Promise<void>) | undefined

  constructor(options: FederationsOptions) {
    this.options = options
  }

  start(): void {
    const { table, leases } = this.options
    table.onChange(names => {
      for (const name of names) {
        const record = table.get(name)
        if (record === undefined) this.statuses.delete(name)
        if (record === undefined || endpointOf(record) !== this.refreshes.get(name)?.endpoint) this.plan(name, 0)
      }
    })
    this.release = leases.contend('federation', lease => {
      this.lease = lease
      lease.signal.addEventListener('abort', () => this.stopTimers())
      for (const { Name } of table.list()) this.plan(Name, 0)
    })
  }

  async stop(): Promise<void> {
    await this.release?.()
    this.stopTimers()
  }

  private stopTimers(): void {
    this.lease = undefined
    for (const { timer } of this.refreshes.values()) clearTimeout(timer)
    this.refreshes.clear()
  }

  status(name: string): FetchStatus | undefined {
    return this.statuses.get(name)
  }

  /** A bundle that is not given again stays. Throws `FederationError`. */
  async put(record: FederationRecord): Promise<void> {
    const { table } = this.options
    await table.change(() => {
      const before = table.get(record.Name)
      this.check(record, before === undefined)
      const held = before?.TrustDomain === record.TrustDomain ? before.bundle : undefined
      const bundle = record.bundle ?? held
      if (bundle === undefined && record.BundleEndpointProfile === 'https_spiffe')
        throw new FederationError(400, 'TrustBundle: is required with https_spiffe: the endpoint is verified by it')
      return { ...record, ...(bundle === undefined ? {} : { bundle }) }
    })
    this.statuses.delete(record.Name)
  }

  async remove(name: string): Promise<void> {
    if (this.options.table.get(name) === undefined) throw unknown(name)
    await this.options.table.remove(name)
  }

  /** Fetches now. Throws `FederationError`. */
  async refresh(name: string): Promise<void> {
    const record = this.options.table.get(name)
    if (record === undefined) throw unknown(name)
    if (record.BundleEndpointURL === '') throw new FederationError(409, `federation ${JSON.stringify(name)} has no BundleEndpointURL`)
    const problem = await this.fetch(record)
    this.planNext(name, problem === '')
    if (problem !== '') throw new FederationError(502, problem)
  }

  private check({ Name, TrustDomain }: FederationRecord, isNew: boolean): void {
    const { table, trustDomain, peers } = this.options
    if (TrustDomain === trustDomain) throw new FederationError(400, `TrustDomain: ${trustDomain} is our own`)
    const others = table.list().filter(other => other.Name !== Name)
    if (isNew && others.length >= MAX_FEDERATIONS)
      throw new FederationError(429, `there are ${MAX_FEDERATIONS} federations, which is the limit`)
    const known = [...others.map(other => ({ name: other.Name, trustDomain: other.TrustDomain })), ...peers()]
    const same = known.find(other => other.trustDomain === TrustDomain)
    if (same !== undefined) throw new FederationError(409, `TrustDomain: ${TrustDomain} is that of ${JSON.stringify(same.name)} already`)
    if (peers().some(peer => peer.name === Name)) throw new FederationError(409, `Name: there is a peering ${JSON.stringify(Name)}`)
  }

  private plan(name: string, delayMs: number): void {
    const record = this.options.table.get(name)
    const known = this.refreshes.get(name)
    clearTimeout(known?.timer)
    this.refreshes.delete(name)
    if (this.lease === undefined || record === undefined || record.BundleEndpointURL === '') return
    const timer = setTimeout(() => void this.refreshOnTime(name), delayMs)
    timer.unref()
    this.refreshes.set(name, { timer, endpoint: endpointOf(record), failures: known?.failures ?? 0 })
  }

  private async refreshOnTime(name: string): Promise<void> {
    const record = this.options.table.get(name)
    if (record === undefined) return
    const problem = await this.fetch(record, this.lease)
    if (this.lease !== undefined) this.planNext(name, problem === '')
  }

  private planNext(name: string, ok: boolean): void {
    const { table, random = Math.random } = this.options
    const hint = table.get(name)?.bundle?.refreshHintSeconds
    const refreshMs = hint === undefined ? DEFAULT_REFRESH_MS : Math.min(MAX_REFRESH_MS, Math.max(MIN_REFRESH_MS, hint * 1000))
    const refresh = this.refreshes.get(name)
    if (refresh !== undefined) refresh.failures = ok ? 0 : refresh.failures + 1
    const retryMs = RETRY_BASE_MS + fullJitterMs(refresh?.failures ?? 0, RETRY_BASE_MS, refreshMs, random)
    this.plan(name, ok ? refreshMs : Math.min(refreshMs, retryMs))
  }

  /** What is wrong; '' when the bundle is that of now. */
  private async fetch(record: FederationRecord, lease?: HeldLease): Promise<string> {
    const { table, fetch = fetchBundle, onProblem, onNotice } = this.options
    const { Name, TrustDomain, BundleEndpointURL: url, BundleEndpointProfile: profile, EndpointSPIFFEID: id } = record
    const read = await fetch(url, profile === 'https_web' ? { profile } : { profile, id, rootPems: record.bundle?.rootPems ?? [] })
    const now = table.get(Name)
    // Changed or ended meanwhile: the answer is for something else.
    if (now === undefined || endpointOf(now) !== endpointOf(record)) return ''
    const problem = read.ok ? staleness(read.bundle, now.bundle) : `${url} ${read.reason}`
    if (problem !== '' && problem !== this.statuses.get(Name)?.problem)
      onProblem(Name, `the bundle of ${TrustDomain} is not renewed: ${problem}`)
    this.statuses.set(Name, { fetchedAtMs: Date.now(), problem })
    if (!read.ok || problem !== '' || JSON.stringify(read.bundle) === JSON.stringify(now.bundle)) return problem
    try {
      await table.change(() => {
        const last = table.get(Name)
        if (last === undefined || endpointOf(last) !== endpointOf(record)) return undefined
        const { CreateIndex: _created, ModifyIndex: _modified, ...kept } = last
        return { ...kept, bundle: read.bundle }
      }, lease)
    } catch (error) {
      return (error as Error).message
    }
    onNotice(Name, `the bundle of ${TrustDomain} is another: ${read.bundle.rootPems.length} CA certificates`)
    return ''
  }
}

function staleness({ sequence }: FederatedBundle, held: FederatedBundle | undefined): string {
  if (sequence === undefined || held?.sequence === undefined || sequence >= held.sequence) return ''
  return `the sequence ${sequence} is older than ${held.sequence}, which is held; give the TrustBundle anew to begin again`
}

function endpointOf(record: FederationRecord): string {
  const { TrustDomain, BundleEndpointURL, BundleEndpointProfile, EndpointSPIFFEID } = record
  return JSON.stringify([TrustDomain, BundleEndpointURL, BundleEndpointProfile, EndpointSPIFFEID])
}

function unknown(name: string): FederationError {
  return new FederationError(404, `there is no federation ${JSON.stringify(name)}`)
}
