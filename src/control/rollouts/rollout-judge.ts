// One interval's verdict on the new version: its health, what the sidecars counted of it, what Prometheus says, and what the webhooks say that
// are asked during a rollout. Called by rollout-engine.ts once an interval.
import { createHash } from 'node:crypto'
import { durationMs } from '../config-entries/duration.js'
import type { TrafficReader } from '../traffic/traffic.js'
import type { Notice, OutsideCalls } from './outside-calls.js'
import type { RolloutRecord } from './rollout-table.js'
import type { Analysis, Verdict, Webhook } from './rollout-types.js'
import { judgeTraffic, worstOf } from './verdict.js'

export interface JudgeParts {
  readonly traffic: TrafficReader
  /** How often the sidecars report. */
  readonly reportIntervalMs: number
  readonly calls: OutsideCalls
  /** An instance of the subset is there and not critical. */
  isHealthy(service: string, subset: string): boolean
}

/** So many in a row: nobody reports any more. */
const MISSED_REPORTS = 2
const NOTICE_ID_CHARS = 27

/** What is asked more often than it is told is not asked: the sidecars' reports are the shortest interval. */
export function intervalMs({ Interval }: Analysis, reportIntervalMs: number): number {
  return Math.max(durationMs(Interval), reportIntervalMs)
}

export async function judge(
  { rollout, status }: RolloutRecord,
  analysis: Analysis,
  { traffic, reportIntervalMs, calls, isHealthy }: JudgeParts,
  nowMs: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const { Service, To, Webhooks } = rollout
  // The last report may be as old as the next one is far away.
  const windowMs = intervalMs(analysis, reportIntervalMs) + reportIntervalMs
  const expectsTraffic = status.Weight > 0 || status.MirrorPercent > 0
  const health: Verdict = isHealthy(Service, To)
    ? { kind: 'good', reason: '' }
    : { kind: 'bad', reason: `health: subset ${To} has no instance that is not critical` }
  const counted = judgeTraffic(analysis, {
    totals: traffic.totals({ destination: Service, subset: To }, windowMs),
    newestReport: traffic.newestReport,
    nowMs,
    windowMs,
    staleMs: MISSED_REPORTS * reportIntervalMs,
    expectsTraffic,
  })
  const { URL = '', Queries = [] } = analysis.Prometheus ?? {}
  const queried = Queries.map(async query => {
    const verdict = await calls.ask(URL, query, signal)
    return verdict.kind === 'hold' && !expectsTraffic ? { ...verdict, kind: 'good' as const } : verdict
  })
  const notified = Webhooks.filter(({ When }) => When === 'during').map(async (webhook): Promise<Verdict> => {
    const failure = await calls.notify(webhook, noticeOf(webhook, { rollout, status }), noticeId(webhook, { rollout, status }), signal)
    return failure === undefined ? { kind: 'good', reason: '' } : { kind: 'bad', reason: failure }
  })
  return worstOf([health, counted, ...(await Promise.all([...queried, ...notified]))])
}

export function noticeOf({ When }: Webhook, { rollout, status }: Pick<RolloutRecord, 'rollout' | 'status'>): Notice {
  const { Name, Service, From, To } = rollout
  const { Phase, Step, Weight, Reason } = status
  return { Rollout: Name, Service, From, To, When, Phase, Step, Weight, Reason }
}

/** Of what is told: the same for a second try, and after a restart of the control plane; another in each interval. */
export function noticeId({ Name, When, URL }: Webhook, { rollout, status }: Pick<RolloutRecord, 'rollout' | 'status'>): string {
  const { Phase, Step, Since, AnalysedAt } = status
  const told = [rollout.Name, Name, When, URL, Phase, Step, Since, When === 'during' ? AnalysedAt : 0]
  return `msg_${createHash('sha256').update(JSON.stringify(told)).digest('base64url').slice(0, NOTICE_ID_CHARS)}`
}
