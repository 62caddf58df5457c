// The ADS server: per-node snapshots pushed over delta and state-of-the-world xDS streams. The control plane makes one, gives it each
// stream of its gRPC port (`serve`) and calls setSnapshot; server-stream.ts does the protocol. It knows nothing of what is inside a resource.
// Invariant: a snapshot equal to the one before sends nothing, and a node's streams all show the same snapshot.

import { status } from '@grpc/grpc-js'
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js'
import type { Status } from '../gen/google/rpc/status_pb.js'
import type { StreamEnd } from './discovery-stream.js'
import { AdsStream, type DiscoveryCall, type StreamEvents, type XdsProtocol } from './server-stream.js'
import { resourcesOf, type Snapshot, snapshotsEqual } from './snapshot.js'

export type { XdsProtocol } from './server-stream.js'

/** The part of a pino logger that is used. */
export interface XdsLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface AdsServerLimits {
  /** Open streams, all nodes together; above it: RESOURCE_EXHAUSTED, as Consul does. Default 20,000. */
  readonly maxStreams: number
  /** Explicit resource names of one stream, all types together. Default 100,000. */
  readonly maxSubscriptions: number
  /** Resource types of one stream. Default 32. */
  readonly maxTypes: number
  /** Resources of one delta response are cut here; the rest follows after its ACK. Default 48 MiB, below the 50 MiB message limit. */
  readonly maxResponseBytes: number
  /** Secrets that a client has refused are sent again after this time, then after twice as long, up to a minute. Default 10,000. */
  readonly offerSecretsAgainMs: number
  /** A stream that has not named its node by then is closed (DEADLINE_EXCEEDED). Default 30,000. */
  readonly firstRequestTimeoutMs: number
}

const DEFAULT_LIMITS: AdsServerLimits = {
  maxStreams: 20_000,
  maxSubscriptions: 100_000,
  maxTypes: 32,
  maxResponseBytes: 48 * 1024 * 1024,
  offerSecretsAgainMs: 10_000,
  firstRequestTimeoutMs: 30_000,
}

/** Consul's words: existing clients and operators look for them. */
const TOO_MANY_STREAMS: StreamEnd = {
  code: status.RESOURCE_EXHAUSTED,
  message: 'this server has too many xDS streams open, please try another',
}

/** `nodeKey` is the key that snapshots are set under; it defaults to `node.id`. */
export type Acceptance = { readonly ok: true; readonly nodeKey?: string } | { readonly code: status; readonly message: string }

export interface AdsStreamInfo {
  readonly nodeKey: string
  readonly node: Node
  readonly peer: string
  readonly protocol: XdsProtocol
}

export interface AdsAck {
  readonly nodeKey: string
  readonly typeUrl: string
  readonly nonce: string
}

export interface AdsNack extends AdsAck {
  /** The resources of the refused response. */
  readonly names: readonly string[]
  /** `error_detail.code` and `.message` of the client. */
  readonly code: number
  readonly message: string
}

export interface AdsServerOptions {
  /** Decides about a stream by its first request's node and its call metadata (token). Also called again by `reauthorize()`. */
  accept(node: Node, metadata: (key: string) => string | undefined): Acceptance
  /** What `reauthorize` names the stream's node by, among others of its kind; default: nothing. */
  groupOf?(node: Node): string | undefined
  onStreamOpen?(stream: AdsStreamInfo): void
  onStreamClose?(stream: AdsStreamInfo): void
  onAck?(ack: AdsAck): void
  onNack?(nack: AdsNack): void
  /** Every open stream of the node has acknowledged all it subscribes to of the snapshot with this version. */
  onSynced?(nodeKey: string, version: string): void
  logger?: XdsLogger
  /** `control_plane.identifier` of responses. Default `outrigger`. */
  identifier?: string
  limits?: Partial<AdsServerLimits>
}

export interface AdsTypeStatus {
  readonly typeUrl: string
  readonly wildcard: boolean
  readonly subscribed: number
  /** Resource name -> version acknowledged. */
  readonly acked: ReadonlyMap<string, string>
  readonly inFlight: boolean
  /** The last NACK, kept until an ACK of the type. `at` is in ms since the epoch. */
  readonly lastNack: { readonly at: number; readonly code: number; readonly message: string; readonly names: readonly string[] } | null
}

export interface AdsNodeStatus {
  readonly nodeKey: string
  readonly connected: boolean
  readonly synced: boolean
  /** The version given to setSnapshot, or null while there is none. */
  readonly snapshotVersion: string | null
  readonly streams: readonly {
    readonly peer: string
    readonly protocol: XdsProtocol
    readonly openedAt: number
    /** `host:port` of the proxy's admin, as it says itself; '' = it does not. */
    readonly admin: string
    readonly types: readonly AdsTypeStatus[]
  }[]
}

/** One stream of a node: who it is, what it should have, and what became of that. */
export interface AdsClient {
  readonly node: Node
  readonly snapshot: Snapshot | undefined
  readonly types: readonly AdsTypeStatus[]
}

interface NodeRecord {
  snapshot: Snapshot | undefined
  version: string
  syncedVersion: string | null
  readonly streams: Set<AdsStream>
  readonly lastNacks: Map<string, NonNullable<AdsTypeStatus['lastNack']>>
}

export class AdsServer implements StreamEvents {
  private readonly limits: AdsServerLimits
  private readonly streams = new Set<AdsStream>()
  private readonly nodes = new Map<string, NodeRecord>()
  /** Streams by `groupOf` their nodes. */
  private readonly groups = new Map<string, Set<AdsStream>>()
  private mostStreams: number

  constructor(private readonly options: AdsServerOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.mostStreams = this.limits.maxStreams
  }

  /**
   * Makes `snapshot` the state of the node and pushes the difference to its streams. Returns false, and sends nothing, if it equals the
   * one before. `version` is shown to clients (`system_version_info`), in `status()` and `onSynced`.
   */
  setSnapshot(nodeKey: string, snapshot: Snapshot, version = ''): boolean {
    const record = this.record(nodeKey)
    if (record.snapshot && snapshotsEqual(record.snapshot, snapshot)) return false
    record.snapshot = snapshot
    record.version = version
    record.syncedVersion = null
    // A client that no longer asks for what it has refused says no more about it.
    for (const [typeUrl, { names }] of record.lastNacks)
      if (!names.some(name => resourcesOf(snapshot, typeUrl).has(name))) record.lastNacks.delete(typeUrl)
    for (const stream of [...record.streams]) stream.setSnapshot(snapshot, version)
    this.checkSynced(nodeKey, record)
    return true
  }

  /** Forgets the node's snapshot. Its streams stay open and keep what they have; nothing is sent until there is a snapshot again. */
  removeSnapshot(nodeKey: string): void {
    const record = this.nodes.get(nodeKey)
    if (!record) return
    record.snapshot = undefined
    record.syncedVersion = null
    for (const stream of record.streams) stream.setSnapshot(undefined, '')
    this.dropIfUnused(nodeKey, record)
  }

  /** Asks `accept` again about every open stream, or about those of some groups, and closes those that it now refuses. */
  reauthorize(groups?: Iterable<string>): void {
    const asked = groups === undefined ? [...this.streams] : [...groups].flatMap(group => [...(this.groups.get(group) ?? [])])
    for (const stream of asked) {
      if (!stream.node) continue
      const acceptance = this.options.accept(stream.node, key => stream.call.stream.metadata(key))
      if (!('ok' in acceptance)) stream.close(acceptance)
      else if ((acceptance.nodeKey ?? stream.node.id) !== stream.nodeKey) {
        stream.close({ code: status.ABORTED, message: 'the identity of this proxy changed, reconnect' })
      }
    }
  }

  isConnected(nodeKey: string): boolean {
    const record = this.nodes.get(nodeKey)
    return record !== undefined && record.streams.size > 0
  }

  /** Whether the node is connected and all its streams have acknowledged the current snapshot; `types`: of these. */
  isSynced(nodeKey: string, types?: ReadonlySet<string>): boolean {
    const record = this.nodes.get(nodeKey)
    return record !== undefined && recordSynced(record, types)
  }

  /** How many nodes have a stream open, and how many of those have acknowledged all that they should have. */
  counts(): { readonly connected: number; readonly synced: number } {
    let connected = 0
    let synced = 0
    for (const record of this.nodes.values()) {
      if (record.streams.size === 0) continue
      connected++
      if (recordSynced(record)) synced++
    }
    return { connected, synced }
  }

  status(): AdsNodeStatus[] {
    return [...this.nodes].map(([nodeKey, record]) => nodeStatus(nodeKey, record))
  }

  /** Undefined: it has neither a snapshot nor a stream. */
  statusOf(nodeKey: string): AdsNodeStatus | undefined {
    const record = this.nodes.get(nodeKey)
    return record && nodeStatus(nodeKey, record)
  }

  /** Everybody that is connected. */
  *clients(): IterableIterator<AdsClient> {
    for (const record of this.nodes.values()) {
      for (const stream of record.streams) {
        if (stream.node !== null) yield { node: stream.node, snapshot: record.snapshot, types: typesOf(stream, record) }
      }
    }
  }

  get streamCount(): number {
    return this.streams.size
  }

  /** Beyond `most` new streams are refused (those that are open stay); undefined: beyond `maxStreams` alone. */
  limitStreams(most: number | undefined): void {
    this.mostStreams = Math.min(most ?? Number.POSITIVE_INFINITY, this.limits.maxStreams)
  }

  /** Ends the oldest stream, so that its client looks for another server. */
  shedStream(): void {
    const [oldest] = this.streams
    oldest?.close(TOO_MANY_STREAMS)
  }

  /** Ends every stream with UNAVAILABLE, so that clients go elsewhere; the port is the caller's to close. */
  close(): void {
    for (const stream of [...this.streams]) stream.close({ code: status.UNAVAILABLE, message: 'the control plane is shutting down' })
  }

  /** Takes a stream. `onlyType`: of a single-type service, null for the aggregated one. */
  serve(call: DiscoveryCall, onlyType: string | null): void {
    const limits = { ...this.limits, identifier: this.options.identifier ?? 'outrigger' }
    const stream = new AdsStream(call, onlyType, limits, this)
    if (this.streams.size >= this.mostStreams) {
      stream.close(TOO_MANY_STREAMS)
      return
    }
    this.streams.add(stream)
    setTimeout(() => {
      if (!stream.node)
        stream.close({ code: status.DEADLINE_EXCEEDED, message: `no request within ${this.limits.firstRequestTimeoutMs} ms` })
    }, this.limits.firstRequestTimeoutMs).unref()
  }

  identify(stream: AdsStream, node: Node): StreamEnd | null {
    const acceptance = this.options.accept(node, key => stream.call.stream.metadata(key))
    if (!('ok' in acceptance)) {
      this.options.logger?.warn({ node: node.id, peer: stream.peer, code: acceptance.code }, `xds stream refused: ${acceptance.message}`)
      return acceptance
    }
    stream.nodeKey = acceptance.nodeKey ?? node.id
    const record = this.record(stream.nodeKey)
    record.streams.add(stream)
    this.join(stream, node)
    // It has acknowledged nothing yet.
    record.syncedVersion = null
    this.options.logger?.info({ node: stream.nodeKey, peer: stream.peer, protocol: stream.protocol }, 'xds stream opened')
    this.options.onStreamOpen?.(streamInfo(stream, node))
    stream.setSnapshot(record.snapshot, record.version)
    return null
  }

  settled(stream: AdsStream, typeUrl: string, ackedNonce: string): void {
    const record = this.nodes.get(stream.nodeKey)
    if (!record) return
    if (ackedNonce !== '') {
      record.lastNacks.delete(typeUrl)
      this.options.onAck?.({ nodeKey: stream.nodeKey, typeUrl, nonce: ackedNonce })
    }
    this.checkSynced(stream.nodeKey, record)
  }

  nacked(stream: AdsStream, typeUrl: string, nonce: string, names: readonly string[], detail: Status): void {
    const { code, message } = detail
    this.nodes.get(stream.nodeKey)?.lastNacks.set(typeUrl, { at: Date.now(), code, message, names })
    this.options.logger?.warn({ node: stream.nodeKey, typeUrl, names, code }, `xds update refused by the proxy: ${message}`)
    this.options.onNack?.({ nodeKey: stream.nodeKey, typeUrl, nonce, names, code, message })
  }

  closed(stream: AdsStream, end: StreamEnd | null): void {
    this.streams.delete(stream)
    const record = this.nodes.get(stream.nodeKey)
    if (!record?.streams.delete(stream) || !stream.node) return
    this.leave(stream, stream.node)
    this.options.logger?.info({ node: stream.nodeKey, peer: stream.peer }, `xds stream closed${end ? `: ${end.message}` : ''}`)
    this.options.onStreamClose?.(streamInfo(stream, stream.node))
    if (record.streams.size > 0) this.checkSynced(stream.nodeKey, record)
    else this.dropIfUnused(stream.nodeKey, record)
  }

  private join(stream: AdsStream, node: Node): void {
    const group = this.options.groupOf?.(node)
    if (group === undefined) return
    const streams = this.groups.get(group)
    if (streams === undefined) this.groups.set(group, new Set([stream]))
    else streams.add(stream)
  }

  private leave(stream: AdsStream, node: Node): void {
    const group = this.options.groupOf?.(node)
    const streams = group === undefined ? undefined : this.groups.get(group)
    if (streams?.delete(stream) === true && streams.size === 0) this.groups.delete(group!)
  }

  private checkSynced(nodeKey: string, record: NodeRecord): void {
    if (!this.options.onSynced || record.syncedVersion === record.version || !recordSynced(record)) return
    record.syncedVersion = record.version
    this.options.onSynced(nodeKey, record.version)
  }

  private record(nodeKey: string): NodeRecord {
    let record = this.nodes.get(nodeKey)
    if (!record) {
      record = { snapshot: undefined, version: '', syncedVersion: null, streams: new Set(), lastNacks: new Map() }
      this.nodes.set(nodeKey, record)
    }
    return record
  }

  // Records live as long as a snapshot or a stream does, which bounds the table.
  private dropIfUnused(nodeKey: string, record: NodeRecord): void {
    if (!record.snapshot && record.streams.size === 0) this.nodes.delete(nodeKey)
  }
}

function recordSynced(record: NodeRecord, types?: ReadonlySet<string>): boolean {
  if (record.streams.size === 0) return false
  for (const stream of record.streams) if (!stream.isSynced(types)) return false
  return true
}

function nodeStatus(nodeKey: string, record: NodeRecord): AdsNodeStatus {
  return {
    nodeKey,
    connected: record.streams.size > 0,
    synced: recordSynced(record),
    snapshotVersion: record.snapshot ? record.version : null,
    streams: [...record.streams].map(stream => ({
      peer: stream.peer,
      protocol: stream.protocol,
      openedAt: stream.openedAt,
      admin: adminOf(stream.node),
      types: typesOf(stream, record),
    })),
  }
}

function typesOf(stream: AdsStream, record: NodeRecord): AdsTypeStatus[] {
  return [...stream.types.values()].map(state => ({
    typeUrl: state.typeUrl,
    wildcard: state.wildcard,
    subscribed: state.subscriptionCount,
    acked: state.ackedVersions(),
    inFlight: state.pendingNonce !== null,
    lastNack: record.lastNacks.get(state.typeUrl) ?? null,
  }))
}

function streamInfo(stream: AdsStream, node: Node): AdsStreamInfo {
  return { nodeKey: stream.nodeKey, node, peer: stream.peer, protocol: stream.protocol }
}

/** What our own sidecar says in its node's metadata; a text of bounded length, or nothing. */
function adminOf(node: Node | null): string {
  const said = node?.metadata?.['outrigger_admin']
  return typeof said === 'string' && said.length <= 300 ? said : ''
}
