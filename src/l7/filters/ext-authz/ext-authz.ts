// envoy.filters.http.ext_authz: an external service decides over each request, over gRPC (Authorization/Check) or HTTP. No answer is
// a refusal unless failure_mode_allow is set.
//
//   requestHead ──body wanted──▶ BUFFERING ──▶ CHECKING ──ok──▶ resume
//                                                  ├─ denied ──▶ reply      └─ error ──▶ reply | resume (failure_mode_allow)

import { grpcServiceName, grpcServicePlace } from '../../../model/grpc-service.js'
import type { ExtAuthzConfig } from '../../../model/http-filter.js'
import type { AsyncCall } from '../../client/async-client.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import type { HeaderList } from '../../codec/header-list.js'
import { compileRuntimeFraction, type FractionTest, flagIsOn } from '../../match/runtime-fraction.js'
import { compileStringMatchers } from '../../match/string-matcher.js'
import { ResponseFlag } from '../../stream/response-flags.js'
import { type FilterContext, PerCluster } from '../filter-environment.js'
import { applyHeader } from '../header-options.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { rewriteQuery } from '../query-rewrite.js'
import { targetCluster } from '../route-target.js'
import { isSafeHeader } from '../safe-header.js'
import type { AuthzDecision, DecidedHeader } from './ext-authz-decision.js'
import { CHECK, decodeCheckResponse, encodeCheckRequest } from './ext-authz-grpc.js'
import { HttpAuthzService } from './ext-authz-http.js'

const METADATA_NAMESPACE = 'envoy.filters.http.ext_authz'
const FAILURE_MODE_ALLOWED = 'x-envoy-auth-failure-mode-allowed'
const NO_EXTENSIONS: ReadonlyMap<string, string> = new Map()
const DEFAULT_TIMEOUT_MS = 200

const COUNTERS = ['ok', 'denied', 'error', 'disabled', 'failure_mode_allowed', 'invalid'] as const
const CLUSTER_COUNTERS = ['ok', 'denied', 'error', 'failure_mode_allowed'] as const

export function extAuthzFilter(name: string, disabled: boolean, config: ExtAuthzConfig, ctx: FilterContext): FilterFactory {
  const shared = new CompiledExtAuthz(config, ctx)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter {
      const override = call.overrideFor(name)
      return new ExtAuthzFilter(shared, override?.kind === 'extAuthz' ? override.contextExtensions : NO_EXTENSIONS)
    },
  }
}

class CompiledExtAuthz {
  readonly config: ExtAuthzConfig
  readonly ctx: FilterContext
  readonly stats
  readonly clusterStats
  readonly http: HttpAuthzService | null
  readonly serviceCluster: string
  /** As reasons name it. */
  readonly serviceName: string
  readonly disallowed: ReturnType<typeof compileStringMatchers>
  private readonly allowed: ReturnType<typeof compileStringMatchers>
  private readonly enabledTest: FractionTest | null

  constructor(config: ExtAuthzConfig, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    const name = config.statPrefix === '' ? 'ext_authz' : `ext_authz.${config.statPrefix}`
    this.stats = ctx.httpCounters(name, COUNTERS)
    this.clusterStats = new PerCluster(ctx, cluster => ctx.counters(ctx.scope(`cluster.${cluster}`).scope(name), CLUSTER_COUNTERS))
    const service = config.service.kind === 'http' ? { cluster: config.service.cluster, target: '' } : config.service.grpc
    this.serviceCluster = grpcServiceName(service)
    this.serviceName = `the authorization service${grpcServicePlace(service)}`
    this.http = config.service.kind === 'http' ? new HttpAuthzService(config.service, config.allowedHeaders) : null
    this.allowed = compileStringMatchers(config.allowedHeaders)
    this.disallowed = compileStringMatchers(config.disallowedHeaders)
    this.enabledTest = compileRuntimeFraction(config.filterEnabled, ctx.runtime)
  }

  enabled(): boolean {
    return this.enabledTest === null || this.enabledTest(this.ctx.random())
  }

  readonly allowsHeader = (lower: string): boolean => {
    if (this.disallowed?.(lower) === true) return false
    return this.allowed === null || this.allowed(lower)
  }

  count(what: (typeof CLUSTER_COUNTERS)[number], cluster: string): void {
    this.stats[what].value++
    const stats = this.clusterStats.get(cluster)
    if (stats !== null) stats[what].value++
  }
}

class ExtAuthzFilter implements StreamFilter {
  private readonly shared: CompiledExtAuthz
  private readonly contextExtensions: ReadonlyMap<string, string>
  private pending: AsyncCall | null = null
  private responseHeaders: readonly DecidedHeader[] = []
  private cluster = ''

  constructor(shared: CompiledExtAuthz, contextExtensions: ReadonlyMap<string, string>) {
    this.shared = shared
    this.contextExtensions = contextExtensions
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    const { shared } = this
    const { config } = shared
    if (!shared.enabled()) {
      shared.stats.disabled.value++
      if (!flagIsOn(config.denyAtDisable, shared.ctx.runtime)) return 'continue'
      call.sendReply(config.statusOnError, '', 'ext_authz_error', ResponseFlag.UnauthorizedExternalService)
      return 'stop'
    }
    // Ours to set: the upstream must be able to believe it.
    if (config.failureModeAllowHeaderAdd) head.headers.remove(FAILURE_MODE_ALLOWED)
    this.cluster = targetCluster(call, head)
    const wanted = config.withRequestBody
    if (wanted === null || end || head.upgrade !== '' || head.method === 'CONNECT') {
      this.check(call, head, wanted === null ? null : { bytes: Buffer.alloc(0), partial: false })
      return 'stop'
    }
    call.bufferRequest(wanted.maxBytes, wanted.allowPartial, (bytes, complete) => this.check(call, head, { bytes, partial: !complete }))
    return 'stop'
  }

  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    for (const header of this.responseHeaders) applyDecided(head.headers, header)
    this.responseHeaders = []
    return 'continue'
  }

  finished(): void {
    this.pending?.cancel()
    this.pending = null
  }

  private check(call: FilterCall, head: RequestHead, body: { readonly bytes: Buffer; readonly partial: boolean } | null): void {
    const { shared, contextExtensions } = this
    const { config } = shared
    const { env } = shared.ctx
    const decided = (decision: AuthzDecision) => {
      this.pending = null
      if (!call.ended) this.onDecision(call, head, decision)
    }
    if (shared.http !== null) {
      const { http } = shared
      const request = http.request(head, shared.disallowed, body)
      this.pending = env.httpClient.send(http.service.cluster, request, result => decided(http.decide(result)))
      return
    }
    if (config.service.kind !== 'grpc') return
    const { grpc } = config.service
    const message = encodeCheckRequest({ call, head, config, contextExtensions, allowsHeader: shared.allowsHeader, body })
    this.pending = env.grpcClient.unary(grpc, CHECK, message, grpc.timeoutMs ?? DEFAULT_TIMEOUT_MS, (status, bytes, details) => {
      decided(
        status === 0
          ? decodeCheckResponse(bytes)
          : { kind: 'error', message: `gRPC status ${status}${details === '' ? '' : `: ${details}`}` },
      )
    })
  }

  private onDecision(call: FilterCall, head: RequestHead, decision: AuthzDecision): void {
    const { shared } = this
    if (decision.kind !== 'error' && decision.metadata !== null) {
      for (const key of Object.keys(decision.metadata)) call.info.setDynamicMetadata(METADATA_NAMESPACE, key, decision.metadata[key])
    }
    switch (decision.kind) {
      case 'ok':
        shared.count('ok', this.cluster)
        this.apply(call, head, decision)
        call.resume()
        return
      case 'denied':
        shared.count('denied', this.cluster)
        this.responseHeaders = decision.headers
        call.info.noteFailure(`${shared.serviceName} denies it, with status ${decision.status}`)
        call.sendReply(decision.status, decision.body, 'ext_authz_denied', ResponseFlag.UnauthorizedExternalService)
        return
      case 'error':
        shared.count('error', this.cluster)
        this.onError(call, head, decision.message)
    }
  }

  private onError(call: FilterCall, head: RequestHead, message: string): void {
    const { shared } = this
    const { config } = shared
    shared.ctx.env.log('debug', `ext_authz: ${message}`)
    if (!config.failureModeAllow) {
      const reason = `${shared.serviceName} gives no answer, and failure_mode_allow is off: ${message}`
      call.info.noteFailure(reason)
      shared.ctx.env.failures?.record(shared.serviceCluster, 'ext_authz', reason)
      call.sendReply(config.statusOnError, '', 'ext_authz_error', ResponseFlag.UnauthorizedExternalService)
      return
    }
    shared.count('failure_mode_allowed', this.cluster)
    if (config.failureModeAllowHeaderAdd) head.headers.set(FAILURE_MODE_ALLOWED, 'true')
    call.resume()
  }

  private apply(call: FilterCall, head: RequestHead, decision: Extract<AuthzDecision, { kind: 'ok' }>): void {
    let changed = false
    for (const header of decision.requestHeaders) {
      changed = true
      if (header.name.toLowerCase() === 'host') head.authority = isSafeHeader('host', header.value) ? header.value : head.authority
      else applyDecided(head.headers, header)
    }
    for (const name of decision.removeHeaders) {
      // The host and the pseudo-headers make the request; they cannot be taken off it.
      if (name === '' || name === 'host' || name.startsWith(':')) continue
      changed = head.headers.remove(name) || changed
    }
    if (decision.setQuery.length > 0 || decision.removeQuery.length > 0) {
      changed = true
      head.path = rewriteQuery(head.path, decision.setQuery, decision.removeQuery)
    }
    this.responseHeaders = decision.responseHeaders
    if (changed && this.shared.config.clearRouteCache) call.clearRouteCache()
  }
}

function applyDecided(headers: HeaderList, header: DecidedHeader): void {
  if (!isSafeHeader(header.name, header.value)) return
  if (header.action !== 'append-existing') {
    applyHeader(headers, header.name, header.value, header.action)
    return
  }
  const before = headers.getJoined(header.name.toLowerCase())
  if (before !== undefined) headers.set(header.name, `${before},${header.value}`)
}
