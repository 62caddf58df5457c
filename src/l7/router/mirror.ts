// request_mirror_policies: a copy of the request to a shadow cluster, whose response is read and dropped. It never delays or fails
// the request it copies. Bodies are mirrored while they fit the replay buffer (Envoy buffers the whole request too).

import { systemClock, type Timer } from '../../io/clock.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Host } from '../../upstream/host/host.js'
import type { Priority, UpstreamPools } from '../client/upstream-pools.js'
import { UpstreamRequest, type UpstreamRequestOwner } from '../client/upstream-request.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusOf, grpcToHttpStatus, isGrpcRequest } from '../grpc/grpc.js'
import type { CompiledForward } from '../route/compiled-route.js'
import { localAddress } from '../stream/local-address.js'

const EMPTY = Buffer.alloc(0)
const PRIORITY: Priority = 'DEFAULT'
/** Shadow requests under way at once, over all routes of a server; more are not sent. */
const MAX_ACTIVE_MIRRORS = 1024
/** A shadow that has not answered by then is dropped. */
const MIRROR_TIMEOUT_MS = 15_000

/** Where shadows go. */
export interface MirrorUpstreams {
  readonly clusters: { get(name: string): UpstreamCluster | undefined }
  readonly pools: Pick<UpstreamPools, 'poolFor' | 'protocolFor' | 'mirrors'>
  readonly random: () => number
}

/** A shadow for each policy that wants this request; null: none. The body follows when the request has ended. */
export function startMirrors(request: RequestHead, forward: CompiledForward, upstreams: MirrorUpstreams): Mirror[] | null {
  if (forward.mirrors.length === 0) return null
  const { clusters, pools, random } = upstreams
  const started: Mirror[] = []
  for (const mirror of forward.mirrors) {
    if (pools.mirrors.active >= MAX_ACTIVE_MIRRORS || !mirror.wants(random)) continue
    const name = mirror.model.cluster !== '' ? mirror.model.cluster : (request.headers.get(mirror.model.clusterHeader) ?? '')
    const host = clusters.get(name)?.pick({ hash: null, metadataMatch: null, maxAttempts: 1, random, shouldSkip: () => false }) ?? null
    if (host !== null) started.push(new Mirror(request, host, pools, mirror.model.disableShadowHostSuffix))
  }
  return started.length === 0 ? null : started
}

export class Mirror implements UpstreamRequestOwner {
  private readonly head: RequestHead
  private readonly upstream: UpstreamRequest
  private readonly running: MirrorUpstreams['pools']['mirrors']
  private readonly timer: Timer
  private body: Buffer = EMPTY
  private finished = false
  private counted = false
  private answered = false
  private sentAt = 0
  private readonly isGrpc: boolean

  constructor(request: RequestHead, host: Host, pools: MirrorUpstreams['pools'], keepHost: boolean) {
    this.running = pools.mirrors
    this.head = { ...request, headers: request.headers.clone() }
    this.isGrpc = isGrpcRequest(request)
    // As every request of our own in Envoy: we are the one it comes from, and inside.
    const { headers } = this.head
    const before = headers.getJoined('x-forwarded-for')
    headers.set('x-forwarded-for', before === undefined || before === '' ? localAddress() : `${before},${localAddress()}`)
    headers.set('x-envoy-internal', 'true')
    if (!keepHost) this.head.authority = shadowHost(this.head.authority)
    const pool = pools.poolFor(host, pools.protocolFor(host, this.head), PRIORITY, '')
    this.upstream = new UpstreamRequest(this, host, pool, host.cluster.breakers(PRIORITY), 1)
    this.timer = systemClock.after(MIRROR_TIMEOUT_MS, () => this.timedOut())
    this.running.active++
    this.running.total.value++
  }

  /** The request is complete: send the copy. */
  send(body: Buffer): void {
    this.body = body
    this.upstream.start()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    const { body } = this
    request.headSent = true
    this.sentAt = performance.now()
    request.stream!.sendHead(this.head, body.length === 0)
    if (body.length > 0) request.stream!.sendData(body, true)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(_request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    this.upstream.host.cluster.traffic.chargeResponse(head.status, true)
    this.answered = true
    if (head.status >= 500) this.judged(false)
    else if (!this.isGrpc) this.judged(true)
    else if (end) this.judgedByGrpc(head.headers)
    if (end) this.end()
  }

  onUpstreamData(_request: UpstreamRequest, _chunk: Buffer, end: boolean): void {
    if (end) this.end()
  }

  onUpstreamTrailers(_request: UpstreamRequest, trailers: HeaderList): void {
    if (this.isGrpc) this.judgedByGrpc(trailers)
    this.end()
  }

  onUpstreamFailure(): void {
    this.judged(false)
    this.end()
  }

  onUpstreamDrain(): void {}

  private timedOut(): void {
    this.upstream.host.stats.rqTimeout++
    this.judged(false)
    this.end()
  }

  private judgedByGrpc(headers: HeaderList): void {
    const status = grpcStatusOf(headers)
    this.judged(status >= 0 && grpcToHttpStatus(status) < 500)
  }

  /** Among the host's requests, as in Envoy: what copies come to is seen in load reports, and a rollout goes by it. */
  private judged(good: boolean): void {
    if (this.finished || this.counted) return
    this.counted = true
    const { stats } = this.upstream.host
    if (good) stats.rqSuccess++
    else stats.rqError++
  }

  end(): void {
    if (this.finished) return
    this.finished = true
    const { host } = this.upstream
    // What was answered took its time; what was cut off says nothing of it.
    if (this.answered) host.cluster.traffic.chargeTime(performance.now() - this.sentAt, true, false)
    this.running.active--
    this.timer.cancel()
    this.upstream.cancel()
  }
}

/** `host[:port]` -> `host-shadow[:port]`. */
function shadowHost(authority: string): string {
  const colon = authority.lastIndexOf(':')
  if (colon === -1 || authority.endsWith(']')) return `${authority}-shadow`
  return `${authority.slice(0, colon)}-shadow${authority.slice(colon)}`
}
