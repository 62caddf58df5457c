// envoy.filters.network.ext_authz: an external service decides over each connection, by gRPC (Authorization/Check), once the identity
// is known and before anything is dialled or read. Used by network-filters. No answer is a refusal unless failure_mode_allow is set.

import type { AsyncCall, AsyncGrpcClient } from '../../l7/client/async-client.js'
import type { AuthzDecision } from '../../l7/filters/ext-authz/ext-authz-decision.js'
import { CHECK, decodeCheckResponse, encodeConnectionCheck } from '../../l7/filters/ext-authz/ext-authz-grpc.js'
import type { ConnectionInfo } from '../../l7/stream/connection-info.js'
import { ResponseFlag } from '../../l7/stream/response-flags.js'
import { networkExtAuthzStats } from '../../metrics/stat-names.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import type { NetworkFilter } from '../../model/listener.js'
import type { Denial, PreFilter } from './network-filter.js'

type Config = Extract<NetworkFilter, { kind: 'extAuthz' }>

export class NetworkExtAuthz implements PreFilter {
  readonly name: string
  private readonly config: Config
  private readonly client: AsyncGrpcClient
  private readonly stats

  constructor(config: Config, client: AsyncGrpcClient, store: StatsStore) {
    this.name = config.name
    this.config = config
    this.client = client
    this.stats = networkExtAuthzStats(store, config.statPrefix).main
  }

  /** Nothing is decided without the service's answer. */
  check(): null {
    return null
  }

  ask(info: ConnectionInfo, done: (denial: Denial | null) => void): AsyncCall {
    const { config, stats } = this
    stats.total.value++
    stats.active.value++
    const call = this.client.unary(config.service, CHECK, encodeConnectionCheck(info, config), config.timeoutMs, (status, message, why) => {
      stats.active.value--
      const decision: AuthzDecision =
        status === 0 ? decodeCheckResponse(message) : { kind: 'error', message: `gRPC status ${status}: ${why}` }
      done(this.judge(decision))
    })
    return {
      cancel: () => {
        stats.active.value--
        call.cancel()
      },
    }
  }

  private judge(decision: AuthzDecision): Denial | null {
    const { stats, config } = this
    if (decision.kind === 'ok') {
      stats.ok.value++
      return null
    }
    if (decision.kind === 'denied') stats.denied.value++
    else {
      stats.error.value++
      if (config.failureModeAllow) {
        stats.failure_mode_allowed.value++
        return null
      }
    }
    stats.cx_closed.value++
    return {
      filter: this.name,
      reason: decision.kind === 'denied' ? 'ext_authz: the service denies' : `ext_authz: ${decision.message}`,
      details: '',
      decider: '',
      responseFlag: ResponseFlag.UnauthorizedExternalService,
      responseCodeDetails: decision.kind === 'denied' ? 'ext_authz_denied' : 'ext_authz_error',
    }
  }
}
