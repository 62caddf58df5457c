// envoy.filters.http.on_demand: a request without a route, or for a cluster that is not there, waits while the management server is asked
// for what is missing (a virtual host of VHDS, the route table of a scope, a cluster by ODCDS), and then goes on: to a 404 or 503 where
// nothing came. Invariant: a request that has its route and cluster costs a look at both; one that has gone leaves nobody waiting.

import { NO_TIMER, type Timer } from '../../io/clock.js'
import type { OnDemandClusters, OnDemandConfig } from '../../model/http-filter.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

/** Returns the way to wait no longer; null: there is nothing to wait for. */
export type Asked = (() => void) | null

/** What the filter needs beyond FilterCall. FilterChain implements it. */
export interface DiscoveringCall extends FilterCall {
  /** Of the route; '' without one, or where it answers itself. */
  readonly clusterName: string
  discoverRoute(done: () => void): Asked
}

export function onDemandFilter(name: string, disabled: boolean, config: OnDemandConfig, ctx: FilterContext): FilterFactory {
  return {
    name,
    disabled,
    create(call) {
      if (call.route === null) return new OnDemandStream(name, config, ctx)
      const odcds = odcdsFor(call, name, config)
      return odcds === null || !lacksCluster(call as DiscoveringCall, ctx) ? null : new OnDemandStream(name, config, ctx)
    },
  }
}

/** What the route says counts in the place of the filter's own, nothing too. */
function odcdsFor(call: FilterCall, name: string, { odcds }: OnDemandConfig): OnDemandClusters | null {
  const override = call.overrideFor(name)
  return override?.kind === 'onDemand' ? override.config.odcds : odcds
}

function lacksCluster({ clusterName }: DiscoveringCall, { env }: FilterContext): boolean {
  return clusterName !== '' && env.clusters.get(clusterName) === undefined
}

class OnDemandStream implements StreamFilter {
  private asked: Asked = null
  private timer: Timer = NO_TIMER

  constructor(
    private readonly name: string,
    private readonly config: OnDemandConfig,
    private readonly ctx: FilterContext,
  ) {}

  requestHead(call: FilterCall): FilterStatus {
    const waits = call.route === null ? this.askForRoute(call as DiscoveringCall) : this.askForCluster(call as DiscoveringCall)
    return waits ? 'stop' : 'continue'
  }

  private askForRoute(call: DiscoveringCall): boolean {
    this.asked = call.discoverRoute(() => {
      this.finished()
      if (call.ended) return
      call.clearRouteCache()
      if (call.route === null || !this.askForCluster(call)) call.resume()
    })
    return this.asked !== null
  }

  private askForCluster(call: DiscoveringCall): boolean {
    const odcds = odcdsFor(call, this.name, this.config)
    const { demands } = this.ctx.env
    if (odcds === null || demands === undefined || !lacksCluster(call, this.ctx)) return false
    const done = (): void => {
      this.finished()
      call.resume()
    }
    this.asked = demands.ask({ kind: 'cluster', source: odcds.source, name: call.clusterName }, done, true)
    if (this.asked === null) return false
    this.timer = this.ctx.clock.after(odcds.timeoutMs, done)
    return true
  }

  /** Also when what was asked for is there: nobody waits any more. */
  finished(): void {
    this.timer.cancel()
    this.asked?.()
    this.asked = null
  }

  explain(call: FilterCall): FilterExplanation {
    const missing = call.route === null ? 'the route' : `the cluster ${(call as DiscoveringCall).clusterName}`
    return { verdict: 'unknown', reason: `the management server would be asked for ${missing}` }
  }
}
