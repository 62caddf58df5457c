// One xDS stream of the ADS server, delta or state-of-the-world: reads requests, keeps one TypeState a type, pushes what is due. Made
// by server.ts, which hands it snapshots. Invariant: make before break. The order is Cluster upserts, Endpoint upserts, Listeners,
// Routes, Cluster removals, Endpoint removals; Listeners and Routes wait until Clusters and Endpoints are acknowledged (Envoy
// acknowledges Clusters once they are warm), removals until Listeners and Routes are, and a refused Listener or Route keeps the clusters
// that its predecessor uses. All other types (secrets, runtime, extension configs) wait for nothing, since warming waits for them.

import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { ControlPlaneSchema, type Node } from '../gen/envoy/config/core/v3/base_pb.js'
import {
  type DeltaDiscoveryRequest,
  type DiscoveryRequest,
  DiscoveryResponseSchema,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import type { Status } from '../gen/google/rpc/status_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SCOPED_ROUTE_TYPE, SECRET_TYPE, VIRTUAL_HOST_TYPE } from '../type-urls.js'
import { DeltaTypeState } from './delta-type-state.js'
import type { DiscoveryStream, StreamEnd } from './discovery-stream.js'
import type { Push, PushPart, TypeState } from './server-type-state.js'
import { type Resource, resourcesEqual, resourcesOf, type Snapshot } from './snapshot.js'
import { SotwTypeState } from './sotw-type-state.js'

export type XdsProtocol = 'delta' | 'sotw'

export type DiscoveryCall =
  | { readonly protocol: 'delta'; readonly stream: DiscoveryStream<DeltaDiscoveryRequest> }
  | { readonly protocol: 'sotw'; readonly stream: DiscoveryStream<DiscoveryRequest> }

/** What the stream tells the server. Names of resources come along so that a log can say what was refused. */
export interface StreamEvents {
  /** First request; registers the stream under its node, or says why not. */
  identify(stream: AdsStream, node: Node): StreamEnd | null
  /** A request has been dealt with; `ackedNonce` is the nonce that it acknowledged, or ''. */
  settled(stream: AdsStream, typeUrl: string, ackedNonce: string): void
  nacked(stream: AdsStream, typeUrl: string, nonce: string, names: readonly string[], detail: Status): void
  closed(stream: AdsStream, end: StreamEnd | null): void
}

export interface StreamLimits {
  readonly maxSubscriptions: number
  readonly maxTypes: number
  readonly maxResponseBytes: number
  readonly offerSecretsAgainMs: number
  readonly identifier: string
}

// Held until clusters and endpoints are acknowledged, in this order.
const LATE_TYPES: readonly string[] = [LISTENER_TYPE, SCOPED_ROUTE_TYPE, ROUTE_TYPE, VIRTUAL_HOST_TYPE]
/** Offers of a refused secret come no further apart. */
const MAX_OFFER_MS = 60_000
const ORDERED_TYPES: ReadonlySet<string> = new Set([CLUSTER_TYPE, ENDPOINT_TYPE, ...LATE_TYPES])

export class AdsStream {
  readonly types = new Map<string, TypeState>()
  readonly openedAt = Date.now()
  readonly peer: string
  nodeKey = ''
  node: Node | null = null

  private snapshot: Snapshot | undefined
  private snapshotVersion = ''
  private nonceCount = 0
  private open = true
  private secretsTimer: NodeJS.Timeout | undefined
  /** How often the secrets that are there now were offered again. */
  private offers = 0

  /** `onlyType` is the type of a single-type service, or null on the aggregated one. */
  constructor(
    readonly call: DiscoveryCall,
    private readonly onlyType: string | null,
    private readonly limits: StreamLimits,
    private readonly events: StreamEvents,
  ) {
    this.peer = call.stream.peer
    const onClosed = (): void => this.close(null)
    if (call.protocol === 'delta') call.stream.listen({ onRequest: request => this.onDelta(request), onClosed })
    else call.stream.listen({ onRequest: request => this.onSotw(request), onClosed })
  }

  get protocol(): XdsProtocol {
    return this.call.protocol
  }

  /** Whether the client has acknowledged everything of the current snapshot that it is subscribed to; `types`: of these. */
  isSynced(types?: ReadonlySet<string>): boolean {
    if (!this.open || this.snapshot === undefined || this.types.size === 0) return false
    // Envoy asks for listeners only after its first clusters are warm.
    if (this.onlyType === null && (this.unasked(CLUSTER_TYPE) || this.unasked(LISTENER_TYPE))) return false
    for (const [typeUrl, state] of this.types) {
      if (types?.has(typeUrl) === false) continue
      if (state.pendingNonce !== null || state.hasUpserts || state.hasRemovals || state.refused) return false
    }
    return true
  }

  private unasked(typeUrl: string): boolean {
    return !this.types.has(typeUrl) && resourcesOf(this.snapshot, typeUrl).size > 0
  }

  setSnapshot(snapshot: Snapshot | undefined, version: string): void {
    const before = this.snapshot
    this.snapshot = snapshot
    this.snapshotVersion = version
    if (!snapshot) return
    for (const [typeUrl, state] of this.types) {
      const differs = before === undefined || !resourcesEqual(resourcesOf(before, typeUrl), resourcesOf(snapshot, typeUrl))
      if (differs && typeUrl === SECRET_TYPE) this.offers = 0
      state.snapshotChanged(differs)
    }
    this.push()
  }

  /** Ends the stream; `end` null is the client's own doing, status OK. */
  close(end: StreamEnd | null): void {
    if (!this.open) return
    this.open = false
    clearTimeout(this.secretsTimer)
    this.call.stream.end(end)
    this.events.closed(this, end)
  }

  private onDelta(request: DeltaDiscoveryRequest): void {
    const typeUrl = this.admit(request.node, request.typeUrl)
    if (typeUrl === null) return
    let state = this.types.get(typeUrl) as DeltaTypeState | undefined
    const first = state === undefined
    if (!state) {
      state = new DeltaTypeState(typeUrl, this.limits.maxResponseBytes)
      this.types.set(typeUrl, state)
    }
    const acked = this.onAnswer(state, request.responseNonce, request.errorDetail)
    const initial = first ? new Map(Object.entries(request.initialResourceVersions)) : null
    state.subscribe(request.resourceNamesSubscribe, request.resourceNamesUnsubscribe, initial)
    this.afterRequest(typeUrl, acked)
  }

  private onSotw(request: DiscoveryRequest): void {
    const typeUrl = this.admit(request.node, request.typeUrl)
    if (typeUrl === null) return
    let state = this.types.get(typeUrl) as SotwTypeState | undefined
    if (!state) {
      state = new SotwTypeState(typeUrl)
      this.types.set(typeUrl, state)
    } else if (request.responseNonce !== '' && request.responseNonce !== state.lastNonce && state.lastNonce !== '') {
      return // stale: the answer to the newer response will carry the full list again
    }
    const acked = this.onAnswer(state, request.responseNonce, request.errorDetail)
    state.subscribe(request.resourceNames)
    this.afterRequest(typeUrl, acked)
  }

  // Returns the nonce that was acknowledged, or ''. Only error_detail makes a NACK; versions say nothing (grpc proposal A46).
  private onAnswer(state: TypeState, nonce: string, detail: Status | undefined): string {
    if (nonce === '' || nonce !== state.pendingNonce) return ''
    if (!detail) {
      state.ack()
      if (state.typeUrl === SECRET_TYPE && !state.refused) this.offers = 0
      return nonce
    }
    this.events.nacked(this, state.typeUrl, nonce, state.nack(), detail)
    if (state.typeUrl === SECRET_TYPE) this.offerAgain(state)
    return ''
  }

  /** A secret may name files of the client's machine: that they are good now, nobody here is told. Each time it is waited twice as long. */
  private offerAgain(secrets: TypeState): void {
    clearTimeout(this.secretsTimer)
    const afterMs = Math.min(this.limits.offerSecretsAgainMs * 2 ** this.offers, MAX_OFFER_MS)
    this.secretsTimer = setTimeout(() => {
      this.offers++
      secrets.snapshotChanged(false)
      this.push()
    }, afterMs)
    this.secretsTimer.unref()
  }

  private afterRequest(typeUrl: string, ackedNonce: string): void {
    let names = 0
    for (const type of this.types.values()) names += type.subscriptionCount
    if (names > this.limits.maxSubscriptions) {
      this.refuse(status.RESOURCE_EXHAUSTED, `more than maxSubscriptions (${this.limits.maxSubscriptions}) resource names on one stream`)
      return
    }
    this.push()
    this.events.settled(this, typeUrl, ackedNonce)
  }

  private admit(node: Node | undefined, requestType: string): string | null {
    if (!this.open) return null
    const typeUrl = requestType === '' && this.onlyType !== null ? this.onlyType : requestType
    if (typeUrl === '') return this.refuse(status.INVALID_ARGUMENT, 'type_url: required in every request')
    if (this.onlyType !== null && typeUrl !== this.onlyType) {
      return this.refuse(status.INVALID_ARGUMENT, `type_url: this service carries only ${this.onlyType}`)
    }
    if (this.node === null) {
      if (!node?.id) return this.refuse(status.INVALID_ARGUMENT, 'node.id: required in the first request of a stream')
      this.node = node
      const refusal = this.events.identify(this, node)
      if (refusal) return this.refuse(refusal.code, refusal.message)
    }
    if (!this.types.has(typeUrl) && this.types.size >= this.limits.maxTypes) {
      return this.refuse(status.RESOURCE_EXHAUSTED, `more than maxTypes (${this.limits.maxTypes}) resource types on one stream`)
    }
    return typeUrl
  }

  private refuse(code: status, message: string): null {
    this.close({ code, message })
    return null
  }

  /** Sends all that is due; every pass sends at least one response or is the last, and one type has at most one in flight. */
  private push(): void {
    while (this.open && this.snapshot !== undefined && this.pushOnce(this.snapshot)) {}
  }

  private pushOnce(snapshot: Snapshot): boolean {
    for (const state of this.types.values()) state.prepare(resourcesOf(snapshot, state.typeUrl))
    const clusters = this.types.get(CLUSTER_TYPE)
    const endpoints = this.types.get(ENDPOINT_TYPE)
    let sent = this.sendIfReady(clusters, 'upserts')
    if (sent) endpoints?.prepare(resourcesOf(snapshot, ENDPOINT_TYPE))
    sent = this.sendIfReady(endpoints, 'upserts') || sent
    for (const state of this.types.values()) {
      if (!ORDERED_TYPES.has(state.typeUrl)) sent = this.sendIfReady(state, 'all') || sent
    }
    if (unsettled(clusters) || unsettled(endpoints)) return sent
    let hold = false
    for (const typeUrl of LATE_TYPES) {
      const state = this.types.get(typeUrl)
      if (!state) continue
      state.prepare(resourcesOf(snapshot, typeUrl)) // the parent sent just before may have wiped it
      sent = this.sendIfReady(state, 'all') || sent
      hold ||= unsettled(state) || state.hasRemovals || state.refused
    }
    if (hold) return sent
    sent = this.sendIfReady(clusters, 'removals') || sent
    if (clusters && (clusters.pendingNonce !== null || clusters.hasRemovals)) return sent
    return this.sendIfReady(endpoints, 'removals') || sent
  }

  private sendIfReady(state: TypeState | undefined, part: PushPart): boolean {
    if (!state || state.pendingNonce !== null) return false
    const due = part === 'removals' ? state.hasRemovals : state.hasUpserts || (part === 'all' && state.hasRemovals)
    if (!due) return false
    const nonce = (++this.nonceCount).toString(16).padStart(8, '0')
    const push = state.send(part, nonce)
    for (const parent of push.changed) {
      for (const child of parent.children) this.types.get(child.typeUrl)?.wipe(child.names)
    }
    this.write(state.typeUrl, nonce, push)
    return true
  }

  private write(typeUrl: string, nonce: string, push: Push): void {
    const { identifier } = this.limits
    if (this.call.protocol === 'delta') {
      this.call.stream.send(deltaResponse(typeUrl, nonce, this.snapshotVersion, identifier, push))
      return
    }
    const controlPlane = identifier === '' ? undefined : create(ControlPlaneSchema, { identifier })
    const init = { typeUrl, nonce, versionInfo: push.version, resources: push.resources.map(pack), controlPlane }
    this.call.stream.send(toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, init)))
  }
}

/** `finish` makes it ready for the next: the buffer of a new one, beyond the heap, costs more than all that is written into it. */
const WRITER = new BinaryWriter()

/** A DeltaDiscoveryResponse, put together of resources that are written already. */
function deltaResponse(typeUrl: string, nonce: string, systemVersion: string, identifier: string, push: Push): Uint8Array {
  const field = (number: number, text: string): void => void WRITER.tag(number, WireType.LengthDelimited).string(text)
  if (systemVersion !== '') field(1, systemVersion)
  field(4, typeUrl)
  field(5, nonce)
  for (const name of push.removed) field(6, name)
  if (identifier !== '') WRITER.tag(7, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(identifier).join()
  const head = WRITER.finish()
  return push.resources.length === 0 ? head : Buffer.concat([head, ...push.resources.map(resource => resource.deltaField)])
}

function pack(resource: Resource) {
  return create(AnySchema, { typeUrl: resource.any.typeUrl, value: resource.any.value as Uint8Array<ArrayBuffer> })
}

function unsettled(state: TypeState | undefined): boolean {
  return state !== undefined && (state.pendingNonce !== null || state.hasUpserts)
}
