// What it means when a timer of a request fires: counted, then a local reply while the client has seen nothing, else a broken stream.
// Called by Exchange.onStreamTimer; the timers themselves are TimedStream's.

import { localReply } from '../reply/local-reply.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamTimerKind } from '../stream/stream-timer.js'
import type { Exchange } from './exchange.js'

export function onStreamTimeout(exchange: Exchange, kind: StreamTimerKind): void {
  const { stats } = exchange.runtime
  switch (kind) {
    case 'idle':
      stats.downstream_rq_idle_timeout.value++
      if (exchange.headSent) exchange.abort(ResponseFlag.StreamIdleTimeout, 'stream_idle_timeout')
      else exchange.reply({ ...localReply('stream-idle-timeout', ''), ...(exchange.requestEnded ? null : { status: 408 }) })
      return
    case 'request':
      stats.downstream_rq_timeout.value++
      if (exchange.headSent) exchange.abort(0, 'request_overall_timeout')
      else exchange.reply(localReply('request-timeout', ''))
      return
    case 'max-duration':
      stats.downstream_rq_max_duration_reached.value++
      if (exchange.headSent) exchange.abort(0, 'max_duration_timeout')
      // Envoy Utility::maybeRequestTimeoutCode: whose fault it is depends on whether the request is all here.
      else exchange.reply({ ...localReply('max-duration', ''), ...(exchange.requestEnded ? { status: 504 } : null) })
      return
    case 'upstream-max-duration':
      if (exchange.cluster !== null) exchange.cluster.traffic.main.upstream_rq_max_duration_reached.value++
      if (exchange.headSent) exchange.abort(ResponseFlag.UpstreamMaxStreamDurationReached, 'upstream_max_stream_duration_reached')
      else exchange.reply(localReply('upstream-max-stream-duration', ''))
      return
    case 'route':
      if (exchange.cluster !== null) exchange.cluster.traffic.main.upstream_rq_timeout.value++
      for (const attempt of exchange.attempts) {
        attempt.host.stats.rqTimeout++
        if (!attempt.responseStarted) attempt.host.cluster.recordTimeout(attempt.host)
      }
      if (exchange.headSent) exchange.abort(ResponseFlag.UpstreamRequestTimeout, 'response_timeout')
      else exchange.reply(localReply('upstream-request-timeout', ''))
  }
}
