// A request as filters see it, without an exchange: head, route overrides, and a record of what the filter did.

import type { AsyncRequest, AsyncResult, GrpcCallback } from '../../../src/l7/client/async-client.js'
import type { RequestHead, ResponseHead } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { compileFilters, type FilterEnvironment } from '../../../src/l7/filters/compile-filters.js'
import type { HttpFilter as CustomHttpFilter } from '../../../src/l7/filters/custom/custom-filter.js'
import type { FilterConfigs, FilterConfigUser } from '../../../src/l7/filters/discovered-filter.js'
import type { FilterFactory, StreamFilter } from '../../../src/l7/filters/http-filter.js'
import type { RequestControl } from '../../../src/l7/filters/request-control.js'
import type { RedirectOutcome, ResponseControl } from '../../../src/l7/filters/response-control.js'
import type { CompiledRoute } from '../../../src/l7/route/compiled-route.js'
import type { ConnectionInfo } from '../../../src/l7/stream/connection-info.js'
import { StreamInfo } from '../../../src/l7/stream/stream-info.js'
import { HcmStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { HttpFilter, HttpFilterOverride } from '../../../src/model/http-filter.js'
import type { Metadata } from '../../../src/model/metadata.js'
import type { RateLimit } from '../../../src/model/rate-limit.js'
import type { PeerIdentity } from '../../../src/mtls/peer/peer-identity.js'
import { SecretRegistry } from '../../../src/mtls/secrets/secret-registry.js'
import { ManualClock } from '../../support/manual-clock.js'

/** Requests wait in `http` and `grpc` until the test answers them. */
export class FakeEnvironment {
  readonly store = new StatsStore()
  readonly clock = new ManualClock()
  readonly runtime = new Map<string, number | boolean | string>()
  readonly http: { cluster: string; request: AsyncRequest; answer: (result: AsyncResult) => void; cancelled: boolean }[] = []
  readonly grpc: { path: string; message: Buffer; timeoutMs: number; answer: GrpcCallback; cancelled: boolean }[] = []
  readonly sources = new Map<string, string>()
  readonly secrets = new SecretRegistry()
  randomValue = 0
  failing = false
  wallMs = 1_700_000_000_000
  metadata: Metadata = new Map()
  clusters = new Map<string, unknown>()
  /** Who wants which extension config. */
  readonly users = new Map<string, FilterConfigUser>()
  readonly customFilters = new Map<string, CustomHttpFilter>()
  private readonly filterConfigs: FilterConfigs = {
    hold: (_place, name, _discovery, user) => void this.users.set(name, user),
    drop: (_place, name) => void this.users.delete(name),
  }

  get env(): FilterEnvironment {
    return {
      stats: new HcmStats(this.store, 'in'),
      store: this.store,
      runtime: this.runtime,
      random: () => this.randomValue,
      listenerMetadata: this.metadata,
      httpClient: {
        send: (cluster, request, answer) => {
          const call = { cluster, request, answer, cancelled: false }
          this.http.push(call)
          return { cancel: () => (call.cancelled = true) }
        },
      },
      grpcClient: {
        unary: (_service, path, message, timeoutMs, answer) => {
          const call = { path, message, timeoutMs, answer, cancelled: false }
          this.grpc.push(call)
          return { cancel: () => (call.cancelled = true) }
        },
        stream: () => ({ send: () => true, full: false, close: () => {} }),
        exchange: () => ({ send: () => true, full: false, close: () => {} }),
      },
      filterConfigs: this.filterConfigs,
      customFilters: this.customFilters,
      clusters: this.clusters as FilterEnvironment['clusters'],
      secrets: this.secrets,
      readSource: source => (source.kind === 'inline' ? source.text : undefined),
      healthFailed: () => this.failing,
      log: () => {},
      clock: this.clock,
      wallClock: () => this.wallMs,
      serviceCluster: 'me',
    }
  }

  factory(filter: Record<string, unknown>): FilterFactory {
    return this.factories([filter])[0]!
  }

  factories(filters: readonly Record<string, unknown>[]): FilterFactory[] {
    return compileFilters(
      filters.map(filter => ({ name: 'f', disabled: false, ...filter }) as HttpFilter),
      this.env,
    ).factories
  }

  counter(name: string): number {
    return this.store.counter(name).value
  }
}

export function requestHead(fields: Partial<RequestHead> = {}, headers: Record<string, string | string[]> = {}): RequestHead {
  const list = new HeaderList()
  for (const [name, value] of Object.entries(headers)) for (const one of Array.isArray(value) ? value : [value]) list.append(name, one)
  return {
    method: 'GET',
    scheme: 'http',
    authority: 'api.example',
    path: '/',
    version: 'HTTP/1.1',
    headers: list,
    upgrade: '',
    contentLength: 0,
    hostName: 'host',
    expectContinue: false,
    ...fields,
  }
}

export function responseHead(status = 200, headers: Record<string, string> = {}): ResponseHead {
  const list = HeaderList.of(...Object.entries(headers))
  const length = list.get('content-length')
  return {
    status,
    reason: '',
    version: 'HTTP/1.1',
    headers: list,
    contentLength: length === undefined ? -1 : Number(length),
    upgraded: false,
  }
}

export function connectionInfo(uriSan: string | null, fields: Partial<ConnectionInfo> = {}): ConnectionInfo {
  const peer: PeerIdentity | null =
    uriSan === null
      ? null
      : {
          validated: true,
          uriSans: [uriSan],
          dnsSans: [],
          emailSans: [],
          ipSans: [],
          otherNames: [],
          x509: null,
          subject: '',
          issuer: '',
          serialNumber: '01',
          sha256: '',
          notBefore: new Date(0),
          notAfter: new Date(0),
          pem: 'PEM',
          chainPem: '',
          notAfterMs: 0,
        }
  return {
    id: 1,
    listenerName: 'l',
    listenerMetadata: new Map(),
    filterChainName: '',
    filterChainMetadata: new Map(),
    trafficDirection: 'INBOUND',
    localAddress: '10.0.0.2',
    localPort: 8080,
    localAddressRestored: false,
    remoteAddress: '10.0.0.1',
    remotePort: 5555,
    directRemoteAddress: '10.0.0.1',
    directRemotePort: 5555,
    requestedServerName: '',
    tls:
      peer === null
        ? null
        : {
            sni: 'api',
            version: 'TLSv1.3',
            cipher: '',
            alpn: '',
            resumed: false,
            peer,
            localUriSans: ['spiffe://td/ns/default/dc/dc1/svc/api'],
            localDnsSans: [],
            localSubject: '',
            local: null,
          },
    ...fields,
  }
}

export interface FakeRoute {
  readonly overrides?: Record<string, HttpFilterOverride>
  readonly cluster?: string
  readonly rateLimits?: readonly RateLimit[]
}

export class FakeCall implements ResponseControl, RequestControl {
  readonly info: StreamInfo
  readonly request: RequestHead
  route: CompiledRoute | null
  ended = false
  reply: { status: number; body: string; details: string; flags: number; headers: HeaderList | null } | null = null
  resumed = 0
  routeCleared = 0
  emitted: { chunk: Buffer; end: boolean }[] = []
  emittedTrailers: HeaderList | null = null
  replacedBody: Buffer | null = null
  buffering: { maxBytes: number; allowPartial: boolean; done: (body: Buffer, complete: boolean) => void } | null = null
  responseBuffering: Parameters<ResponseControl['bufferResponse']>[1] | null = null
  paused = false
  /** Of virtual host and table, the latter first. */
  generalOverrides: readonly HttpFilterOverride[] = []
  readonly bufferLimitBytes = 1024 * 1024
  requestTrailers: HeaderList | null = null
  emittedUpstream: { chunk: Buffer; end: boolean }[] = []
  requestPaused = false
  redirected: { head: RequestHead; state: object } | null = null
  redirectOutcome: RedirectOutcome = 'redirected'
  /** Resolves when the filter has answered or let the request go on. */
  readonly decided: Promise<void>
  private settle!: () => void

  constructor(request: RequestHead, connection: ConnectionInfo = connectionInfo(null), route: FakeRoute | null = {}) {
    this.request = request
    this.decided = new Promise(resolve => {
      this.settle = resolve
    })
    this.info = new StreamInfo(connection, 1_700_000_000_000, 0)
    this.info.request = request
    const overrides = new Map(Object.entries(route?.overrides ?? {}))
    const limits = route?.rateLimits ?? []
    this.route =
      route === null
        ? null
        : ({
            model: { action: { kind: 'forward', cluster: { kind: 'cluster', name: route.cluster ?? 'backend' } } },
            forward: { rateLimits: { override: limits, include: limits, ignore: limits } },
            hasOverrides: overrides.size > 0,
            overrideFor: (name: string) => overrides.get(name),
          } as CompiledRoute)
  }

  overrideFor(filterName: string): HttpFilterOverride | undefined {
    return this.route?.overrideFor(filterName)
  }

  overridesFor(filterName: string): readonly HttpFilterOverride[] {
    const override = this.overrideFor(filterName)
    return [...this.generalOverrides, ...(override === undefined ? [] : [override])]
  }

  clearRouteCache(): void {
    this.routeCleared++
  }

  sendReply(status: number, body: string, details: string, flags: number, headers: HeaderList | null = null): void {
    this.reply = { status, body, details, flags, headers }
    this.ended = true
    this.settle()
  }

  sendHead(status: number, details: string, headers: HeaderList): void {
    this.sendReply(status, '', details, 0, headers)
  }

  resume(): void {
    this.resumed++
    this.settle()
  }

  resumeResponse(): void {}

  bufferRequest(maxBytes: number, allowPartial: boolean, done: (body: Buffer, complete: boolean) => void): void {
    this.buffering = { maxBytes, allowPartial, done }
  }

  replaceRequestBody(body: Buffer): void {
    this.replacedBody = body
  }

  emitResponseData(_filter: StreamFilter, chunk: Buffer, end: boolean): void {
    this.emitted.push({ chunk: Buffer.from(chunk), end })
  }

  emitResponseTrailers(_filter: StreamFilter, trailers: HeaderList): void {
    this.emittedTrailers = trailers
  }

  emitRequestData(_filter: StreamFilter, chunk: Buffer, end: boolean): void {
    this.emittedUpstream.push({ chunk: Buffer.from(chunk), end })
  }

  emitRequestTrailers(_filter: StreamFilter, trailers: HeaderList): void {
    this.requestTrailers = trailers
  }

  pauseRequestBody(): void {
    this.requestPaused = true
  }

  unpauseRequestBody(): void {
    this.requestPaused = false
  }

  bufferResponse(_maxBytes: number, done: Parameters<ResponseControl['bufferResponse']>[1]): void {
    this.responseBuffering = done
  }

  resumeResponseWith(): void {
    this.resumeResponse()
  }

  replaceResponse(status: number, body: string, details: string, headers: HeaderList): void {
    this.sendReply(status, body, details, 0, headers)
  }

  redirect(head: RequestHead, state: object): RedirectOutcome {
    this.redirected = { head, state }
    return this.redirectOutcome
  }

  pauseResponse(): void {
    this.paused = true
  }

  unpauseResponse(): void {
    this.paused = false
  }
}

/** create() and the request head hook in one. */
export function runHead(factory: FilterFactory, call: FakeCall, end = true): { filter: StreamFilter | null; status: 'continue' | 'stop' } {
  const filter = factory.create(call)
  const status = filter?.requestHead === undefined ? 'continue' : filter.requestHead(call, call.request, end)
  return { filter, status }
}

export const ON = { defaultValue: true, runtimeKey: '' }
export const OFF = { defaultValue: false, runtimeKey: '' }
export const ALWAYS = { numerator: 100, denominator: 100, runtimeKey: '' }
export const NEVER = { numerator: 0, denominator: 100, runtimeKey: '' }
