// What a rollout asks of the world outside: its webhooks, and a Prometheus. One request each, bounded in time and size, without redirects; a
// webhook that fails is tried once more. Called by rollout-engine.ts, whose signal ends them at once when the rollout is aborted.

import { readAnswerBody } from '../../io/bounded-body.js'
import { durationMs } from '../config-entries/duration.js'
import { isObject } from '../config-entries/field-reader.js'
import type { PrometheusQuery, Verdict, Webhook } from './rollout-types.js'

/** What the receiver is told. */
export interface Notice {
  readonly Rollout: string
  readonly Service: string
  readonly From: string
  readonly To: string
  readonly When: Webhook['When']
  readonly Phase: string
  readonly Step: number
  readonly Weight: number
  readonly Reason: string
}

export interface OutsideCalls {
  /** Resolves with why it failed; undefined: it went well. */
  notify(webhook: Webhook, notice: Notice, signal: AbortSignal): Promise<string | undefined>
  ask(url: string, query: PrometheusQuery, signal: AbortSignal): Promise<Verdict>
}

const TRIES = 2
const QUERY_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 256 * 1024

export const outsideCalls: OutsideCalls = { notify, ask }

async function notify({ Name, URL, Timeout }: Webhook, notice: Notice, signal: AbortSignal): Promise<string | undefined> {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(notice) }
  let reason = ''
  for (let tries = 0; tries < TRIES && !signal.aborted; tries++) {
    try {
      await call(URL, request, durationMs(Timeout), signal)
      return undefined
    } catch (error) {
      reason = reasonOf(error)
    }
  }
  return `webhook ${JSON.stringify(Name)}: ${reason === '' ? 'cancelled' : reason}`
}

async function ask(url: string, { Name, Query, Min, Max }: PrometheusQuery, signal: AbortSignal): Promise<Verdict> {
  const named = `query ${JSON.stringify(Name)}`
  let value: number
  try {
    const address = new URL(url)
    address.pathname = `${address.pathname.replace(/\/$/, '')}/api/v1/query`
    address.searchParams.set('query', Query)
    value = singleValue(await call(address.href, {}, QUERY_TIMEOUT_MS, signal))
  } catch (error) {
    return { kind: 'hold', reason: `metrics gone: ${named}: ${reasonOf(error)}` }
  }
  const shown = Number(value.toPrecision(6))
  if (Max !== undefined && value > Max) return { kind: 'bad', reason: `${named}: ${shown} above ${Max}` }
  if (Min !== undefined && value < Min) return { kind: 'bad', reason: `${named}: ${shown} below ${Min}` }
  return { kind: 'good', reason: `${Name} ${shown}` }
}

/** Of an instant query's answer: a scalar, or a vector of one series. */
function singleValue(text: string): number {
  const answer: unknown = JSON.parse(text)
  const data = isObject(answer) && isObject(answer['data']) ? answer['data'] : {}
  const { resultType, result } = data
  const series = resultType === 'vector' && Array.isArray(result) ? result : resultType === 'scalar' ? [{ value: result }] : undefined
  if (series === undefined) throw new Error('the answer is none of an instant query')
  if (series.length !== 1) throw new Error(series.length === 0 ? 'no series' : `${series.length} series, and one is wanted`)
  const [only] = series as [unknown]
  const value = isObject(only) && Array.isArray(only['value']) ? Number(only['value'][1]) : Number.NaN
  if (Number.isNaN(value)) throw new Error('its value is no number')
  return value
}

/** The body of a 2xx answer. */
async function call(url: string, request: RequestInit, timeoutMs: number, signal: AbortSignal): Promise<string> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const answer = await fetch(url, { ...request, redirect: 'manual', signal: AbortSignal.any([signal, timeout]) })
  const body = answer.body === null ? '' : (await readAnswerBody(answer.body, MAX_ANSWER_BYTES)).toString('utf8')
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
  return body
}

/** `fetch` wraps what happened in an error that says nothing. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { readonly cause?: { readonly code?: string; readonly message?: string } }
  if (name === 'TimeoutError') return 'no answer in time'
  if (name === 'AbortError') return 'cancelled'
  if (name === 'SyntaxError') return 'the answer is no JSON'
  return cause?.code ?? (cause?.message || message)
}
