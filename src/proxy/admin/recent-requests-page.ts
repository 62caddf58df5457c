// GET /recent_requests: what became of the requests of late, those of the workers too. Called by the admin's routes; the records are
// l7/log/recent-requests.ts's.

import { answer, answerJson } from './admin-answer.js'
import type { AdminOptions } from './admin-options.js'
import type { AdminRequest } from './admin-route.js'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 2048

export function answerRecentRequests({ server, workers }: AdminOptions, { query, response }: AdminRequest): void {
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT)
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    answer(response, 400, `limit: must be a number from 1 to ${MAX_LIMIT}\n`)
    return
  }
  const sinceMs = Number(query.get('since') ?? 0)
  if (!Number.isSafeInteger(sinceMs) || sinceMs < 0) {
    answer(response, 400, 'since: must be milliseconds since the epoch\n')
    return
  }
  const wanted = { id: query.get('id') ?? '', limit, sinceMs }
  const own = server.recent.find(wanted)
  if (workers === undefined) {
    answerJson(response, { requests: own })
    return
  }
  workers
    .recent(wanted)
    .then(theirs => {
      const all = [...own, ...theirs].sort((a, b) => (a.started < b.started ? 1 : a.started > b.started ? -1 : 0))
      answerJson(response, { requests: all.slice(0, limit) })
    })
    .catch((error: Error) => answer(response, 500, `${error.message}\n`))
}
