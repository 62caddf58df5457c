// Secrets from the SPIFFE Workload API, in the place of an SDS stream: certificates from FetchX509SVID, bundles from FetchX509Bundles (and, where
// that is not there, from what comes with the identities). Made by XdsBridge for a config source whose cluster is a Workload API; what comes
// goes the way of every secret, so that stats, /config_dump, workers and rotation are those of SDS. Invariants: the handler is given one
// update at a time, of what has changed alone; an identity that the API takes back is taken back from the proxy too (Workload API, 5.2.1).

import { createHash } from 'node:crypto'
import type { WallClock } from '../../io/clock.js'
import type { AdsTarget, DiscoveryClient } from '../../xds/client/client-options.js'
import { rejectionMessage, type XdsResource, type XdsUpdateHandler } from '../../xds/client/decode-response.js'
import { X509BundlesResponseSchema, X509SVIDResponseSchema } from '../../xds/gen/spiffe/workload_pb.js'
import { SECRET_TYPE } from '../../xds/type-urls.js'
import { type ReadMessage, readBundles, readSvids, type WorkloadBundles, type WorkloadSvids } from './svid-messages.js'
import { kindOfName, secretOf } from './workload-secrets.js'
import { type StreamEnd, WorkloadStream } from './workload-stream.js'

export interface WorkloadApiClientOptions {
  /** Tried in order, the next after each failure. At least one. */
  readonly targets: readonly AdsTarget[]
  readonly onUpdate: XdsUpdateHandler
  readonly clock: WallClock
  readonly random: () => number
  readonly logger: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
}

type Names = readonly string[] | { readonly wildcard: true }

export class WorkloadApiClient implements DiscoveryClient {
  private readonly names = new Set<string>()
  /** Name -> version of what the handler has been given. */
  private readonly given = new Map<string, string>()
  /** Names whose absence has been said. */
  private readonly missed = new Map<string, string>()
  private readonly svidStream: WorkloadStream<typeof X509SVIDResponseSchema>
  private readonly bundleStream: WorkloadStream<typeof X509BundlesResponseSchema>
  private svids: WorkloadSvids | null = null
  private bundles: WorkloadBundles | null = null
  /** The identities bring the bundles: the API has no stream of bundles. */
  private bundlesWithSvids = false
  private running = false
  private giving = false
  private changed = false

  constructor(private readonly options: WorkloadApiClientOptions) {
    const { targets, clock, random } = options
    const common = { targets, clock, random }
    this.svidStream = new WorkloadStream({
      ...common,
      method: 'FetchX509SVID',
      response: X509SVIDResponseSchema,
      onMessage: message => this.onSvids(readSvids(message)),
      onEnd: end => this.onSvidsEnd(end),
    })
    this.bundleStream = new WorkloadStream({
      ...common,
      method: 'FetchX509Bundles',
      response: X509BundlesResponseSchema,
      onMessage: message => this.onBundles(readBundles(message)),
      onEnd: end => this.onBundlesEnd(end),
    })
  }

  subscribe(_typeUrl: string, what: Names): void {
    for (const name of 'wildcard' in what ? [] : what) this.names.add(name)
    this.openStreams()
    // Never in the turn of the call: the handler may be at work.
    queueMicrotask(() => this.give())
  }

  unsubscribe(_typeUrl: string, what: Names): void {
    for (const name of 'wildcard' in what ? [] : what) {
      this.names.delete(name)
      this.given.delete(name)
      this.missed.delete(name)
    }
  }

  start(): void {
    this.running = true
    this.openStreams()
  }

  close(): void {
    this.running = false
    this.svidStream.close()
    this.bundleStream.close()
  }

  private openStreams(): void {
    if (!this.running) return
    const kinds = new Set([...this.names].map(kindOfName))
    if (kinds.has('certificate') || kinds.has('ownBundle') || this.bundlesWithSvids) this.svidStream.start()
    if (kinds.has('bundle') && !this.bundlesWithSvids) this.bundleStream.start()
  }

  private onSvids(read: ReadMessage<WorkloadSvids>): void {
    if (!read.ok) {
      this.discard('FetchX509SVID', read.reason)
      return
    }
    if (this.svids === null)
      this.options.logger.info({ ids: read.value.svids.map(({ id }) => id) }, 'the Workload API has given the identities of this proxy')
    this.svids = read.value
    this.give()
  }

  private onBundles(read: ReadMessage<WorkloadBundles>): void {
    if (!read.ok) {
      this.discard('FetchX509Bundles', read.reason)
      return
    }
    this.bundles = read.value
    this.give()
  }

  private discard(method: string, reason: string): void {
    this.options.logger.warn({ method }, `a message of the Workload API is discarded, the last good one stays: ${reason}`)
  }

  private onSvidsEnd(end: StreamEnd): void {
    this.said('FetchX509SVID', end)
    if (!end.denied || this.svids === null) return
    this.svids = null
    this.give()
  }

  private onBundlesEnd(end: StreamEnd): void {
    this.said('FetchX509Bundles', end)
    if (end.final) {
      this.bundlesWithSvids = true
      // Nothing renews them: who is taken back would be trusted for ever.
      this.bundles = null
      this.openStreams()
      this.give()
    } else if (end.denied && this.bundles !== null) {
      this.bundles = null
      this.give()
    }
  }

  private said(method: string, { code, reason, denied, retryInMs }: StreamEnd): void {
    const what = denied ? 'has no identity for this proxy' : 'ended the stream'
    const next = retryInMs === null ? 'it is not asked again' : `it is asked again in ${retryInMs} ms`
    this.options.logger.warn({ method, code }, `the Workload API ${what}, ${next}: ${reason || 'closed by the server'}`)
  }

  /** The wanted secrets that have changed go to the handler; those that are gone are told as removed. */
  private give(): void {
    this.changed = true
    if (this.giving || !this.running) return
    this.changed = false
    const resources: XdsResource[] = []
    const removed: string[] = []
    const trust = this.bundles ?? (this.bundlesWithSvids ? this.svids : null)
    for (const name of this.names) {
      // The trust domain of an identity is known with it: no second stream is waited for.
      const found = secretOf(name, this.svids?.svids ?? null, kindOfName(name) === 'ownBundle' ? this.svids : trust)
      if (!found.ok) {
        this.miss(name, found.reason)
        if (this.given.delete(name)) removed.push(name)
        continue
      }
      this.missed.delete(name)
      const version = createHash('sha256').update(found.bytes).digest('hex').slice(0, 16)
      if (this.given.get(name) === version) continue
      this.given.set(name, version)
      resources.push({ name, version, any: { typeUrl: SECRET_TYPE, value: found.bytes } })
    }
    if (resources.length + removed.length > 0) this.hand(resources, removed)
  }

  private hand(resources: readonly XdsResource[], removed: readonly string[]): void {
    this.giving = true
    void Promise.resolve(this.options.onUpdate({ typeUrl: SECRET_TYPE, resources, removed, systemVersion: '' }))
      .then(verdict => {
        const rejected = verdict?.rejected ?? []
        if (rejected.length > 0) this.options.logger.warn({}, `secrets of the Workload API are refused: ${rejectionMessage(rejected)}`)
      })
      .finally(() => {
        this.giving = false
        if (this.changed) this.give()
      })
  }

  /** Said once for each reason, and not while the first answer is awaited. */
  private miss(name: string, reason: string): void {
    if (this.svids === null && this.bundles === null) return
    if (this.missed.get(name) === reason) return
    this.missed.set(name, reason)
    this.options.logger.warn({ secret: name }, `the Workload API gives no secret '${name}': ${reason}`)
  }
}
