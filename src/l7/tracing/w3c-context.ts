// W3C Trace Context: `traceparent` and `tracestate`, read and written. Used by both tracers.

import type { HeaderList } from '../codec/header-list.js'

export interface RemoteContext {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
  readonly traceState: string
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/i
const ZEROS = /^0+$/

/** Undefined: there is none. Null: it cannot be read. */
export function readTraceparent(headers: HeaderList): RemoteContext | null | undefined {
  const value = headers.get('traceparent')
  if (value === undefined) return undefined
  const match = TRACEPARENT.exec(value)
  if (match === null) return null
  const [, traceId = '', spanId = '', flags = ''] = match
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return null
  const sampled = (Number.parseInt(flags, 16) & 1) === 1
  return { traceId: traceId.toLowerCase(), spanId: spanId.toLowerCase(), sampled, traceState: headers.getAll('tracestate').join(',') }
}

/** A trace id of 64 bits is filled up with zeros in front. */
export function writeTraceparent(headers: HeaderList, traceId: string, spanId: string, sampled: boolean): void {
  headers.set('traceparent', `00-${traceId.padStart(32, '0')}-${spanId}-${sampled ? '01' : '00'}`)
}
