// What config entries of several kinds have in common: what every entry has, limits, changes of headers, JWT requirements, TLS versions.
// In Consul's canonical form, as all of `types.ts`, which gives out what others need of it.

/** A Go duration string in canonical form: `5s`, `1m30s`, `250ms`. `durationMs` in `duration.ts` gives milliseconds. */
export type Duration = string

export type UserMap<V> = Readonly<Record<string, V>>

export interface EntryCommon {
  readonly Name: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Meta?: UserMap<string>
  /** Set by the store, read-only for clients. */
  readonly CreateIndex?: number
  readonly ModifyIndex?: number
}

export interface UpstreamLimits {
  readonly MaxConnections?: number
  readonly MaxPendingRequests?: number
  readonly MaxConcurrentRequests?: number
}

export interface PassiveHealthCheck {
  readonly Interval?: Duration
  readonly MaxFailures?: number
  readonly EnforcingConsecutive5xx?: number
  readonly MaxEjectionPercent?: number
  readonly BaseEjectionTime?: Duration
}

export interface HeaderModifiers {
  readonly Add?: UserMap<string>
  readonly Set?: UserMap<string>
  readonly Remove?: readonly string[]
}

export interface JwtClaim {
  readonly Path: readonly string[]
  readonly Value: string
}

export interface JwtRequirement {
  readonly Providers: readonly { readonly Name: string; readonly VerifyClaims?: readonly JwtClaim[] }[]
}

export type TlsVersion = 'TLS_AUTO' | 'TLSv1_0' | 'TLSv1_1' | 'TLSv1_2' | 'TLSv1_3'
