// Why outlier detection takes a host out, and the rates that it judges by: types alone, for the detector, those who show or log what it does, and
// the process that judges for others.

export type EjectionCause =
  | 'consecutive_5xx'
  | 'consecutive_gateway_failure'
  | 'success_rate'
  | 'failure_percentage'
  | 'consecutive_local_origin_failure'
  | 'local_origin_success_rate'
  | 'local_origin_failure_percentage'

/** Of the last interval, in per cent: the hosts' average, and below what they are ejected; -1 = too few hosts with enough requests. */
export interface SuccessRates {
  readonly successRateAverage: { readonly external: number; readonly localOrigin: number }
  readonly successRateThreshold: { readonly external: number; readonly localOrigin: number }
}
