// The last step of every request: counters, trace and access logs. Called once by Exchange.finish. HOT: numbers on handles only; log lines
// are built only where a logger wants this request.

import { writeAccessLogs } from '../log/open-access-log.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { HttpRuntime } from './http-runtime.js'

export function finishStats(runtime: HttpRuntime, info: StreamInfo): void {
  const { stats } = runtime
  stats.downstream_rq_active.value--
  if (info.responseCode !== 0) runtime.hcmStats.completed(info.responseCode, runtime.listenerHttp)
  stats.downstream_rq_time.record(info.endedAt - info.startedAt)
  if (info.responseCodeDetails === '' && info.responseCode !== 0) info.responseCodeDetails = 'via_upstream'
  if (info.trace !== null) info.trace.end()
  writeAccessLogs(runtime.accessLogs, info)
  if (info.deniedBy !== '') runtime.onDenied(info)
}
