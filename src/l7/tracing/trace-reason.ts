// Why a request is traced, or that it is not: Envoy's decision, from its id, its headers and the chances of the config. The reason stands
// in the 15th character of a UUID, so that the hops behind decide alike. Pure; called by RequestTrace.

import type { RequestIdOptions, Sampling } from '../../model/tracing.js'
import type { HeaderList } from '../codec/header-list.js'
import { drawFraction, type Runtime } from '../match/runtime-fraction.js'

export type TraceReason = 'service-forced' | 'client-forced' | 'sampling' | 'not-traceable'

const UUID_LENGTH = 36
const REASON_AT = 14
const REASON_DIGITS: Readonly<Record<TraceReason, string>> = {
  'service-forced': 'a',
  'client-forced': 'b',
  sampling: '9',
  'not-traceable': '4',
}

function reasonIn(requestId: string): TraceReason {
  if (requestId.length !== UUID_LENGTH) return 'not-traceable'
  switch (requestId[REASON_AT]) {
    case 'a':
      return 'service-forced'
    case 'b':
      return 'client-forced'
    case '9':
      return 'sampling'
    default:
      return 'not-traceable'
  }
}

/** The id with the reason in it; an id that is no UUID as it is. */
export function withReason(requestId: string, reason: TraceReason): string {
  if (requestId.length !== UUID_LENGTH || requestId[REASON_AT] === REASON_DIGITS[reason]) return requestId
  return requestId.slice(0, REASON_AT) + REASON_DIGITS[reason] + requestId.slice(REASON_AT + 1)
}

/** In [0, 10000), the same for every hop that sees this id; null where the id has no such number. */
function drawnById(requestId: string): number | null {
  const digits = requestId.slice(0, 8)
  return /^[0-9a-f]{8}$/i.test(digits) ? Number.parseInt(digits, 16) % 10_000 : null
}

/** `requestId` '': the request has none. */
export function decideTracing(
  requestId: string,
  headers: HeaderList,
  sampling: Sampling,
  options: RequestIdOptions,
  runtime: Runtime,
  random: () => number,
): TraceReason {
  const drawn = options.useForTraceSampling ? drawnById(requestId) : Math.floor(random() * 10_000)
  if (drawn === null) return 'not-traceable'
  let reason = reasonIn(requestId)
  if (reason === 'not-traceable') {
    if (headers.has('x-client-trace-id') && drawFraction(sampling.client, sampling.client.runtimeKey, runtime, random)) {
      reason = 'client-forced'
    } else if (headers.has('x-envoy-force-trace')) reason = 'service-forced'
    else if (drawFraction(sampling.random, sampling.random.runtimeKey, runtime, () => drawn / 10_000)) reason = 'sampling'
  }
  if (reason === 'not-traceable') return reason
  // Of the same number, but by its remainder: independent of the draw above, as in Envoy.
  const { overall } = sampling
  const part = (drawn % overall.denominator) / overall.denominator
  return drawFraction(overall, overall.runtimeKey, runtime, () => part) ? reason : 'not-traceable'
}
