// A rollout as its author writes it, and where it stands. Written by parse-rollout.ts and rollout-engine.ts, kept by rollout-table.ts, shown by
// the HTTP API. Types alone, and the phases that end one.
import type { Duration } from '../config-entries/types.js'
import type { Event, Phase } from './transitions.js'

/** Requests that always go to the new version while the rollout runs: by a header, or by a cookie. */
export interface Cohort {
  readonly Header?: string
  readonly Cookie?: string
  /** One of them; of a cookie `Exact` alone. */
  readonly Exact?: string
  readonly Prefix?: string
  readonly Regex?: string
  readonly Present?: boolean
}

export interface RolloutStep {
  /** Percent of the requests that go to the new version, in steps of 0.01. */
  readonly Weight: number
  /** At least this long, counted from when the sidecars have taken the weight. */
  readonly Pause?: Duration
  /** After the pause somebody has to promote it. */
  readonly Gate?: 'manual'
}

export interface PrometheusQuery {
  readonly Name: string
  readonly Query: string
  readonly Min?: number
  readonly Max?: number
}

export interface Analysis {
  readonly Interval: Duration
  /** Fewer requests in an interval say nothing. */
  readonly MinRequests: number
  /** Percent. */
  readonly SuccessRate?: number
  readonly P99?: Duration
  /** Intervals that fail, in one step, until it is rolled back. */
  readonly FailureLimit: number
  /** Intervals in a row without traffic or without metrics until it is rolled back; until then it is held. */
  readonly HoldLimit: number
  readonly Prometheus?: { readonly URL: string; readonly Queries: readonly PrometheusQuery[] }
}

export interface Webhook {
  readonly Name: string
  readonly When: 'before' | 'during' | 'after'
  readonly URL: string
  readonly Timeout: Duration
}

export interface Rollout {
  readonly Kind: 'rollout'
  readonly Name: string
  readonly Service: string
  /** Subsets of the service's resolver. */
  readonly From: string
  readonly To: string
  readonly Mirror?: { readonly Percent: number; readonly Duration: Duration }
  readonly Cohorts: readonly Cohort[]
  /** Empty with `BlueGreen`. */
  readonly Steps: readonly RolloutStep[]
  readonly BlueGreen?: { readonly Preview: Duration; readonly Gate?: 'manual'; readonly Observe: Duration }
  readonly Analysis?: Analysis
  readonly Webhooks: readonly Webhook[]
  /** How long the sidecars may take to accept a move. */
  readonly AcceptTimeout: Duration
}

/** What an interval comes to. */
export interface Verdict {
  readonly kind: 'good' | 'hold' | 'bad'
  readonly reason: string
}

export interface AuditRecord {
  /** Milliseconds since the epoch. */
  readonly At: number
  readonly Event: Event | 'analysis' | 'webhook'
  readonly From: Phase
  readonly To: Phase
  readonly Weight: number
  readonly Reason: string
  /** Accessor id of the token; '' without ACLs, and where the control plane did it by itself. */
  readonly By: string
}

/** Where a rollout stands. Times are milliseconds since the epoch, 0 for not yet. */
export interface RolloutStatus {
  readonly Phase: Phase
  /** Index of the step; -1 before the first. */
  readonly Step: number
  /** What the splitter says now. */
  readonly Weight: number
  readonly MirrorPercent: number
  readonly Since: number
  /** The phase that a pause came from. */
  readonly PausedFrom: Phase | ''
  /** When the entries were written last, and when the sidecars had all taken it. */
  readonly MovedAt: number
  readonly AcceptedAt: number
  readonly AnalysedAt: number
  /** Intervals of this step, by what they came to; holds are counted in a row. */
  readonly Good: number
  readonly Failures: number
  readonly Holds: number
  /** What the last interval came to, and why. */
  readonly Verdict: Verdict['kind'] | ''
  readonly VerdictReason: string
  readonly Reason: string
  /** ModifyIndex of what the rollout owns; OWN_INDEX in the store: that of this very record; NOT_OWNED: nothing. */
  readonly SplitterIndex: number
  readonly RouterIndex: number
  /** Oldest first. */
  readonly Audit: readonly AuditRecord[]
}

/** A record knows the index of its transaction only once it is written, so it refers to it by this. */
export const OWN_INDEX = 0
export const NOT_OWNED = -1
