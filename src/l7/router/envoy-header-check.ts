// strict_check_headers of the router filter: which of the x-envoy-* request headers must be well formed, and the 400 for one that is not.
// Called by the router before it forwards; a listener without the option pays one look at an empty list. Values are judged as Envoy
// does: timeouts and retry counts are whole numbers, retry conditions come off the lists below.

import type { HeaderList } from '../codec/header-list.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'

const RETRY_ON = new Set([
  '5xx',
  'gateway-error',
  'connect-failure',
  'envoy-ratelimited',
  'http3-post-connect-failure',
  'refused-stream',
  'reset',
  'reset-before-request',
  'retriable-4xx',
  'retriable-headers',
  'retriable-status-codes',
])
const RETRY_GRPC_ON = new Set(['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable'])
const MAX_UINT32 = 0xffff_ffff

const CHECKS: Readonly<Record<string, (value: string) => boolean>> = {
  'x-envoy-upstream-rq-timeout-ms': isWholeNumber,
  'x-envoy-upstream-rq-per-try-timeout-ms': isWholeNumber,
  'x-envoy-max-retries': isWholeNumber,
  'x-envoy-retry-on': value => areAll(value, RETRY_ON),
  'x-envoy-retry-grpc-on': value => areAll(value, RETRY_GRPC_ON),
}

function isWholeNumber(value: string): boolean {
  return /^\d{1,10}$/.test(value) && Number(value) <= MAX_UINT32
}

function areAll(value: string, known: ReadonlySet<string>): boolean {
  return value.split(',').every(one => known.has(one.trim()))
}

/** The answer to the first of `names` whose value is not well formed; null when all are. */
export function checkEnvoyHeaders(headers: HeaderList, names: readonly string[]): LocalReply | null {
  for (const name of names) {
    const value = headers.get(name)
    if (value === undefined || CHECKS[name]?.(value) !== false) continue
    return { ...localReply('invalid-envoy-headers', name), body: `invalid header '${name}' with value '${value}'` }
  }
  return null
}
