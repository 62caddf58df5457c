// Answers of the control plane that the agent keeps: to serve them while no server answers, and for `?cached`. Used by forwarded-reads.ts.
// Invariant: bounded by bytes and by number; the longest unused goes first.
import type { ServerAnswer } from './server-link.js'

export interface KeptAnswer {
  readonly answer: ServerAnswer
  readonly atMs: number
}

const MAX_BYTES = 64 * 1024 * 1024
const MAX_ANSWERS = 20_000
/** One that is larger would push the others out. */
const MAX_ANSWER_BYTES = MAX_BYTES / 4

export class AnswerCache {
  private readonly kept = new Map<string, KeptAnswer>()
  private bytes = 0

  get(key: string): KeptAnswer | undefined {
    const found = this.kept.get(key)
    if (found === undefined) return undefined
    this.kept.delete(key)
    this.kept.set(key, found)
    return found
  }

  set(key: string, answer: ServerAnswer): void {
    this.drop(key)
    if (answer.body.length > MAX_ANSWER_BYTES) return
    this.kept.set(key, { answer, atMs: performance.now() })
    this.bytes += answer.body.length
    for (const oldest of this.kept.keys()) {
      if (this.bytes <= MAX_BYTES && this.kept.size <= MAX_ANSWERS) break
      this.drop(oldest)
    }
  }

  private drop(key: string): void {
    const before = this.kept.get(key)
    if (before === undefined) return
    this.kept.delete(key)
    this.bytes -= before.answer.body.length
  }
}
