// B3 propagation, in its one header (`b3`) and its four (`x-b3-…`), read and written. Used by the Zipkin tracer.
//
//   b3: 0 | 1 | d | traceid-spanid[-sampled[-parentspanid]]

import type { HeaderList } from '../codec/header-list.js'
import type { SpanIdentity } from './span.js'

export interface B3Context {
  /** '' where the peer said only whether to sample. */
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  /** Null: it did not say. */
  readonly sampled: boolean | null
  readonly single: boolean
}

const SINGLE = /^([0-9a-f]{16}(?:[0-9a-f]{16})?)-([0-9a-f]{16})(?:-([01d])(?:-([0-9a-f]{16}))?)?$/i
const TRACE_ID = /^(?:[0-9a-f]{1,16}|[0-9a-f]{32})$/i
const SPAN_ID = /^[0-9a-f]{1,16}$/i
const NO_HIGH_PART = '0'.repeat(16)

/** Undefined: there is none. Null: it cannot be read. */
export function readB3(headers: HeaderList): B3Context | null | undefined {
  const single = headers.get('b3')
  return single === undefined ? readMulti(headers) : readSingle(single)
}

function readSingle(value: string): B3Context | null {
  if (value === '0' || value === '1' || value === 'd') {
    return { traceId: '', spanId: '', parentId: '', sampled: value !== '0', single: true }
  }
  const match = SINGLE.exec(value)
  if (match === null) return null
  const [, traceId = '', spanId = '', sampled, parentId = ''] = match
  return {
    traceId: shortened(traceId),
    spanId: spanId.toLowerCase(),
    parentId: withoutZero(parentId),
    sampled: sampled === undefined ? null : sampled !== '0',
    single: true,
  }
}

function readMulti(headers: HeaderList): B3Context | null | undefined {
  const flag = headers.get('x-b3-sampled')
  const sampled = flag === undefined ? null : flag === '1' || flag === 'true'
  const traceId = headers.get('x-b3-traceid')
  const spanId = headers.get('x-b3-spanid')
  if (traceId === undefined || spanId === undefined) {
    return sampled === null ? undefined : { traceId: '', spanId: '', parentId: '', sampled, single: false }
  }
  const parentId = headers.get('x-b3-parentspanid') ?? ''
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId) || (parentId !== '' && !SPAN_ID.test(parentId))) return null
  return { traceId: shortened(traceId), spanId: padded(spanId), parentId: withoutZero(padded(parentId)), sampled, single: false }
}

function padded(id: string): string {
  return id === '' ? '' : id.toLowerCase().padStart(16, '0')
}

/** 32 digits whose first half is 0 are an id of 64 bits. */
function shortened(traceId: string): string {
  const id = padded(traceId)
  return id.length === 32 && id.startsWith(NO_HIGH_PART) ? id.slice(16) : id
}

function withoutZero(id: string): string {
  return id === NO_HIGH_PART ? '' : id.toLowerCase()
}

export function writeB3(headers: HeaderList, { traceId, id, parentId, sampled, singleB3 }: SpanIdentity): void {
  const flag = sampled ? '1' : '0'
  if (singleB3) {
    headers.set('b3', `${traceId}-${id}-${flag}${parentId === '' ? '' : `-${parentId}`}`)
    return
  }
  headers.set('x-b3-traceid', traceId)
  headers.set('x-b3-spanid', id)
  if (parentId === '') headers.remove('x-b3-parentspanid')
  else headers.set('x-b3-parentspanid', parentId)
  headers.set('x-b3-sampled', flag)
}
