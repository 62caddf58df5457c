// What it means when a timer of the client's side fires: counted, then a local reply while the client has seen nothing, else a broken
// stream. Called by Exchange.onStreamTimer; the timers are StreamTimers', the route's own the router's.

import type { HcmHandles } from '../../metrics/stat-names.js'
import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamTimerKind } from '../stream/stream-timer.js'
import type { StreamTimers } from '../stream/stream-timers.js'

/** The request whose time is up. */
export interface TimedRequest {
  readonly runtime: {
    readonly stats: HcmHandles
    readonly config: Pick<HttpConnectionManager, 'requestTimeoutMs' | 'streamIdleTimeoutMs' | 'common'>
  }
  readonly info: { noteFailure(reason: string): void }
  readonly timers: Pick<StreamTimers, 'idleLimitMs' | 'maxDurationMs'>
  readonly body: { readonly ended: boolean }
  readonly responseStarted: boolean
  reply(reply: LocalReply): void
  abort(flag: number, details: string): void
}

export function onStreamTimeout(request: TimedRequest, kind: StreamTimerKind): void {
  const { stats, config } = request.runtime
  const complete = request.body.ended
  switch (kind) {
    case 'idle':
      request.info.noteFailure(
        `silence for ${request.timers.idleLimitMs} ms, the stream idle timeout, set by ${owner(request.timers.idleLimitMs === config.streamIdleTimeoutMs)}`,
      )
      stats.downstream_rq_idle_timeout.value++
      if (request.responseStarted) request.abort(ResponseFlag.StreamIdleTimeout, 'stream_idle_timeout')
      else request.reply({ ...localReply('stream-idle-timeout', ''), ...(complete ? null : { status: 408 }) })
      return
    case 'request':
      request.info.noteFailure(
        `the request did not end within ${config.requestTimeoutMs} ms, the request_timeout of the connection manager`,
      )
      stats.downstream_rq_timeout.value++
      if (request.responseStarted) request.abort(0, 'request_overall_timeout')
      else request.reply(localReply('request-timeout', ''))
      return
    default:
      request.info.noteFailure(
        `the stream lasted ${request.timers.maxDurationMs} ms, the max_stream_duration, set by ${owner(request.timers.maxDurationMs === config.common.maxStreamDurationMs)}`,
      )
      stats.downstream_rq_max_duration_reached.value++
      if (request.responseStarted) request.abort(0, 'max_duration_timeout')
      // Envoy Utility::maybeRequestTimeoutCode: whose fault it is depends on whether the request is all here.
      else request.reply({ ...localReply('max-duration', ''), ...(complete ? { status: 504 } : null) })
  }
}

/** A route replaces what the connection manager says. */
function owner(managers: boolean): string {
  return managers ? 'the connection manager' : 'the route (or a header of the request)'
}
