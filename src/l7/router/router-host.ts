// What the router needs of others: the client's side of the request (Exchange implements it), and the connection manager's parts
// (HttpRuntime). Declared here because the router is who needs them, so that it can be tested without either.
import type { HcmHandles, RouterHandles } from '../../metrics/stat-names.js'
import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import type { RouterConfig } from '../../model/http-filter.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { UpstreamPools } from '../client/upstream-pools.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { UpstreamFailures } from '../log/failure-log.js'
import type { LocalReply } from '../reply/local-reply.js'
import type { RouteSource } from '../route/route-holder.js'
import type { HeldBody } from '../stream/held-body.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** The client's side of a request, as the router sees it. Exchange implements it. */
export interface RouterHost {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body: HeldBody
  /** The client has seen a response head. */
  readonly responseStarted: boolean
  /** Answer from here; ends all tries. */
  reply(reply: LocalReply, headers?: HeaderList | null): void
  /** The body is longer than may be held. */
  requestTooLarge(limit: string): void
  /** Break off a response that has begun. */
  abort(flag: number, details: string): void
  startResponse(head: ResponseHead, end: boolean): void
  responseData(chunk: Buffer, end: boolean): void
  responseTrailers(trailers: HeaderList): void
  informational(head: ResponseHead): void
  pauseRequest(): void
  resumeRequest(): void
  /** How long the whole stream may last, from its start. 0: no limit. */
  limitDuration(ms: number): void
  /** An internal redirect: this request is over, `head` takes its stream. */
  redirected(head: RequestHead, dropBody: boolean): void
}

/** What the router uses of its connection manager. HttpRuntime is one. */
export interface RouterRuntime {
  readonly config: Pick<HttpConnectionManager, 'common'>
  readonly routerConfig: RouterConfig
  readonly routes: RouteSource
  readonly clusters: { get(name: string): UpstreamCluster | undefined }
  readonly pools: Pick<UpstreamPools, 'poolFor' | 'protocolFor' | 'mirrors'>
  readonly router: RouterHandles
  readonly stats: Pick<HcmHandles, 'downstream_flow_control_paused_reading_total' | 'downstream_flow_control_resumed_reading_total'>
  readonly bufferLimitBytes: number
  readonly failures: UpstreamFailures
  /** Uniform in [0, 1). */
  readonly random: () => number
}
