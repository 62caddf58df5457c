// The request body between the client and a try: what is sent of it to a fresh stream, and what is kept in case another try must send it
// again. Called by the router. Invariant: what is too long to keep is given up once, and from then on a failure of its try is final
// (Envoy: retry_or_shadow_abandoned).
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { HeldBody } from '../stream/held-body.js'

const EMPTY = Buffer.alloc(0)
/** Bodies up to this are kept for another try even without a retry policy (refused streams, the keep-alive race). */
export const MAX_REPLAY_BYTES = 64 * 1024

/**
 * Of a body that no policy wants to send again. A try that its server cannot have seen goes again by itself: HTTP/2 says so of a stream, before
 * it answers; on an HTTP/1 connection bytes of a body are there only once its head has left.
 */
export function freeReplayBytes({ connection }: UpstreamRequest, answered: boolean): number {
  return answered || connection?.protocol === 'http1' ? 0 : MAX_REPLAY_BYTES
}

/** Keeps a chunk that a try has taken; false: the body has become too long for another try. */
export function keepForReplay(body: HeldBody, chunk: Buffer, limitBytes: number): boolean {
  if (body.bytes + chunk.length <= limitBytes) {
    body.add(chunk)
    return true
  }
  body.abandon()
  return false
}

/** Sends what is held on a stream whose head is out. False: the try has ended meanwhile. */
export function sendHeld(upstream: UpstreamRequest, body: HeldBody): boolean {
  const stream = upstream.stream!
  const { chunks } = body
  const last = chunks.length - 1
  const endWithData = body.complete && body.trailers === null
  for (let i = 0; i <= last && !upstream.done; i++) stream.sendData(chunks[i]!, endWithData && i === last)
  if (upstream.done) return false
  if (!body.complete) return true
  if (body.trailers !== null) stream.sendTrailers(body.trailers)
  else if (last === -1) stream.sendData(EMPTY, true)
  return true
}
