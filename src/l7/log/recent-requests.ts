// What became of the requests of late, for "why was that a 503?": one record a request, found by its x-request-id. Filled at a request's end,
// read by the admin. Invariant: no header value is kept but those of Envoy's default access log; failed requests are pushed out by failed ones
// alone, so that they are there when somebody asks.
//
// HOT: once a request. The slots are made once and written over. What a client sent is copied into one buffer, since a slice of its head would
// hold the whole head for as long as the record lives; everything else is a number, or a text that the config or the connection holds anyway.

import { sourceOf } from '../stream/connection-info.js'
import { responseFlagsText } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** Few: each request walks over its slot, and what is walked over falls out of the caches of the rest. */
const GOOD_SLOTS = 128
const FAILED_SLOTS = 1024
const ID_BYTES = 64
const AUTHORITY_BYTES = 128
const PATH_BYTES = 384
const SLOT_BYTES = ID_BYTES + AUTHORITY_BYTES + PATH_BYTES

/** Of the route that matched. */
export interface RecordedRoute {
  readonly label: string
  readonly virtualHost: { readonly name: string }
}

/** Which records are asked for. */
export interface RecentQuery {
  /** '' = of any request. */
  readonly id: string
  /** At most so many. */
  readonly limit: number
  /** That ended then or later, milliseconds since the epoch; 0 = whenever. */
  readonly sinceMs: number
}

/** A record, as the admin shows it. */
export interface RecentRequest {
  readonly request_id: string
  readonly started: string
  readonly listener: string
  readonly filter_chain: string
  readonly direction: string
  /** The client's identity, or its address. */
  readonly source: string
  readonly method: string
  readonly authority: string
  readonly path: string
  readonly protocol: string
  readonly status: number
  readonly flags: string
  readonly details: string
  readonly denied_by?: string
  /** Why the last try that failed did so, or why there was none. */
  readonly failure?: string
  readonly virtual_host?: string
  readonly route?: string
  readonly cluster?: string
  readonly endpoint?: string
  readonly tries: number
  readonly bytes_received: number
  readonly bytes_sent: number
  /** Since the start, in ms; absent where it was not reached. */
  readonly timings: Readonly<Record<string, number>>
}

/** Every field set in the constructor, all of them written over. */
class Slot {
  startTimeMs = 0
  idLength = 0
  authorityLength = 0
  pathLength = 0
  listener = ''
  filterChain = ''
  direction = ''
  source = ''
  method = ''
  protocol = ''
  status = 0
  flags = 0
  details = ''
  deniedBy = ''
  failure = ''
  virtualHost = ''
  route = ''
  cluster = ''
  endpoint = ''
  tries = 0
  bytesReceived = 0
  bytesSent = 0
  requestEndMs = 0
  upstreamSentMs = 0
  upstreamHeadMs = 0
  responseSentMs = 0
  durationMs = 0
}

class Ring {
  private readonly slots: readonly Slot[]
  private readonly texts: Buffer
  private next = 0

  constructor(size: number) {
    this.slots = Array.from({ length: size }, () => new Slot())
    this.texts = Buffer.alloc(size * SLOT_BYTES)
  }

  // HOT
  write(info: StreamInfo, route: RecordedRoute | null): void {
    const { slots, texts, next } = this
    this.next = next + 1 === slots.length ? 0 : next + 1
    const slot = slots[next]!
    const { connection, request, startedAt } = info
    const base = next * SLOT_BYTES
    slot.startTimeMs = info.startTimeMs
    slot.idLength = texts.latin1Write(info.requestId, base, ID_BYTES)
    slot.authorityLength = request === null ? 0 : texts.latin1Write(request.authority, base + ID_BYTES, AUTHORITY_BYTES)
    slot.pathLength = request === null ? 0 : texts.latin1Write(request.path, base + ID_BYTES + AUTHORITY_BYTES, PATH_BYTES)
    slot.listener = connection.listenerName
    slot.filterChain = connection.filterChainName
    slot.direction = connection.trafficDirection
    slot.source = sourceOf(connection)
    slot.method = request === null ? '' : request.method
    slot.protocol = request === null ? '' : request.version
    slot.status = info.responseCode
    slot.flags = info.responseFlags
    slot.details = info.responseCodeDetails
    slot.deniedBy = info.deniedBy
    slot.failure = info.failure
    slot.virtualHost = route === null ? '' : route.virtualHost.name
    slot.route = route === null ? '' : route.label
    slot.cluster = info.upstreamCluster
    slot.endpoint = info.selectedHost === null ? '' : info.selectedHost.addressText
    slot.tries = info.upstreamRequestAttemptCount
    slot.bytesReceived = info.bytesReceived
    slot.bytesSent = info.bytesSent
    slot.requestEndMs = since(info.requestReceivedAt, startedAt)
    slot.upstreamSentMs = since(info.firstUpstreamByteSentAt, startedAt)
    slot.upstreamHeadMs = since(info.firstUpstreamByteReceivedAt, startedAt)
    slot.responseSentMs = since(info.firstDownstreamByteSentAt, startedAt)
    slot.durationMs = info.endedAt - startedAt
  }

  /** Newest first. */
  *read({ id, sinceMs }: RecentQuery): Generator<RecentRequest> {
    const { slots, texts } = this
    for (let i = 1; i <= slots.length; i++) {
      const at = (this.next - i + slots.length) % slots.length
      const slot = slots[at]!
      if (slot.startTimeMs === 0) return
      if (slot.startTimeMs + slot.durationMs < sinceMs) continue
      const base = at * SLOT_BYTES
      const requestId = texts.latin1Slice(base, base + slot.idLength)
      if (id === '' || requestId === id.slice(0, ID_BYTES)) yield shown(slot, requestId, texts.subarray(base + ID_BYTES, base + SLOT_BYTES))
    }
  }
}

/** -1: not reached. */
function since(at: number, startedAt: number): number {
  return at === 0 ? -1 : at - startedAt
}

function shown(slot: Slot, requestId: string, texts: Buffer): RecentRequest {
  const marks = {
    request_complete: slot.requestEndMs,
    upstream_request_sent: slot.upstreamSentMs,
    upstream_head_received: slot.upstreamHeadMs,
    response_sent: slot.responseSentMs,
    end: slot.durationMs,
  }
  const reached = Object.entries(marks).filter(([, ms]) => ms >= 0)
  return {
    request_id: requestId,
    started: new Date(slot.startTimeMs).toISOString(),
    listener: slot.listener,
    filter_chain: slot.filterChain,
    direction: slot.direction,
    source: slot.source,
    method: slot.method,
    authority: texts.latin1Slice(0, slot.authorityLength),
    path: texts.latin1Slice(AUTHORITY_BYTES, AUTHORITY_BYTES + slot.pathLength),
    protocol: slot.protocol,
    status: slot.status,
    flags: responseFlagsText(slot.flags),
    details: slot.details,
    ...(slot.deniedBy === '' ? {} : { denied_by: slot.deniedBy }),
    ...(slot.failure === '' ? {} : { failure: slot.failure }),
    ...(slot.route === '' ? {} : { virtual_host: slot.virtualHost, route: slot.route }),
    ...(slot.cluster === '' ? {} : { cluster: slot.cluster }),
    ...(slot.endpoint === '' ? {} : { endpoint: slot.endpoint }),
    tries: slot.tries,
    bytes_received: slot.bytesReceived,
    bytes_sent: slot.bytesSent,
    timings: Object.fromEntries(reached.map(([name, ms]) => [name, Math.round(ms * 1000) / 1000])),
  }
}

export class RecentRequests {
  private good: Ring | null = null
  private failed: Ring | null = null

  /** The request is over. HOT */
  record(info: StreamInfo, route: RecordedRoute | null): void {
    if (info.responseCode >= 500 || info.responseCode === 0 || info.responseFlags !== 0 || info.deniedBy !== '' || info.failure !== '') {
      if (this.failed === null) this.failed = new Ring(FAILED_SLOTS)
      this.failed.write(info, route)
    } else {
      if (this.good === null) this.good = new Ring(GOOD_SLOTS)
      this.good.write(info, route)
    }
  }

  /** Newest first, the failed ones before the good ones. */
  find(query: RecentQuery): RecentRequest[] {
    const found: RecentRequest[] = []
    for (const ring of [this.failed, this.good]) {
      if (ring === null) continue
      for (const record of ring.read(query)) {
        if (found.length >= query.limit) return found
        found.push(record)
      }
    }
    return found
  }
}
