// envoy.extensions.filters.http.on_demand.v3 -> model: the filter's own form and the one of routes, which are alike. Called by
// http-filter.ts and http-filter-override.ts.

import type { OnDemandClusters, OnDemandConfig } from '../../../model/http-filter.js'
import type { OnDemandCds } from '../../gen/envoy/extensions/filters/http/on_demand/v3/on_demand_pb.js'
import { decodeConfigSource } from '../config-source.js'
import type { Ctx } from '../field-path.js'
import { durationMsOr } from '../values.js'

const DEFAULT_TIMEOUT_MS = 5000

export function decodeOnDemand({ odcds }: { readonly odcds?: OnDemandCds | undefined }, ctx: Ctx): OnDemandConfig {
  return { odcds: odcds === undefined ? null : decodeOdcds(odcds, ctx.at('odcds')) }
}

/** Envoy takes clusters on demand in delta form alone. */
function decodeOdcds({ source: message, timeout }: OnDemandCds, ctx: Ctx): OnDemandClusters | null {
  const at = ctx.at('source')
  const source = decodeConfigSource(message, at)
  if (source === null) return null
  if (source.kind !== 'ads' && !(source.kind === 'api' && source.api.apiType === 'DELTA_GRPC'))
    at.error("odcds: only 'DELTA_GRPC' and 'ads' are supported")
  return { source, timeoutMs: durationMsOr(timeout, DEFAULT_TIMEOUT_MS) }
}
