// Is the new version good? What the sidecars counted of it in the last interval, against what the rollout asks. Pure; called by
// rollout-engine.ts, which adds what Prometheus and the webhooks say. Invariant: silence is never success. Too few requests, or none of the
// metrics that are asked for, is a hold: the rollout does not go on, and after a limit it goes back.
import { durationMs } from '../config-entries/duration.js'
import type { TrafficTotals } from '../traffic/traffic.js'
import type { Analysis, Verdict } from './rollout-types.js'

export interface Observed {
  readonly totals: TrafficTotals
  readonly newestReport: number
  readonly nowMs: number
  readonly windowMs: number
  /** Reports that are older mean that none comes any more. */
  readonly staleMs: number
  /** Requests, or copies of them, are sent to the new version. */
  readonly expectsTraffic: boolean
}

const good = (reason: string): Verdict => ({ kind: 'good', reason })
const hold = (reason: string): Verdict => ({ kind: 'hold', reason })
const bad = (reason: string): Verdict => ({ kind: 'bad', reason })

export function judgeTraffic(analysis: Analysis, { totals, newestReport, nowMs, windowMs, staleMs, expectsTraffic }: Observed): Verdict {
  const { SuccessRate, P99, MinRequests } = analysis
  if (SuccessRate === undefined && P99 === undefined) return good('')
  if (!expectsTraffic && totals.requests < Math.max(MinRequests, 1)) return good('no request goes there yet')
  if (nowMs - newestReport > staleMs) {
    const since = newestReport === 0 ? 'none since the control plane started' : `the last one ${seconds(nowMs - newestReport)} ago`
    return hold(`metrics gone: no sidecar has reported within ${seconds(staleMs)} (${since})`)
  }
  if (totals.requests < Math.max(MinRequests, 1))
    return hold(`no traffic: ${totals.requests} of at least ${Math.max(MinRequests, 1)} requests within ${seconds(windowMs)}`)
  const rate = totals.successRate === null ? null : totals.successRate * 100
  if (SuccessRate !== undefined && rate === null) return hold('no traffic: no request has finished')
  if (SuccessRate !== undefined && rate! < SuccessRate)
    return bad(`errors: success rate ${percent(rate!)} % below ${SuccessRate} % (${totals.failures} of ${totals.requests} requests failed)`)
  if (P99 !== undefined && totals.p99 === null) return hold('metrics gone: no report tells latencies')
  if (P99 !== undefined && totals.p99! > durationMs(P99))
    return bad(`latency: p99 ${Math.round(totals.p99!)} ms above ${durationMs(P99)} ms`)
  const latency = totals.p99 === null ? '' : `, p99 ${Math.round(totals.p99)} ms`
  return good(`${totals.requests} requests${rate === null ? '' : `, ${percent(rate)} % good`}${latency}`)
}

/** The worst of them, with the reasons of all that are as bad. */
export function worstOf(verdicts: readonly Verdict[]): Verdict {
  const kind = (['bad', 'hold'] as const).find(worse => verdicts.some(verdict => verdict.kind === worse)) ?? 'good'
  const reasons = verdicts.filter(verdict => verdict.kind === kind && verdict.reason !== '').map(({ reason }) => reason)
  return { kind, reason: reasons.join('; ') }
}

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`
/** Rounded down, so that what is just below a limit is not shown as it. */
const percent = (value: number): number => Math.floor(value * 100) / 100
