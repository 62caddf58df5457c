// envoy.filters.http.grpc_stats: counters by cluster, service and method under
// `cluster.<name>.grpc.[<service>.<method>.]{total,success,failure,<status>,request_message_count,response_message_count}`, and the
// upstream_rq_time histogram where asked for. Method names come from the network: their number is bounded per cluster, and the rest
// are counted without a method.

import type { StatScope } from '../../metrics/stats-store.js'
import type { HttpFilter } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { isGrpcContentType } from '../grpc/grpc.js'
import { GrpcFrameCounter } from '../grpc/grpc-frame-counter.js'
import { type FilterContext, PerCluster } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

/** Methods counted apart for each cluster. */
export const MAX_GRPC_METHODS = 256

type GrpcStatsConfig = Extract<HttpFilter, { kind: 'grpcStats' }>['config']

export function grpcStatsFilter(name: string, disabled: boolean, config: GrpcStatsConfig, ctx: FilterContext): FilterFactory {
  const clusters = new PerCluster(ctx, cluster => new ClusterGrpcStats(ctx.scope(`cluster.${cluster}`).scope('grpc')))
  const allowed = new Set<string>()
  for (const { service, methods } of config.individualMethods) for (const method of methods) allowed.add(`${service}/${method}`)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      return isGrpcContentType(call.request.headers.get('content-type')) ? new GrpcStatsFilter(config, allowed, clusters, ctx) : null
    },
  }
}

class ClusterGrpcStats {
  private readonly scope: StatScope
  private readonly methods = new Map<string, MethodStats>()
  private readonly rest: MethodStats

  constructor(scope: StatScope) {
    this.scope = scope
    this.rest = new MethodStats(scope)
  }

  method(service: string, method: string): MethodStats {
    if (service === '') return this.rest
    const key = `${service}.${method}`
    let stats = this.methods.get(key)
    if (stats === undefined) {
      if (this.methods.size >= MAX_GRPC_METHODS) return this.rest
      stats = new MethodStats(this.scope.scope(key))
      this.methods.set(key, stats)
    }
    return stats
  }
}

class MethodStats {
  readonly scope: StatScope
  private readonly statuses = new Map<number, { value: number }>()

  constructor(scope: StatScope) {
    this.scope = scope
  }

  charge(status: number): void {
    this.scope.counter('total').value++
    this.scope.counter(status === 0 ? 'success' : 'failure').value++
    if (status < 0) return
    let counter = this.statuses.get(status)
    if (counter === undefined) {
      counter = this.scope.counter(String(status))
      this.statuses.set(status, counter)
    }
    counter.value++
  }
}

const MAX_GRPC_STATUS = 16

class GrpcStatsFilter implements StreamFilter {
  private readonly config: GrpcStatsConfig
  private readonly allowed: ReadonlySet<string>
  private readonly clusters: PerCluster<ClusterGrpcStats>
  private readonly ctx: FilterContext
  private service = ''
  private method = ''
  private readonly requests = new GrpcFrameCounter()
  private readonly responses = new GrpcFrameCounter()
  private requestsCharged = 0
  private responsesCharged = 0
  private stats: MethodStats | null = null
  private requestEnded = false
  private charged = false

  constructor(config: GrpcStatsConfig, allowed: ReadonlySet<string>, clusters: PerCluster<ClusterGrpcStats>, ctx: FilterContext) {
    this.config = config
    this.allowed = allowed
    this.clusters = clusters
    this.ctx = ctx
  }

  requestHead(_call: FilterCall, head: RequestHead): FilterStatus {
    const query = head.path.indexOf('?')
    const parts = (query === -1 ? head.path : head.path.slice(0, query)).split('/')
    if (parts.length === 3 && parts[1] !== '' && parts[2] !== '') {
      const counted = this.config.statsForAllMethods || this.allowed.has(`${parts[1]}/${parts[2]}`)
      if (counted && isStatSafe(parts[1]!) && isStatSafe(parts[2]!)) {
        this.service = parts[1]!
        this.method = parts[2]!
      }
    }
    return 'continue'
  }

  requestData(call: FilterCall, chunk: Buffer, end: boolean): Buffer {
    this.requests.feed(chunk)
    if (end) this.requestEnded = true
    this.chargeMessages(call)
    return chunk
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    // Trailers-only: the status is in the head.
    if (end) this.charge(call, head.headers.get('grpc-status'))
    return 'continue'
  }

  responseData(call: FilterCall, chunk: Buffer): Buffer {
    this.responses.feed(chunk)
    this.chargeMessages(call)
    return chunk
  }

  responseTrailers(call: FilterCall, trailers: HeaderList): HeaderList {
    this.charge(call, trailers.get('grpc-status'))
    return trailers
  }

  finished(call: FilterCall): void {
    this.chargeMessages(call)
    if (this.config.emitFilterState) {
      call.info.setFilterState('envoy.filters.http.grpc_stats', {
        request_message_count: this.requests.count,
        response_message_count: this.responses.count,
      })
    }
    if (this.config.enableUpstreamStats && this.charged && this.requestEnded) {
      this.stats?.scope.histogram('upstream_rq_time', 'milliseconds').record(this.ctx.clock.now() - call.info.startedAt)
    }
  }

  private statsFor(call: FilterCall): MethodStats | null {
    if (this.stats === null && call.info.upstreamCluster !== '') {
      this.stats = this.clusters.get(call.info.upstreamCluster)?.method(this.service, this.method) ?? null
    }
    return this.stats
  }

  private chargeMessages(call: FilterCall): void {
    const stats = this.statsFor(call)
    if (stats === null) return
    if (this.requests.count > this.requestsCharged) {
      stats.scope.counter('request_message_count').value += this.requests.count - this.requestsCharged
      this.requestsCharged = this.requests.count
    }
    if (this.responses.count > this.responsesCharged) {
      stats.scope.counter('response_message_count').value += this.responses.count - this.responsesCharged
      this.responsesCharged = this.responses.count
    }
  }

  private charge(call: FilterCall, text: string | undefined): void {
    if (text === undefined || this.charged) return
    this.charged = true
    // A backend may send anything; only the defined statuses get a counter of their own, anything else is a failure.
    const status = /^\d{1,2}$/.test(text) ? Number(text) : -1
    this.statsFor(call)?.charge(status <= MAX_GRPC_STATUS ? status : -1)
  }
}

/** A name that can stand in a stat name without becoming another one. */
function isStatSafe(name: string): boolean {
  return name.length <= 256 && /^[\w.-]+$/.test(name)
}
