// What a sidecar tells its peer of a failure, in headers of the answer: x-outrigger-reason (no answer of the upstream), x-outrigger-denied-by (the
// rule). Written by the callee's response-headers.ts, read by the caller's router, and taken off what leaves the mesh. Invariant: one line of
// visible ASCII, bounded on both ways, whoever wrote it.

import type { HeaderList } from '../codec/header-list.js'

const REASON = 'x-outrigger-reason'
const DENIED_BY = 'x-outrigger-denied-by'
const MAX_CHARS = 500

export function tellFailure(headers: HeaderList, failure: string): void {
  headers.set(REASON, oneLine(failure))
}

export function tellDenial(headers: HeaderList, deniedBy: string): void {
  headers.set(DENIED_BY, deniedBy)
}

/** What the peer told; undefined: nothing. */
export function toldReason(headers: HeaderList): string | undefined {
  const reason = headers.get(REASON) ?? headers.get(DENIED_BY)
  return reason === undefined ? undefined : oneLine(reason)
}

export function dropReasons(headers: HeaderList): void {
  headers.remove(REASON)
  headers.remove(DENIED_BY)
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_CHARS)
}
