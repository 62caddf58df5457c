// A router without a client and without sockets: FakeHost is the client's side (RouterHost), tries are recorded by a fake pool and
// answered by the test. Clusters, hosts, breakers and counters are the real ones.

import type { ClientEvents, ClientStream, RequestHead, ResponseHead } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import type { LocalReply } from '../../../src/l7/reply/local-reply.js'
import { RouteHolder } from '../../../src/l7/route/route-holder.js'
import { compileRouteTable } from '../../../src/l7/route/route-table.js'
import { Router } from '../../../src/l7/router/router.js'
import type { RouterHost, RouterRuntime } from '../../../src/l7/router/router-host.js'
import { HeldBody } from '../../../src/l7/stream/held-body.js'
import type { StreamInfo } from '../../../src/l7/stream/stream-info.js'
import { Counter } from '../../../src/metrics/stat.js'
import { hcmStats } from '../../../src/metrics/stat-names.js'
import type { Cluster } from '../../../src/model/cluster.js'
import type { RetryPolicy, Route, VirtualHost } from '../../../src/model/route.js'
import { endpoint, locality, staticCluster, testRegistry } from '../../upstream/fixtures.js'
import { forwardAction, head, info, route, routeTable, virtualHost } from '../request-fixtures.js'

export class FakeHost implements RouterHost {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body: HeldBody
  responseStarted = false
  /** What the client got, one line a call. */
  readonly seen: string[] = []
  router: Router | null = null

  constructor(request: RequestHead, ended: boolean) {
    this.request = request
    this.info = info(request)
    this.body = new HeldBody(ended)
  }

  reply({ status, details }: LocalReply): void {
    this.seen.push(`reply ${status} ${details}`)
    this.router?.abandon()
  }
  requestTooLarge = (limit: string) => void this.seen.push(`too large: ${limit}`)
  abort = (_flag: number, details: string) => void this.seen.push(`abort ${details}`)
  startResponse(response: ResponseHead, end: boolean): void {
    this.responseStarted = true
    this.seen.push(`head ${response.status}${end ? ' end' : ''}`)
  }
  responseData = (chunk: Buffer, end: boolean) => void this.seen.push(`data ${chunk.toString()}${end ? ' end' : ''}`)
  responseTrailers = () => void this.seen.push('trailers')
  informational = (response: ResponseHead) => void this.seen.push(`informational ${response.status}`)
  pauseRequest = () => void this.seen.push('pause')
  resumeRequest = () => {}
  limitDuration = (ms: number) => void this.seen.push(`limit ${ms}`)
  redirected = (next: RequestHead, dropBody: boolean) => void this.seen.push(`redirected ${next.path}${dropBody ? ' without body' : ''}`)
}

/** One try, as its endpoint sees it. */
export class Try implements Partial<ClientStream> {
  readonly bufferedBytes = 0
  head: RequestHead | null = null
  sent = ''
  ended = false
  cancelled = false
  paused = false
  full = false

  constructor(
    readonly cluster: string,
    readonly address: string,
    readonly events: ClientEvents,
  ) {}

  sendHead(sent: RequestHead, end: boolean): void {
    this.head = { ...sent, headers: sent.headers.clone() }
    this.ended = end
  }
  sendData(chunk: Buffer, end: boolean): boolean {
    this.sent += chunk.toString()
    this.ended ||= end
    return !this.full
  }
  sendTrailers(): void {
    this.ended = true
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  reset(): void {
    this.cancelled = true
  }
  /** The endpoint answers with a head alone. */
  answer(status: number, headers: readonly (readonly [string, string])[] = [], end = true): void {
    this.events.onHead(response(status, headers), end)
  }
  fail(code: 'connection-closed' | 'remote-reset' | 'refused' = 'connection-closed'): void {
    this.events.onReset({ code, details: '' })
  }
}

export function response(status: number, headers: readonly (readonly [string, string])[] = []): ResponseHead {
  return { status, reason: '', version: 'HTTP/1.1', headers: HeaderList.of(...headers), contentLength: -1, upgraded: false }
}

export interface WorldOptions {
  readonly request?: RequestHead
  /** The request's body is still to come. */
  readonly open?: boolean
  readonly action?: Parameters<typeof forwardAction>[0]
  readonly route?: Partial<Route>
  readonly host?: Partial<VirtualHost>
  readonly clusters?: readonly Cluster[]
  /** Tries wait for their connection until the test says so. */
  readonly dialling?: boolean
  /** Of the connections to endpoints; http1 where it is not said. */
  readonly protocol?: 'http1' | 'http2'
  readonly dynamicStats?: boolean
  readonly respectExpectedRqTimeout?: boolean
  readonly strictCheckHeaders?: readonly string[]
}

/** The default cluster: two endpoints. */
export const API = staticCluster('api', [locality([endpoint('10.0.0.1', 80), endpoint('10.0.0.2', 80)])])

export function world(options: WorldOptions = {}) {
  const { registry, store } = testRegistry()
  for (const cluster of options.clusters ?? [API])
    registry.apply({ ...cluster, http: { common: { maxStreamDurationMs: null } } as Cluster['http'] })
  const tries: Try[] = []
  const waiting: (() => void)[] = []
  const pools = {
    mirrors: { active: 0, total: new Counter('rq_total') },
    protocolFor: () => 'http1',
    poolFor: (host: { addressText: string; cluster: { name: string } }) => ({
      acquire(waiter: { onPoolReady(connection: unknown): void }) {
        const ready = () =>
          waiter.onPoolReady({
            fresh: true,
            localAddress: '',
            protocol: options.protocol ?? 'http1',
            newStream(events: ClientEvents) {
              const made = new Try(host.cluster.name, host.addressText, events)
              tries.push(made)
              return made
            },
          })
        if (options.dialling === true) waiting.push(ready)
        else ready()
      },
      cancel() {},
      onStreamFree() {},
    }),
  }
  const stats = hcmStats(store, 'in')
  const model = routeTable([virtualHost('v', ['*'], [route('r', {}, forwardAction(options.action), options.route)], options.host)])
  const runtime: RouterRuntime = {
    config: { common: { maxStreamDurationMs: null } } as RouterRuntime['config'],
    routerConfig: {
      dynamicStats: options.dynamicStats ?? true,
      startChildSpan: false,
      suppressEnvoyHeaders: false,
      respectExpectedRqTimeout: options.respectExpectedRqTimeout ?? false,
      strictCheckHeaders: options.strictCheckHeaders ?? [],
    },
    routes: new RouteHolder(compileRouteTable(model, { runtime: EMPTY_RUNTIME, stats: store })),
    clusters: registry,
    pools: pools as never,
    router: stats.router,
    stats: stats.main,
    bufferLimitBytes: 1024 * 1024,
    failures: { record: () => {} },
    random: () => 0,
  }
  const host = new FakeHost(options.request ?? head(), options.open !== true)
  const router = new Router(host, runtime, null)
  host.router = router
  router.matchRoute()
  const counter = (name: string) => store.counter(name).value
  return { host, router, runtime, tries, counter, registry, connect: () => waiting.shift()!() }
}

export function retryPolicy(fields: Partial<RetryPolicy> = {}): RetryPolicy {
  return {
    retryOn: ['5xx'],
    numRetries: 1,
    perTryTimeoutMs: null,
    perTryIdleTimeoutMs: null,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    baseIntervalMs: 25,
    maxIntervalMs: 250,
    rateLimitedBackoff: null,
    avoidPreviousHosts: false,
    omitCanaryHosts: false,
    omitHostMetadata: null,
    avoidPreviousPrioritiesEvery: null,
    hostSelectionMaxAttempts: 1,
    ...fields,
  }
}
