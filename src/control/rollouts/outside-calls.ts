// What a rollout asks of the world outside: its webhooks, and a Prometheus. One request each, bounded in time and size, without redirects; a
// webhook that fails is tried once more, under the same id. Made by open-rollouts.ts, called by rollout-engine.ts, whose signal ends them at
// once when the rollout is aborted.

import { webhookHeaders } from '../../io/webhook-signature.js'
import { durationMs } from '../config-entries/duration.js'
import { isObject } from '../config-entries/field-reader.js'
import { callOutside, prometheusUrl, reasonOf } from '../outside-http.js'
import type { PrometheusQuery, Verdict, Webhook } from './rollout-types.js'
import type { WebhookSecrets } from './webhook-secrets.js'

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
  /** Resolves with why it failed; undefined: it went well. `id`: the same whenever the same is told again. */
  notify(webhook: Webhook, notice: Notice, id: string, signal: AbortSignal): Promise<string | undefined>
  ask(url: string, query: PrometheusQuery, signal: AbortSignal): Promise<Verdict>
}

const TRIES = 2
const QUERY_TIMEOUT_MS = 10_000

/** `secrets`: that webhooks are signed with; read anew for each, so that a new one needs no restart. */
export function outsideCalls(secrets: WebhookSecrets, wallNow: () => number): OutsideCalls {
  return { notify: (webhook, notice, id, signal) => notify(webhook, notice, { id, secrets, wallNow }, signal), ask }
}

interface Signing {
  readonly id: string
  readonly secrets: WebhookSecrets
  wallNow(): number
}

async function notify({ Name, URL, Timeout }: Webhook, notice: Notice, signing: Signing, signal: AbortSignal): Promise<string | undefined> {
  const body = JSON.stringify(notice)
  let reason = ''
  for (let tries = 0; tries < TRIES && !signal.aborted; tries++) {
    try {
      const headers = {
        'content-type': 'application/json',
        ...webhookHeaders(signing.id, signing.wallNow(), body, await signing.secrets()),
      }
      await callOutside(URL, { method: 'POST', headers, body }, durationMs(Timeout), signal)
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
    value = singleValue(await callOutside(prometheusUrl(url, 'query', { query: Query }), {}, QUERY_TIMEOUT_MS, signal))
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
