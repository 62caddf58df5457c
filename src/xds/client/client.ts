// The xDS client: one stream to a management server, aggregated (ADS) or of a single type, delta or state-of-the-world. The command line
// makes one per config source and gives it the update handler that decodes, compiles and applies; the handler's verdict becomes the ACK
// or the NACK. Invariants: whatever happens to the stream, what was accepted stays; a refused resource keeps its last good version here
// and in the handler; subscriptions made while an update is handled leave before that update's ACK (the server's ordering counts on it).
//
//   stopped --start--> connecting --READY--> connected --stream ends--> waiting (backoff, next target) --timer--> connecting

import { create } from '@bufbuild/protobuf'
import type { ChannelCredentials, Client, ClientDuplexStream, MethodDefinition, StatusObject } from '@grpc/grpc-js'
import { fullJitterMs } from '../../io/backoff.js'
import { heldClock, NO_TIMER, type Timer, type WallClock } from '../../io/clock.js'
import { inSlices, type Steps } from '../../io/slices.js'
import { TokenBucket } from '../../io/token-bucket.js'
import type { ControlPlane } from '../gen/envoy/config/core/v3/base_pb.js'
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { StatusSchema } from '../gen/google/rpc/status_pb.js'
import { deltaMethod, stateOfTheWorldMethod } from '../grpc-service.js'
import { ADS_METHODS, compareTypes, methodsForType } from '../type-urls.js'
import {
  type AdsClientLimits,
  type AdsClientOptions,
  type AdsTarget,
  type AdsTargetSource,
  CHANNEL_DEFAULTS,
  type DiscoveryClient,
} from './client-options.js'
import { type AdsClientStatus, type ControlPlaneStats, failureKind, GRPC_STATUS } from './client-status.js'
import { ClientTypeState, type PendingAck } from './client-type-state.js'
import {
  type DecodedResponse,
  decodeDelta,
  decodeStateOfTheWorldInSteps,
  type PackedResponse,
  type Rejection,
  readDelta,
  readStateOfTheWorld,
  rejectionMessage,
  type XdsResource,
  type XdsUpdate,
} from './decode-response.js'
import { TargetList } from './target-list.js'

export type { AdsClientOptions, AdsTarget, AdsTargetSource } from './client-options.js'
export type { AdsClientStatus } from './client-status.js'
export type { FieldError, Rejection, XdsResource, XdsUpdate, XdsUpdateHandler, XdsVerdict } from './decode-response.js'

/** Wait of the second NACK of one version, doubling up to the maximum. */
const NACK_WAIT_MS = 25
const MAX_NACK_WAIT_MS = 1000

/** The library writes these values in base64 itself. */
const BINARY_KEY = '-bin'

type Call = ClientDuplexStream<unknown, unknown>
/** Loaded with the first connection. */
type Grpc = Pick<typeof import('./grpc-client.js'), 'Metadata' | 'connectivityState'>

export class AdsClient implements DiscoveryClient {
  readonly controlPlane: ControlPlaneStats = { connectedState: 0, rateLimitEnforced: 0, pendingRequests: 0, ignoredResponses: 0 }

  private readonly delta: boolean
  private readonly method: MethodDefinition<unknown, unknown>
  private readonly types = new Map<string, ClientTypeState>()
  private readonly dirty = new Set<string>()
  private readonly paused = new Map<string, number>()
  private readonly targets: AdsTargetSource
  private readonly clock: WallClock
  private readonly random: () => number
  private readonly limits: AdsClientLimits
  private readonly bucket: TokenBucket | null
  private acks: PendingAck[] = []
  private running = false
  /** Updates whose verdict is not there yet: nothing is sent meanwhile. */
  private dispatching = 0
  private flushQueued = false
  private readonly afterAnswers: (() => void)[] = []
  private grpc: Grpc | null = null
  private client: Client | null = null
  private clientTarget: AdsTarget | null = null
  private unsubscribeTargets: () => void = () => {}
  private call: Call | null = null
  private nodeSent = false
  private timedOut = false
  private failedAttempts = 0
  private identifier = ''
  private lastUpdateAt = 0
  private lastFailure: AdsClientStatus['lastFailure'] = null
  private retryTimer: Timer = NO_TIMER
  private connectTimer: Timer = NO_TIMER
  private tokenTimer: Timer | null = null
  private expiryTimer: Timer = NO_TIMER

  constructor(private readonly options: AdsClientOptions) {
    this.delta = options.apiType === 'DELTA_GRPC'
    const methods = options.onlyType === undefined ? ADS_METHODS : methodsForType(options.onlyType)
    if (!methods) throw new RangeError(`no discovery service for the single type ${options.onlyType}`)
    this.targets = 'current' in options.targets ? options.targets : new TargetList(options.targets)
    this.method = (this.delta ? deltaMethod(methods.delta) : stateOfTheWorldMethod(methods.stateOfTheWorld)) as MethodDefinition<
      unknown,
      unknown
    >
    this.clock = options.clock ?? heldClock
    this.random = options.random ?? Math.random
    this.limits = { maxResourcesPerType: 250_000, maxPendingAcks: 256, ...options.limits }
    const rate = options.rateLimit
    this.bucket = rate
      ? new TokenBucket({ maxTokens: rate.maxTokens ?? 100, tokensPerFill: rate.fillRate ?? 10, fillIntervalMs: 1000 }, this.clock)
      : null
  }

  /** Adds names, or the wildcard, to what is wanted of a type. Sent at once if connected, and again after each reconnect. */
  subscribe(typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void {
    let state = this.types.get(typeUrl)
    if (!state) {
      state = new ClientTypeState(typeUrl)
      this.types.set(typeUrl, state)
    }
    state.add('wildcard' in what ? 'wildcard' : what)
    this.markDirty(typeUrl)
  }

  /** Takes names, or the wildcard, away; what was held of them is forgotten without an update. */
  unsubscribe(typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void {
    const state = this.types.get(typeUrl)
    if (!state) return
    state.remove('wildcard' in what ? 'wildcard' : what)
    this.markDirty(typeUrl)
  }

  /**
   * Holds back all requests of a type, ACKs included, until the returned function is called (pauses nest). Holding Cluster ACKs until
   * the new clusters are warm makes a server that waits for them keep back the routes that need them, as Envoy does.
   */
  pause(typeUrl: string): () => void {
    this.paused.set(typeUrl, (this.paused.get(typeUrl) ?? 0) + 1)
    let released = false
    return () => {
      if (released) return
      released = true
      const left = this.paused.get(typeUrl)! - 1
      if (left > 0) this.paused.set(typeUrl, left)
      else this.paused.delete(typeUrl)
      this.flush()
    }
  }

  /** Calls `run` once what is being judged has been answered, and what may be sent has been. */
  whenAnswered(run: () => void): void {
    this.afterAnswers.push(run)
    if (this.dispatching === 0) queueMicrotask(() => this.flush())
  }

  /** Connects, and keeps connecting until `close()`. */
  start(): void {
    if (this.running) return
    this.running = true
    this.unsubscribeTargets = this.targets.subscribe(() => this.moveOn())
    this.openStream()
  }

  /** Ends the stream and the connection. The client cannot be started again. */
  close(): void {
    this.running = false
    this.unsubscribeTargets()
    this.retryTimer.cancel()
    this.expiryTimer.cancel()
    this.endStream()?.cancel()
    this.client?.close()
    this.client = null
  }

  status(): AdsClientStatus {
    return {
      connected: this.controlPlane.connectedState === 1,
      target: this.targets.current().address,
      identifier: this.identifier,
      lastUpdateAt: this.lastUpdateAt,
      lastFailure: this.lastFailure,
      failedAttempts: this.failedAttempts,
    }
  }

  /** Another server is to be used: at once, however long the next try would have waited. */
  private moveOn(): void {
    if (!this.running || this.clientTarget === this.targets.current()) return
    this.retryTimer.cancel()
    this.endStream()?.cancel()
    this.openStream()
  }

  private openStream(): void {
    const target = this.targets.current()
    if (this.client && this.clientTarget !== target) this.dropConnection()
    this.clientTarget = target
    this.timedOut = false
    this.connectTimer = this.clock.after(this.options.connectTimeoutMs ?? 20_000, () => {
      this.timedOut = true
      this.call?.cancel()
    })
    if (this.client === null) void this.dial(target)
    else this.openCall(target, this.client, this.grpc!)
  }

  private async dial(target: AdsTarget): Promise<void> {
    const { Client, Metadata, connectivityState, credentials } = await import('./grpc-client.js')
    let own: ChannelCredentials
    try {
      own = (await target.credentials?.()) ?? credentials.createInsecure()
    } catch (error) {
      if (!this.running || this.client !== null || this.clientTarget !== target) return
      this.endStream()
      this.attemptFailed(GRPC_STATUS.UNAVAILABLE, (error as Error).message)
      return
    }
    if (!this.running || this.client !== null || this.clientTarget !== target) return
    this.grpc = { Metadata, connectivityState }
    this.client = new Client(target.address, own, { ...CHANNEL_DEFAULTS, ...target.channelOptions })
    this.openCall(target, this.client, this.grpc)
  }

  private openCall(target: AdsTarget, client: Client, { Metadata }: Grpc): void {
    const metadata = new Metadata()
    const pairs = typeof target.metadata === 'function' ? target.metadata() : (target.metadata ?? [])
    for (const [key, value] of pairs) metadata.add(key, key.endsWith(BINARY_KEY) ? Buffer.from(value, 'base64') : value)
    const { path, requestSerialize } = this.method
    const read: (bytes: Buffer) => unknown = this.delta ? readDelta : readStateOfTheWorld
    const call: Call = client.makeBidiStreamRequest(path, requestSerialize, read, metadata)
    this.call = call
    target.onStream?.()
    this.nodeSent = false
    for (const [typeUrl, state] of this.types) {
      state.resetStream()
      if (state.wanted) this.dirty.add(typeUrl)
    }
    call.on('metadata', () => this.setConnected(call))
    call.on('data', (response: unknown) => this.onResponse(call, response))
    call.on('error', () => {}) // the status event says the same
    call.on('status', (end: StatusObject) => this.onStreamEnd(call, end))
    this.watchConnection(call)
    this.flush()
    // Its time was up before there was a call to end.
    if (this.timedOut) call.cancel()
  }

  private watchConnection(call: Call): void {
    if (this.call !== call || !this.client) return
    const channel = this.client.getChannel()
    const state = channel.getConnectivityState(false)
    const { READY, SHUTDOWN } = this.grpc!.connectivityState
    if (state === READY) this.setConnected(call)
    else if (state !== SHUTDOWN) {
      channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => this.watchConnection(call))
    }
  }

  private setConnected(call: Call): void {
    if (this.call !== call || this.controlPlane.connectedState === 1) return
    this.connectTimer.cancel()
    this.controlPlane.connectedState = 1
    this.options.logger?.info({ target: this.clientTarget!.address }, 'connected to the control plane')
    this.options.onStatus?.(this.status())
  }

  // Forgets the stream, not what it brought.
  private endStream(): Call | null {
    const call = this.call
    this.call = null
    this.connectTimer.cancel()
    this.tokenTimer?.cancel()
    this.tokenTimer = null
    this.acks = []
    this.dirty.clear()
    this.controlPlane.pendingRequests = 0
    this.controlPlane.connectedState = 0
    return call
  }

  private dropConnection(): void {
    this.client?.close()
    this.client = null
  }

  private onStreamEnd(call: Call, end: StatusObject): void {
    if (this.call !== call) return
    this.endStream()
    this.clientTarget!.onStreamEnd?.(end.code)
    const message = this.timedOut ? `not connected within ${this.options.connectTimeoutMs ?? 20_000} ms` : end.details
    this.attemptFailed(this.timedOut ? GRPC_STATUS.UNAVAILABLE : end.code, message)
  }

  /** The stream has ended, or could not be opened: the next target, after a while. */
  private attemptFailed(code: number, message: string): void {
    const target = this.clientTarget!
    this.lastFailure = { kind: failureKind(code), code, message, at: this.clock.wallNow() }
    this.targets.failed(target, code)
    // "Try another server" behind one address needs another connection, and a dead one should not wait for grpc's own backoff.
    const alive = this.client?.getChannel().getConnectivityState(false) === this.grpc?.connectivityState.READY
    if (!alive || code === GRPC_STATUS.RESOURCE_EXHAUSTED) this.dropConnection()
    const { baseMs = 500, maxMs = 30_000 } = this.options.backoff ?? {}
    const waitMs = fullJitterMs(this.failedAttempts++, baseMs, maxMs, this.random)
    this.retryTimer = this.clock.after(waitMs, () => {
      if (this.running) this.openStream()
    })
    this.options.logger?.warn(
      { target: target.address, code, kind: this.lastFailure.kind, retryInMs: Math.round(waitMs) },
      `control plane stream ended: ${message || 'closed by the server'}`,
    )
    this.options.onStatus?.(this.status())
  }

  private onResponse(call: Call, response: unknown): void {
    if (this.call !== call) return
    this.setConnected(call)
    this.failedAttempts = 0
    this.lastFailure = null
    if (this.delta) {
      const packed = response as PackedResponse<DeltaDiscoveryResponse>
      const { envelope } = packed
      if (envelope.typeUrl === '') envelope.typeUrl = this.options.onlyType ?? ''
      this.handle(call, envelope, envelope.systemVersionInfo, () => decodeDelta(packed))
    } else {
      const packed = response as PackedResponse<DiscoveryResponse>
      const { envelope } = packed
      if (envelope.typeUrl === '') envelope.typeUrl = this.options.onlyType ?? ''
      const known = this.types.get(envelope.typeUrl)?.heardOf() ?? []
      this.handle(call, envelope, envelope.versionInfo, () => decodeStateOfTheWorldInSteps(packed, envelope.typeUrl, known))
    }
  }

  private handle(
    call: Call,
    response: { readonly typeUrl: string; readonly nonce: string; readonly controlPlane?: ControlPlane | undefined },
    systemVersion: string,
    decode: () => Steps<DecodedResponse>,
  ): void {
    const state = this.types.get(response.typeUrl)
    if (!state) {
      this.controlPlane.ignoredResponses++
      return
    }
    if (response.controlPlane) this.identifier = response.controlPlane.identifier
    state.received(response.nonce)
    const decoded = inSlices(decode())
    if (!(decoded instanceof Promise)) {
      this.apply(call, state, response.nonce, systemVersion, decoded)
      return
    }
    // As while a verdict is awaited.
    this.dispatching++
    call.pause()
    void decoded.then(whole => {
      this.dispatching--
      if (this.running) this.apply(call, state, response.nonce, systemVersion, whole)
    })
  }

  private apply(call: Call, state: ClientTypeState, nonce: string, systemVersion: string, decoded: DecodedResponse): void {
    const rejected = [...decoded.rejected]
    const update = this.updateOf(state, decoded, systemVersion, rejected)
    const finish = (verdict: readonly Rejection[]): void => {
      rejected.push(...verdict)
      this.keep(state, decoded, update, rejected)
      this.answer(call, state, nonce, systemVersion, rejected)
    }
    const verdict = this.callHandler(update)
    if (!(verdict instanceof Promise)) {
      finish(verdict)
      return
    }
    call.pause()
    void verdict.then(finish)
  }

  /** The ACK or NACK of a response that has been applied. */
  private answer(call: Call, state: ClientTypeState, nonce: string, systemVersion: string, rejected: readonly Rejection[]): void {
    this.lastUpdateAt = this.clock.wallNow()
    if (rejected.length === 0) {
      state.acceptedVersion = systemVersion
      state.refusals = { version: '', count: 0 }
    } else {
      this.slowDown(state, systemVersion)
      this.options.logger?.warn(
        { typeUrl: state.typeUrl, resources: rejected.map(one => one.name) },
        `update refused: ${rejectionMessage(rejected)}`,
      )
    }
    if (this.call !== call) {
      // The handler closed us, or the stream ended before the verdict was there; its successor has waited to send.
      this.flush()
      return
    }
    const error = rejected.length === 0 ? null : create(StatusSchema, { code: GRPC_STATUS.INTERNAL, message: rejectionMessage(rejected) })
    this.acks.push({ typeUrl: state.typeUrl, nonce, error })
    this.flush()
    if (this.acks.length > this.limits.maxPendingAcks) call.pause()
  }

  // A state-of-the-world server may answer a NACK with the same again at once (go-control-plane does), for ever and as fast as both
  // can: from the second refusal of a version on its NACK waits, longer each time.
  private slowDown(state: ClientTypeState, version: string): void {
    if (this.delta) return
    const count = state.refusals.version === version ? state.refusals.count + 1 : 1
    state.refusals = { version, count }
    if (count === 1) return
    this.clock.after(Math.min(MAX_NACK_WAIT_MS, NACK_WAIT_MS * 2 ** Math.min(count - 2, 20)), this.pause(state.typeUrl))
  }

  /** What the handler is given; what it never sees is added to `rejected`. */
  private updateOf(state: ClientTypeState, decoded: DecodedResponse, systemVersion: string, rejected: Rejection[]): XdsUpdate {
    const resources: XdsResource[] = []
    let room = this.limits.maxResourcesPerType - state.versions.size
    for (const resource of decoded.resources) {
      if (!state.wants(resource.name)) continue // unsubscribed while it was on its way
      if (!state.versions.has(resource.name) && --room < 0) {
        const reason = `is more than maxResourcesPerType (${this.limits.maxResourcesPerType})`
        rejected.push({ name: resource.name, errors: [{ path: 'name', reason }] })
      } else resources.push(resource)
    }
    const removed = decoded.removed.filter(name => state.wants(name))
    const updated = new Set(decoded.ttlsMs.size > 0 ? resources.map(resource => resource.name) : [])
    for (const name of decoded.ttlsMs.keys()) {
      if (state.versions.has(name) || updated.has(name)) continue
      if (state.wants(name))
        rejected.push({ name, errors: [{ path: 'resource', reason: 'is missing in a heartbeat of an unknown resource' }] })
    }
    const { absent } = decoded
    return { typeUrl: state.typeUrl, resources, removed, systemVersion, ...(absent.length === 0 ? {} : { absent }) }
  }

  /** Records what was accepted. */
  private keep(state: ClientTypeState, decoded: DecodedResponse, { resources, removed }: XdsUpdate, rejected: readonly Rejection[]): void {
    const refused = new Set(rejected.map(one => one.name))
    for (const { name, version } of resources) {
      if (refused.has(name) || !state.wants(name)) continue
      state.hold(name, version)
      state.expiries.delete(name)
    }
    for (const { name } of resources) {
      if (refused.has(name) && !state.versions.has(name) && state.refused.size < this.limits.maxResourcesPerType) state.refused.add(name)
    }
    for (const name of removed) if (!refused.has(name)) state.forget(name)
    if (decoded.ttlsMs.size > 0) {
      const now = this.clock.now()
      for (const [name, ttlMs] of decoded.ttlsMs) if (state.versions.has(name) && !refused.has(name)) state.expiries.set(name, now + ttlMs)
    }
    if (state.expiries.size > 0) this.scheduleExpiry()
  }

  private callHandler(update: XdsUpdate): readonly Rejection[] | Promise<readonly Rejection[]> {
    // A bug in the handler must not take the proxy down with the next push; the server hears of it like of bad config.
    const failed = (error: unknown): Rejection[] => {
      const errors = [{ path: '', reason: `internal error: ${error instanceof Error ? error.message : String(error)}` }]
      return [...update.resources.map(resource => ({ name: resource.name, errors })), ...update.removed.map(name => ({ name, errors }))]
    }
    let verdict: ReturnType<AdsClientOptions['onUpdate']>
    this.dispatching++
    try {
      verdict = this.options.onUpdate(update)
    } catch (error) {
      this.dispatching--
      return failed(error)
    }
    if (!(verdict instanceof Promise)) {
      this.dispatching--
      return verdict?.rejected ?? []
    }
    return verdict
      .then(given => given?.rejected ?? [], failed)
      .finally(() => {
        this.dispatching--
      })
  }

  private scheduleExpiry(): void {
    this.expiryTimer.cancel()
    let next = Number.POSITIVE_INFINITY
    for (const state of this.types.values()) for (const at of state.expiries.values()) next = Math.min(next, at)
    if (next === Number.POSITIVE_INFINITY || !this.running) return
    this.expiryTimer = this.clock.after(Math.max(0, next - this.clock.now()), () => {
      const now = this.clock.now()
      for (const state of this.types.values()) {
        const removed = [...state.expiries].filter(([, at]) => at <= now).map(([name]) => name)
        if (removed.length === 0) continue
        for (const name of removed) state.forget(name)
        void this.callHandler({ typeUrl: state.typeUrl, resources: [], removed, systemVersion: '' })
      }
      this.flush()
      this.scheduleExpiry()
    })
  }

  private markDirty(typeUrl: string): void {
    this.dirty.add(typeUrl)
    if (!this.call || this.dispatching > 0 || this.flushQueued) return
    // Subscriptions made in one go leave as one request a type, in type order.
    this.flushQueued = true
    queueMicrotask(() => {
      this.flushQueued = false
      this.flush()
    })
  }

  // Subscription changes in type order first, then answers in order of arrival. A type that has both speaks once: an answer carries
  // the type's changes along (and in state-of-the-world form any request with the last nonce is an answer).
  private flush(): void {
    if (this.dispatching > 0 || !this.sendDue()) return
    for (const run of this.afterAnswers.splice(0)) run()
  }

  /** False where the rate limit says wait. */
  private sendDue(): boolean {
    if (!this.call) return true
    for (const typeUrl of [...this.dirty].sort(compareTypes)) {
      if (this.paused.has(typeUrl)) continue
      const ack = this.acks.find(one => one.typeUrl === typeUrl) ?? null
      if (!this.send(typeUrl, ack)) return false
    }
    for (const ack of [...this.acks]) {
      if (this.paused.has(ack.typeUrl)) continue
      if (!this.send(ack.typeUrl, ack)) return false
    }
    this.countPending()
    if (this.acks.length <= this.limits.maxPendingAcks && this.call?.isPaused()) this.call.resume()
    return true
  }

  /** Sends the type's next request with `ack`; false if the rate limit says wait. */
  private send(typeUrl: string, ack: PendingAck | null): boolean {
    const state = this.types.get(typeUrl)!
    if (this.bucket !== null && !this.bucket.take()) {
      if (this.tokenTimer === null) {
        this.controlPlane.rateLimitEnforced++
        this.tokenTimer = this.clock.after(Math.max(1, Math.ceil(this.bucket.msToToken)), () => {
          this.tokenTimer = null
          this.flush()
        })
      }
      this.countPending()
      return false
    }
    const request = this.delta ? state.deltaRequest(ack) : state.sotwRequest(ack)
    this.dirty.delete(typeUrl)
    if (ack) this.acks.splice(this.acks.indexOf(ack), 1)
    if (request) this.write(request)
    else this.bucket?.giveBack()
    if (request && state.untold) this.write(state.sotwRequest(null)!)
    return true
  }

  private write(request: DeltaDiscoveryRequest | DiscoveryRequest): void {
    if (!this.nodeSent || !this.options.setNodeOnFirstMessageOnly) request.node = this.options.node
    this.nodeSent = true
    this.call?.write(request)
  }

  private countPending(): void {
    this.controlPlane.pendingRequests = this.acks.length + this.dirty.size
  }
}
