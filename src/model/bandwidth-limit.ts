// envoy.filters.http.bandwidth_limit as validated config. Made by xds/resources/http-filters/traffic, read by l7/filters/bandwidth-limit.

import type { RuntimeFlag } from './matcher.js'

export interface BandwidthLimitConfig {
  readonly statPrefix: string
  readonly request: boolean
  readonly response: boolean
  /** KiB a second, of all requests together and both directions. */
  readonly kilobytesPerSecond: number
  readonly fillIntervalMs: number
  readonly enabled: RuntimeFlag
  /** Names of the trailers that tell the delays; null: none is added. */
  readonly trailers: {
    readonly requestDelay: string
    readonly requestFilterDelay: string
    readonly responseDelay: string
    readonly responseFilterDelay: string
  } | null
}
