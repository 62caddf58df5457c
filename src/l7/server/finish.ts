// The last step of every request: counters and access logs. Called once by Exchange.finish. HOT: numbers on handles only; log lines
// are built only where a logger wants this request.

import { writeAccessLogs } from '../log/access-log-sink.js'
import type { Exchange } from './exchange.js'

export function finishStats(exchange: Exchange): void {
  const { runtime, info, upstream } = exchange
  const { stats } = runtime
  stats.downstream_rq_active.value--
  if (info.responseCode !== 0) runtime.hcmStats.completed(info.responseCode, runtime.listenerHttp)
  stats.downstream_rq_time.record(info.endedAt - info.startedAt)
  if (!exchange.requestEnded && exchange.headSent) stats.downstream_rq_response_before_rq_complete.value++
  if (upstream?.responseStarted) {
    const from = info.requestReceivedAt === 0 ? info.startedAt : info.requestReceivedAt
    upstream.host.cluster.traffic.chargeTime(info.endedAt - from, false)
  }
  if (info.responseCodeDetails === '' && info.responseCode !== 0) info.responseCodeDetails = 'via_upstream'
  writeAccessLogs(runtime.accessLogs, info)
  if (info.deniedBy !== '') runtime.onDenied(info)
}
