// POST /explain: where a request would go. A POST, though it changes nothing, because its parameters may hold headers that are nobody
// else's business: a form's stand in no log. Called by the admin's routes; the answer is proxy/explain's.

import { explain } from '../explain/explain.js'
import { parseExplainQuestion } from '../explain/explain-query.js'
import type { Server } from '../server.js'
import { answer, answerJson } from './admin-answer.js'
import type { AdminRequest } from './admin-route.js'

export function answerExplanation(server: Server, { query, response }: AdminRequest): void {
  const parsed = parseExplainQuestion(query)
  if (!parsed.ok) {
    answer(response, 400, `${parsed.reason}\n`)
    return
  }
  explain(server, parsed.question)
    .then(explanation => answerJson(response, explanation))
    .catch((error: Error) => answer(response, 500, `${error.message}\n`))
}
