// Handle bundles for what a sidecar is made of, spelled as in Envoy's documentation (`stats.main.upstream_rq_total.value++`).
// Called once when a listener, filter, cluster or subscription is compiled; the owner keeps the bundle and calls release() when the
// thing goes, which ends its series. Two owners of the same prefix share handles, and the series live until the last has gone.
// Invariant: what Envoy always shows is shown with 0 from the start (groups); what it makes on first use is a lazy getter here.
import type { Histogram } from './histogram.js'
import { ResponseCodeStats } from './response-codes.js'
import type { Counter, Gauge } from './stat.js'
import type { StatGroupType, StatHandles } from './stat-group.js'
import * as tables from './stat-tables.js'
import { type StatScope, type StatSource, sanitizeStatName } from './stats-store.js'
import type { SubscriptionStats } from './subscription-stats.js'

export type HandlesOf<T> = T extends { readonly handles: new (...args: never[]) => infer H } ? H : never

export type ListenerHandles = HandlesOf<typeof tables.LISTENER>
export type ListenerHttpHandles = HandlesOf<typeof tables.LISTENER_HTTP>
export type HcmHandles = HandlesOf<typeof tables.HTTP_CONNECTION_MANAGER>
export type RouterHandles = HandlesOf<typeof tables.ROUTER>
export type TracingHandles = HandlesOf<typeof tables.TRACING>
export type RbacHandles = HandlesOf<typeof tables.RBAC>
export type TcpProxyHandles = HandlesOf<typeof tables.TCP_PROXY>
export type ClusterHandles = HandlesOf<typeof tables.CLUSTER>
export type CircuitBreakerHandles = HandlesOf<typeof tables.CIRCUIT_BREAKER>
export type CircuitBreakerRemainingHandles = HandlesOf<typeof tables.CIRCUIT_BREAKER_REMAINING>
export type OutlierDetectionHandles = HandlesOf<typeof tables.OUTLIER_DETECTION>
export type HealthCheckHandles = HandlesOf<typeof tables.HEALTH_CHECK>
export type Http1CodecHandles = HandlesOf<typeof tables.HTTP1_CODEC>
export type Http2CodecHandles = HandlesOf<typeof tables.HTTP2_CODEC>
export type ServerHandles = HandlesOf<typeof tables.SERVER>
export type ListenerManagerHandles = HandlesOf<typeof tables.LISTENER_MANAGER>
export type ClusterManagerHandles = HandlesOf<typeof tables.CLUSTER_MANAGER>
export type RuntimeHandles = HandlesOf<typeof tables.RUNTIME>
export type VirtualClusterHandles = HandlesOf<typeof tables.VIRTUAL_CLUSTER>

/** Handles of one table that own nothing else: read a handle, release() at the end. */
export interface Released<H> {
  readonly main: H
  release(): void
}

/** Zones whose endpoints are counted apart under one cluster. */
export const MAX_ZONES = 256

/** Distinct TLS versions, ciphers, curves, ... counted by name under one `ssl.` scope; the rest count as `other`. */
export const MAX_TLS_NAMES = 64

// ---- listeners ----

/** `listener.<address>.`; `address` is `ip_port` as listenerStatName() makes it, or the listener's own `stat_prefix`. */
export class ListenerStats {
  readonly main: ListenerHandles
  readonly worker: HandlesOf<typeof tables.LISTENER_WORKER>
  readonly scope: StatScope
  private ssl: TlsStats | null = null
  private readonly byHttpPrefix = new Map<string, ListenerHttpHandles>()

  constructor(source: StatSource, address: string, thread: string) {
    this.scope = source.scope(`listener.${sanitizeStatName(address)}`)
    this.main = this.scope.group(tables.LISTENER)
    if (thread !== ADMIN_THREAD) void this.extensions
    this.worker = this.scope.scope(thread).group(tables.LISTENER_WORKER)
  }

  /** Connections that were closed for a filter without its configuration. */
  get extensions(): HandlesOf<typeof tables.LISTENER_EXTENSIONS> {
    return this.scope.group(tables.LISTENER_EXTENSIONS)
  }

  /** `listener.<address>.ssl.`, from the first filter chain with TLS on. */
  get tls(): TlsStats {
    return (this.ssl ??= new TlsStats(this.scope, 'server'))
  }

  /** `listener.<address>.http.<prefix>.` of a connection manager on this listener. */
  http(prefix: string): ListenerHttpHandles {
    let handles = this.byHttpPrefix.get(prefix)
    if (!handles) this.byHttpPrefix.set(prefix, (handles = this.scope.scope(`http.${prefix}`).group(tables.LISTENER_HTTP)))
    return handles
  }

  release(): void {
    this.scope.release()
  }
}

/** The admin endpoint's connections belong to the main thread, as in Envoy. */
const ADMIN_THREAD = 'main_thread'

/** `listener.admin.` */
export function adminListenerStats(source: StatSource): ListenerStats {
  return new ListenerStats(source, 'admin', ADMIN_THREAD)
}

/** `thread`: of the process that serves it. */
export function listenerStats(source: StatSource, address: string, thread = 'worker_0'): ListenerStats {
  return new ListenerStats(source, address, thread)
}

/** The part of a listener's stat names that stands for its address: `127.0.0.1_8080`, `[__1]_8080`; a Unix path as it is. */
export function listenerStatName(address: string, port: number | null): string {
  if (port === null) return sanitizeStatName(address)
  return sanitizeStatName(address.includes(':') && !address.startsWith('[') ? `[${address}]:${port}` : `${address}:${port}`)
}

/** `<scope>.ssl.` of a listener or cluster. Counters by negotiated name are made on first use. */
export class TlsStats {
  readonly main: HandlesOf<typeof tables.TLS>
  readonly socketFactory: HandlesOf<typeof tables.TLS_SOCKET_FACTORY>
  readonly scope: StatScope
  private readonly byName = new Map<string, Counter>()

  /** `side`: what the proxy is in these handshakes. */
  constructor(parent: StatScope, side: 'client' | 'server') {
    this.scope = parent.scope('ssl')
    this.main = this.scope.group(tables.TLS)
    this.socketFactory = parent.scope(`${side}_ssl_socket_factory`).group(tables.TLS_SOCKET_FACTORY)
  }

  /** For example `countName('ciphers', 'TLS_AES_128_GCM_SHA256')`. */
  countName(kind: 'ciphers' | 'versions' | 'curves' | 'sigalgs', name: string): void {
    const key = `${kind}.${name}`
    const known = this.byName.get(key)
    if (known) known.value++
    else this.firstOfName(kind, name, key).value++
  }

  /** `ssl.certificate.<name>.expiration_unix_time_seconds`. */
  certificateExpiry(certificateName: string): Gauge {
    return this.scope.gauge(`certificate.${sanitizeStatName(certificateName)}.expiration_unix_time_seconds`)
  }

  private firstOfName(kind: string, name: string, key: string): Counter {
    if (this.byName.size >= MAX_TLS_NAMES) return this.scope.counter(`${kind}.other`)
    const counter = this.scope.counter(`${kind}.${name.replace(/[^\w.-]/g, '_')}`)
    this.byName.set(key, counter)
    return counter
  }
}

// ---- filters ----

/** `http.<prefix>.`: an HTTP connection manager and the filters that count under it. */
export class HcmStats {
  readonly main: HcmHandles
  readonly scope: StatScope
  private routerGroup: RouterHandles | null = null
  private tracingGroup: TracingHandles | null = null

  constructor(source: StatSource, prefix: string) {
    this.scope = source.scope(`http.${prefix}`)
    this.main = this.scope.group(tables.HTTP_CONNECTION_MANAGER)
  }

  get router(): RouterHandles {
    return (this.routerGroup ??= this.scope.group(tables.ROUTER))
  }

  get tracing(): TracingHandles {
    return (this.tracingGroup ??= this.scope.scope('tracing').group(tables.TRACING))
  }

  /** `http.<prefix>.rbac.[<rulesPrefix>.]` of the HTTP RBAC filter. */
  rbac(rulesPrefix = ''): RbacStats {
    return new RbacStats(this.scope, joinNames('rbac', rulesPrefix))
  }

  /** Counts a finished downstream response by class, here and under its listener (which may be null). */
  // HOT: once per request.
  completed(status: number, listener: ListenerHttpHandles | null): void {
    const { main } = this
    main.downstream_rq_completed.value++
    if (listener !== null) listener.downstream_rq_completed.value++
    const digit = (status / 100) | 0
    if (digit >= 1 && digit <= 5) {
      classCounter(main, digit).value++
      if (listener !== null) classCounter(listener, digit).value++
    }
  }

  release(): void {
    this.scope.release()
  }
}

export function hcmStats(source: StatSource, prefix: string): HcmStats {
  return new HcmStats(source, prefix)
}

function classCounter(handles: ListenerHttpHandles, digit: number): Counter {
  switch (digit) {
    case 1:
      return handles.downstream_rq_1xx
    case 2:
      return handles.downstream_rq_2xx
    case 3:
      return handles.downstream_rq_3xx
    case 4:
      return handles.downstream_rq_4xx
    default:
      return handles.downstream_rq_5xx
  }
}

/** The four verdict counters, and those per policy when `track_per_rule_stats` is on. */
export class RbacStats {
  readonly main: RbacHandles
  readonly scope: StatScope

  constructor(source: StatSource, prefix: string) {
    this.scope = source.scope(prefix)
    this.main = this.scope.group(tables.RBAC)
  }

  /** `policy.<name>.allowed` and so on. Take the handle when the policy is compiled. */
  policy(name: string, verdict: 'allowed' | 'denied' | 'shadow_allowed' | 'shadow_denied'): Counter {
    return this.scope.counter(`policy.${sanitizeStatName(name)}.${verdict}`)
  }

  release(): void {
    this.scope.release()
  }
}

/** `<prefix>.rbac.[<rules>.]` of the network RBAC filter. */
export function rbacStats(source: StatSource, prefix: string, rulesPrefix = ''): RbacStats {
  return new RbacStats(source, joinNames(joinNames(prefix, 'rbac'), rulesPrefix))
}

/** `tcp.<prefix>.` */
export function tcpProxyStats(source: StatSource, prefix: string): Released<TcpProxyHandles> {
  return released(source, `tcp.${prefix}`, tables.TCP_PROXY)
}

/** `ext_authz.<prefix>.` of the network filter. */
export function networkExtAuthzStats(source: StatSource, prefix: string): Released<HandlesOf<typeof tables.NETWORK_EXT_AUTHZ>> {
  return released(source, `ext_authz.${prefix}`, tables.NETWORK_EXT_AUTHZ)
}

/** `connection_limit.<prefix>.` */
export function connectionLimitStats(source: StatSource, prefix: string): Released<HandlesOf<typeof tables.CONNECTION_LIMIT>> {
  return released(source, `connection_limit.${prefix}`, tables.CONNECTION_LIMIT)
}

/** `vhost.<name>.vcluster.<name>.` or `vhost.<name>.route.<stat_prefix>.` */
export class VirtualClusterStats {
  readonly main: VirtualClusterHandles
  readonly codes: ResponseCodeStats
  readonly scope: StatScope
  private time: Histogram | null = null

  constructor(source: StatSource, virtualHost: string, kind: 'vcluster' | 'route', name: string) {
    this.scope = source.scope(`vhost.${sanitizeStatName(virtualHost)}.${kind}.${name}`)
    this.main = this.scope.group(tables.VIRTUAL_CLUSTER)
    this.codes = new ResponseCodeStats(this.scope, 'upstream_rq')
  }

  get upstream_rq_time(): Histogram {
    return (this.time ??= this.scope.histogram('upstream_rq_time', 'milliseconds'))
  }

  release(): void {
    this.scope.release()
  }
}

// ---- clusters ----

/** `cluster.<name>.zone.<our zone>.<the endpoint's zone>.`: what was answered from where. Made with the first answer. */
export class ZoneStats {
  readonly codes: ResponseCodeStats
  private readonly time: Histogram

  constructor(scope: StatScope) {
    this.codes = new ResponseCodeStats(scope, 'upstream_rq')
    this.time = scope.histogram('upstream_rq_time', 'milliseconds')
  }

  recordTime(ms: number): void {
    this.time.record(ms)
  }
}

/** `cluster.<name>.` (`alt_stat_name` in place of the name where set). */
export class ClusterStats {
  readonly main: ClusterHandles
  readonly scope: StatScope
  readonly circuitBreakers: { readonly default: CircuitBreakerHandles; readonly high: CircuitBreakerHandles }
  /** Responses of all requests, of those from outside and from inside the mesh (`x-envoy-internal`), and of canary endpoints. */
  readonly codes: ResponseCodeStats
  readonly externalCodes: ResponseCodeStats
  readonly internalCodes: ResponseCodeStats
  readonly canaryCodes: ResponseCodeStats
  /** Answers that another try followed. */
  readonly retryCodes: ResponseCodeStats
  private lazy: Map<string, unknown> | null = null
  private readonly times: (Histogram | null)[] = [null, null, null, null]
  private zones: Map<string, ZoneStats> | null = null

  /** `localZone`: where the proxy runs; '' = unknown. */
  constructor(
    source: StatSource,
    name: string,
    private readonly localZone: string,
  ) {
    this.scope = source.scope(`cluster.${sanitizeStatName(name)}`)
    this.main = this.scope.group(tables.CLUSTER)
    this.circuitBreakers = {
      default: this.scope.scope('circuit_breakers.default').group(tables.CIRCUIT_BREAKER),
      high: this.scope.scope('circuit_breakers.high').group(tables.CIRCUIT_BREAKER),
    }
    this.codes = new ResponseCodeStats(this.scope, 'upstream_rq')
    this.externalCodes = new ResponseCodeStats(this.scope, 'external.upstream_rq')
    this.internalCodes = new ResponseCodeStats(this.scope, 'internal.upstream_rq')
    this.canaryCodes = new ResponseCodeStats(this.scope, 'canary.upstream_rq')
    this.retryCodes = new ResponseCodeStats(this.scope, 'retry.upstream_rq')
  }

  /** Counts an upstream response: overall, and as external or internal. */
  // HOT: once per request.
  chargeResponse(status: number, internal: boolean): void {
    this.codes.charge(status)
    if (internal) this.internalCodes.charge(status)
    else this.externalCodes.charge(status)
  }

  /** A connection to an endpoint is gone: whether the peer ended it, and whether a request was on it. */
  chargeDestroyed(byPeer: boolean, withRequest: boolean): void {
    const { main } = this
    main.upstream_cx_destroy.value++
    if (byPeer) main.upstream_cx_destroy_remote.value++
    else main.upstream_cx_destroy_local.value++
    if (!withRequest) return
    main.upstream_cx_destroy_with_active_rq.value++
    if (byPeer) main.upstream_cx_destroy_remote_with_active_rq.value++
    else main.upstream_cx_destroy_local_with_active_rq.value++
  }

  /** Of answers from `zone`; null where either zone is unknown. As many as endpoints name. */
  // HOT: once per request where the proxy knows its zone.
  zone(zone: string): ZoneStats | null {
    return this.localZone === '' || zone === '' ? null : (this.zones?.get(zone) ?? this.makeZone(zone))
  }

  private makeZone(zone: string): ZoneStats | null {
    if (this.zones !== null && this.zones.size >= MAX_ZONES) return null
    const stats = new ZoneStats(this.scope.scope(`zone.${sanitizeStatName(this.localZone)}.${sanitizeStatName(zone)}`))
    this.zones ??= new Map()
    this.zones.set(zone, stats)
    return stats
  }

  /** Records the time of a finished upstream request in ms: overall, as external or internal, and of a canary. */
  // HOT: once per request.
  chargeTime(ms: number, internal: boolean, canary: boolean): void {
    ;(this.times[0] ?? this.timeHistogram(0, 'upstream_rq_time')).record(ms)
    if (internal) (this.times[1] ?? this.timeHistogram(1, 'internal.upstream_rq_time')).record(ms)
    else (this.times[2] ?? this.timeHistogram(2, 'external.upstream_rq_time')).record(ms)
    if (canary) (this.times[3] ?? this.timeHistogram(3, 'canary.upstream_rq_time')).record(ms)
  }

  /** Of the requests that have finished, in all processes; null while none has. */
  get requestTimes(): Histogram | null {
    return (this.times[0] ??= this.scope.knownHistogram('upstream_rq_time'))
  }

  /** Only with `track_remaining`. */
  breakersRemaining(priority: 'default' | 'high'): CircuitBreakerRemainingHandles {
    return this.once(`remaining.${priority}`, () =>
      this.scope.scope(`circuit_breakers.${priority}`).group(tables.CIRCUIT_BREAKER_REMAINING),
    )
  }

  /** Only for clusters with outlier detection. */
  get outlierDetection(): OutlierDetectionHandles {
    return this.once('outlier', () => this.scope.scope('outlier_detection').group(tables.OUTLIER_DETECTION))
  }

  /** Only for clusters with active health checks. */
  get healthCheck(): HealthCheckHandles {
    return this.once('health', () => this.scope.scope('health_check').group(tables.HEALTH_CHECK))
  }

  /** Only for clusters with a TLS transport socket. */
  get tls(): TlsStats {
    return this.once('tls', () => new TlsStats(this.scope, 'client'))
  }

  get http1(): Http1CodecHandles {
    return this.once('http1', () => http1CodecStats(this.scope))
  }

  get http2(): Http2CodecHandles {
    return this.once('http2', () => http2CodecStats(this.scope))
  }

  /** The EDS subscription, under the cluster's own prefix. */
  get eds(): SubscriptionStats {
    return this.once('eds', () => {
      const extra = this.scope.group(tables.EDS_SUBSCRIPTION)
      const { main } = this
      return {
        init_fetch_timeout: extra.init_fetch_timeout,
        update_attempt: main.update_attempt,
        update_failure: main.update_failure,
        update_rejected: extra.update_rejected,
        update_success: main.update_success,
        update_time: extra.update_time,
        version: main.version,
        update_duration: extra.update_duration,
        version_text: this.scope.textReadout('version_text'),
        release() {},
      }
    })
  }

  release(): void {
    this.scope.release()
  }

  private once<T>(key: string, make: () => T): T {
    this.lazy ??= new Map()
    let value = this.lazy.get(key) as T | undefined
    if (value === undefined) this.lazy.set(key, (value = make()))
    return value
  }

  private timeHistogram(index: number, name: string): Histogram {
    const histogram = this.scope.histogram(name, 'milliseconds')
    this.times[index] = histogram
    return histogram
  }
}

export function clusterStats(source: StatSource, name: string, localZone = ''): ClusterStats {
  return new ClusterStats(source, name, localZone)
}

// ---- codecs: `http1.` and `http2.` of the source itself (the store for listeners, the cluster's scope for clusters) ----

export function http1CodecStats(source: StatSource): Http1CodecHandles {
  return source.scope('http1').group(tables.HTTP1_CODEC)
}

export function http2CodecStats(source: StatSource): Http2CodecHandles {
  return source.scope('http2').group(tables.HTTP2_CODEC)
}

// ---- server-wide groups: live as long as the store ----

export function serverStats(source: StatSource): ServerHandles {
  return source.scope('server').group(tables.SERVER)
}

export function listenerManagerStats(source: StatSource): ListenerManagerHandles {
  return source.scope('listener_manager').group(tables.LISTENER_MANAGER)
}

/** Of a listener's filters; the names are the process's, and there from the first listener on that has the filter. */
export class ListenerFilterStats {
  private readonly source: StatSource
  private tls: HandlesOf<typeof tables.TLS_INSPECTOR> | null = null
  private http: HandlesOf<typeof tables.HTTP_INSPECTOR> | null = null
  private proxy: {
    readonly main: HandlesOf<typeof tables.PROXY_PROTOCOL>
    readonly v1: HandlesOf<typeof tables.PROXY_PROTOCOL_VERSION>
    readonly v2: HandlesOf<typeof tables.PROXY_PROTOCOL_VERSION>
    readonly error: Counter
  } | null = null

  constructor(source: StatSource) {
    this.source = source
  }

  /** `tls_inspector.` */
  get tlsInspector(): HandlesOf<typeof tables.TLS_INSPECTOR> {
    return (this.tls ??= this.source.scope('tls_inspector').group(tables.TLS_INSPECTOR))
  }

  /** `proxy_proto.versions.v1.` and `v2.`, and `proxy_proto.` for connections without a header. */
  get proxyProtocol() {
    if (this.proxy === null) {
      const scope = this.source.scope('proxy_proto')
      const version = (n: number) => scope.scope(`versions.v${n}`).group(tables.PROXY_PROTOCOL_VERSION)
      const error = this.source.counter('downstream_cx_proxy_proto_error')
      this.proxy = { main: scope.group(tables.PROXY_PROTOCOL), v1: version(1), v2: version(2), error }
    }
    return this.proxy
  }

  /** `http_inspector.` */
  get httpInspector(): HandlesOf<typeof tables.HTTP_INSPECTOR> {
    return (this.http ??= this.source.scope('http_inspector').group(tables.HTTP_INSPECTOR))
  }
}

export function clusterManagerStats(source: StatSource): ClusterManagerHandles {
  return source.scope('cluster_manager').group(tables.CLUSTER_MANAGER)
}

export function runtimeStats(source: StatSource): RuntimeHandles {
  return source.scope('runtime').group(tables.RUNTIME)
}

export type FilesystemHandles = HandlesOf<typeof tables.FILESYSTEM>

/** `http.async-client.`: requests of the proxy itself. */
export function asyncClientStats(source: StatSource): RouterHandles {
  return source.scope('http.async-client').group(tables.ROUTER)
}

/** `filesystem.`: the access logs. */
export function filesystemStats(source: StatSource): FilesystemHandles {
  return source.scope('filesystem').group(tables.FILESYSTEM)
}

/** `server.hot_restart_generation`: how many processes there were, this one included. Absent where there is no hot restart. */
export function restartGeneration(source: StatSource): Gauge {
  return source.scope('server').gauge('hot_restart_generation')
}

export type CaresHandles = HandlesOf<typeof tables.CARES>

/** `dns.cares.`, from the first name on. */
export function caresStats(source: StatSource): CaresHandles {
  return source.scope('dns.cares').group(tables.CARES)
}

/** `thread_local_cluster_manager.<thread>.`, of the one thread under both of Envoy's names. */
export function inflatedClusters(source: StatSource): readonly HandlesOf<typeof tables.INFLATED_CLUSTERS>[] {
  return ['main_thread', 'worker_0'].map(thread => source.scope(`thread_local_cluster_manager.${thread}`).group(tables.INFLATED_CLUSTERS))
}

/** `server.`, where several processes serve: workers that run, those that ended by themselves, resources that a worker could not apply. */
export function workerStats(
  source: StatSource,
): Readonly<Record<'running', Gauge>> & Readonly<Record<'restarts' | 'configRefused', Counter>> {
  const scope = source.scope('server')
  return {
    running: scope.gauge('workers_running'),
    restarts: scope.counter('worker_restarts'),
    configRefused: scope.counter('worker_config_refused'),
  }
}

/** Envoy has these names beside `server.<thread>.watchdog_*`. */
export function showWatchdogs(source: StatSource): void {
  for (const threads of ['main_thread', 'workers']) source.scope(threads).group(tables.WATCHDOG)
}

function released<C extends string, G extends string, H extends string>(
  source: StatSource,
  prefix: string,
  table: StatGroupType<C, G, H>,
): Released<StatHandles<C, G, H>> {
  const scope = source.scope(prefix)
  return { main: scope.group(table), release: () => scope.release() }
}

export function joinNames(a: string, b: string): string {
  return a === '' || b === '' ? a + b : `${a.endsWith('.') ? a.slice(0, -1) : a}.${b}`
}
