// Everything known about one request (or one TCP connection) while it runs: what formatters print, filters exchange, access logs
// record. Made by the request path, passed by reference; every field is set in the constructor. HOT: one per request.

import type { Socket } from 'node:net'
import type { Cluster } from '../../model/cluster.js'
import { type JsonObject, type Metadata, OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import type { Host } from '../../upstream/host/host.js'
import type { HttpVersion, RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { ConnectionInfo } from './connection-info.js'
import type { StreamTrace } from './stream-trace.js'

/** The upstream connection in use, as formatters see it. */
export interface UpstreamConnectionInfo {
  readonly id: number
  readonly host: Host | null
  readonly peer: PeerIdentity | null
  readonly socket: Socket
}

/** Where a filter wants a request to go (stateful_session). */
export interface OverrideHost {
  /** Key of an endpoint; whether there is one, the cluster says. */
  readonly address: string
  /** No other endpoint will do: */
  readonly strict: boolean
  /** the request is answered with this status then. */
  readonly missingStatus: number
}

let lastConnectionId = 0

export function nextUpstreamConnectionId(): number {
  return ++lastConnectionId
}

/** Filter state of a request that the health_check filter takes for a probe; not_health_check_filter asks for it. */
export const HEALTH_CHECK_STATE = 'outrigger.health_check'

/** Filter state of a request that another was answered from: the policy of custom_response that sent it there. */
export const CUSTOM_RESPONSE_STATE = 'envoy.filters.http.custom_response'

export class StreamInfo {
  readonly connection: ConnectionInfo
  /** Wall clock, ms since the epoch. */
  readonly startTimeMs: number
  /** performance.now() at the start; durations are differences to it. */
  readonly startedAt: number
  request: RequestHead | null = null
  response: ResponseHead | null = null
  responseTrailers: HeaderList | null = null
  /** Of a request whose head could not be read: `request` is null, or what there was of it. */
  refusedProtocol: HttpVersion | '' = ''
  responseCode = 0
  responseFlags = 0
  /** Envoy's response_code_details; '' = none yet. */
  responseCodeDetails = ''
  connectionTerminationDetails = ''
  bytesReceived = 0
  bytesSent = 0
  upstreamBytesReceived = 0
  upstreamBytesSent = 0
  routeName = ''
  virtualClusterName = ''
  /** How often the route was matched. */
  routeResolutions = 0
  routeMetadata: Metadata | null = null
  virtualHostMetadata: Metadata | null = null
  upstreamCluster = ''
  /** Of that cluster, also before there is a host. */
  clusterConfig: Cluster | null = null
  upstreamHost: Host | null = null
  /** Heeded at the first try. */
  overrideHost: OverrideHost | null = null
  upstreamLocalAddress = ''
  upstreamConnection: UpstreamConnectionInfo | null = null
  /** Connections of earlier tries. */
  private earlierConnections: UpstreamConnectionInfo[] | null = null
  /** Endpoint of the newest try. */
  selectedHost: Host | null = null
  upstreamTransportFailureReason = ''
  upstreamRequestAttemptCount = 0
  upstreamProtocol = ''
  /** Client address after XFF rules (use_remote_address, trusted hops). */
  remoteAddress: string
  requestId = ''
  /** Null: it is not traced. */
  trace: StreamTrace | null = null
  /** x-envoy-internal: it comes from one of the configured internal ranges. */
  internal = false
  /** performance.now() marks; 0 = not reached. */
  requestReceivedAt = 0
  /** The try whose connection came last began to wait for it. */
  upstreamStartedAt = 0
  firstUpstreamByteSentAt = 0
  firstUpstreamByteReceivedAt = 0
  /** The response's end; 0 too when it was broken off. */
  lastUpstreamByteReceivedAt = 0
  firstDownstreamByteSentAt = 0
  endedAt = 0
  grpcStatus = -1
  /** The RBAC policy or intention that decided, for logs and the denied-by header. */
  deniedBy = ''
  /** Why the newest try failed, or why there was none; '' = nothing failed. For those who may know: it names hosts and limits. */
  failure = ''
  /** The line that is being written is the listener's own. */
  forListenerLog = false
  private metadata: Map<string, Record<string, unknown>> | null = null
  private state: Map<string, unknown> | null = null

  constructor(connection: ConnectionInfo, startTimeMs: number, startedAt: number) {
    this.connection = connection
    this.startTimeMs = startTimeMs
    this.startedAt = startedAt
    this.remoteAddress = connection.remoteAddress
  }

  /** The answer is whole; 0: it was broken off, on either side. */
  get lastDownstreamByteSentAt(): number {
    const brokenOff = this.firstUpstreamByteReceivedAt !== 0 && this.lastUpstreamByteReceivedAt === 0
    return brokenOff || this.firstDownstreamByteSentAt === 0 ? 0 : this.endedAt
  }

  /** Dynamic metadata of a namespace, or undefined. */
  dynamicMetadata(namespace: string): JsonObject | undefined {
    return this.metadata?.get(namespace) as JsonObject | undefined
  }

  metadataNamespaces(): readonly string[] {
    return this.metadata === null ? [] : [...this.metadata.keys()]
  }

  /** A try got its connection. */
  useConnection(connection: UpstreamConnectionInfo, startedAt: number): void {
    if (this.upstreamConnection !== null) {
      if (this.earlierConnections === null) this.earlierConnections = []
      this.earlierConnections.push(this.upstreamConnection)
    }
    this.upstreamConnection = connection
    this.upstreamStartedAt = startedAt
  }

  /** The connections of all tries, in order. */
  connectionsUsed(): readonly UpstreamConnectionInfo[] {
    return this.upstreamConnection === null ? [] : [...(this.earlierConnections ?? []), this.upstreamConnection]
  }

  setDynamicMetadata(namespace: string, key: string, value: unknown): void {
    if (this.metadata === null) this.metadata = new Map()
    let struct = this.metadata.get(namespace)
    if (struct === undefined) {
      struct = Object.create(null) as Record<string, unknown>
      this.metadata.set(namespace, struct)
    }
    struct[key] = value
  }

  /** Failing path only. */
  noteFailure(reason: string): void {
    this.failure = reason
    this.setDynamicMetadata(OUTRIGGER_METADATA, 'failure', reason)
  }

  filterState(key: string): unknown {
    return this.state?.get(key)
  }

  setFilterState(key: string, value: unknown): void {
    if (this.state === null) this.state = new Map()
    this.state.set(key, value)
  }
}

/** The cluster that a request went to, or was to go to. */
export function clusterOf(info: StreamInfo): Cluster | null {
  return info.upstreamHost?.cluster.config ?? info.clusterConfig
}
