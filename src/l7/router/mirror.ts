// request_mirror_policies: a copy of the request to a shadow cluster, whose response is read and dropped. It never delays or fails
// the request it copies. Bodies are mirrored while they fit the replay buffer (Envoy buffers the whole request too).

import { UpstreamRequest, type UpstreamRequestOwner } from '../client/upstream-request.js'
import type { ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { CompiledForward } from '../route/compiled-route.js'
import type { Exchange } from '../server/exchange.js'

const EMPTY = Buffer.alloc(0)
/** Shadow requests under way at once, over all routes; more are not sent. */
const MAX_ACTIVE_MIRRORS = 1024
/** A shadow that has not answered by then is dropped. */
const MIRROR_TIMEOUT_MS = 15_000

let activeMirrors = 0

/** Start a shadow for each policy that wants this request. The body follows when the request has ended. */
export function mirrorRequest(exchange: Exchange, forward: CompiledForward): void {
  if (forward.mirrors.length === 0) return
  for (const mirror of forward.mirrors) {
    if (activeMirrors >= MAX_ACTIVE_MIRRORS || !mirror.wants(exchange.runtime.random)) continue
    const name = mirror.model.cluster !== '' ? mirror.model.cluster : (exchange.request.headers.get(mirror.model.clusterHeader) ?? '')
    const cluster = exchange.runtime.clusters.get(name)
    const host = cluster?.pick({
      hash: null,
      metadataMatch: null,
      maxAttempts: 1,
      random: exchange.runtime.random,
      shouldSkip: () => false,
    })
    if (cluster === undefined || host === null || host === undefined) continue
    exchange.mirrors.push(new Mirror(exchange, host, mirror.model.disableShadowHostSuffix))
  }
}

export class Mirror implements UpstreamRequestOwner {
  private readonly exchange: Exchange
  private readonly head
  private readonly upstream: UpstreamRequest
  private readonly timer: NodeJS.Timeout
  private body: Buffer | null = null
  private finished = false

  constructor(exchange: Exchange, host: ConstructorParameters<typeof UpstreamRequest>[1], keepHost: boolean) {
    this.exchange = exchange
    this.head = { ...exchange.request, headers: exchange.request.headers.clone() }
    if (!keepHost) this.head.authority = shadowHost(this.head.authority)
    const { pools } = exchange.runtime
    const pool = pools.poolFor(host, pools.protocolFor(host, this.head), 'DEFAULT', '')
    this.upstream = new UpstreamRequest(this, host, pool, host.cluster.breakers('DEFAULT'), 1)
    this.timer = setTimeout(() => this.end(), MIRROR_TIMEOUT_MS)
    this.timer.unref()
    activeMirrors++
  }

  /** The request is complete: send the copy. `body` null: it was too long to keep, so no shadow is sent. */
  send(body: Buffer | null): void {
    if (body === null) {
      const stats = this.exchange.cluster?.traffic.main
      if (stats !== undefined) stats.retry_or_shadow_abandoned.value++
      this.end()
      return
    }
    this.body = body
    this.upstream.start()
  }

  onUpstreamReady(request: UpstreamRequest): void {
    const body = this.body ?? EMPTY
    request.headSent = true
    request.requestSent = true
    request.stream!.sendHead(this.head, body.length === 0)
    if (body.length > 0) request.stream!.sendData(body, true)
  }

  onUpstreamInformational(): void {}

  onUpstreamHead(_request: UpstreamRequest, head: ResponseHead, end: boolean): void {
    this.upstream.host.cluster.traffic.chargeResponse(head.status, false)
    if (end) this.end()
  }

  onUpstreamData(_request: UpstreamRequest, _chunk: Buffer, end: boolean): void {
    if (end) this.end()
  }

  onUpstreamTrailers(_request: UpstreamRequest, _trailers: HeaderList): void {
    this.end()
  }

  onUpstreamFailure(): void {
    this.end()
  }

  onUpstreamDrain(): void {}

  end(): void {
    if (this.finished) return
    this.finished = true
    activeMirrors--
    clearTimeout(this.timer)
    this.upstream.cancel()
  }
}

/** `host[:port]` -> `host-shadow[:port]`. */
function shadowHost(authority: string): string {
  const colon = authority.lastIndexOf(':')
  if (colon === -1 || authority.endsWith(']')) return `${authority}-shadow`
  return `${authority.slice(0, colon)}-shadow${authority.slice(colon)}`
}
