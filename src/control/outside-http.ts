// One request to a server of the operator's choice (a webhook, a Prometheus): bounded in time and size, and a redirect is not followed, so that
// whoever is asked does not choose who else is. Called by rollouts/outside-calls.ts and traffic/prometheus-history.ts.
import { readAnswerBody } from '../io/bounded-body.js'

const MAX_ANSWER_BYTES = 1024 * 1024

/** The body of a 2xx answer. Rejects with what `reasonOf` puts into words. */
export async function callOutside(url: string, request: RequestInit, timeoutMs: number, signal?: AbortSignal): Promise<string> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const answer = await fetch(url, {
    ...request,
    redirect: 'manual',
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  })
  const body = answer.body === null ? '' : (await readAnswerBody(answer.body, MAX_ANSWER_BYTES)).toString('utf8')
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
  return body
}

/** `fetch` wraps what happened in an error that says nothing. */
export function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { readonly cause?: { readonly code?: string; readonly message?: string } }
  if (name === 'TimeoutError') return 'no answer in time'
  if (name === 'AbortError') return 'cancelled'
  if (name === 'SyntaxError') return 'the answer is no JSON'
  return cause?.code ?? (cause?.message || message)
}

/** A query of Prometheus' HTTP API; `base` is where its own pages begin. */
export function prometheusUrl(base: string, endpoint: 'query' | 'query_range', parameters: Readonly<Record<string, string>>): string {
  const address = new URL(base)
  address.pathname = `${address.pathname.replace(/\/$/, '')}/api/v1/${endpoint}`
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value)
  return address.href
}
