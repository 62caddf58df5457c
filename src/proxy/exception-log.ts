// Says in the log which exceptions ended connections: each cause once with its stack, further ones only counted
// (`server.connection_exceptions`). Made by Server. Invariant: causes that are remembered are bounded.

import type { Counter } from '../metrics/stat.js'

/** Causes told apart; those beyond are counted and not logged. */
const MAX_CAUSES = 100

export class ExceptionLog {
  private readonly counter: Counter
  private readonly log: (message: string, fields: Record<string, unknown>) => void
  private readonly causes = new Set<string>()

  constructor(counter: Counter, log: (message: string, fields: Record<string, unknown>) => void) {
    this.counter = counter
    this.log = log
  }

  record(error: Error): void {
    this.counter.value++
    const stack = error.stack ?? String(error)
    // The place alone: messages may name what differs from one to the next.
    const cause = stack.split('\n').find(line => line.trimStart().startsWith('at ')) ?? stack
    if (this.causes.has(cause) || this.causes.size >= MAX_CAUSES) return
    this.causes.add(cause)
    this.log('an exception ended a connection; this is a bug, and further ones of this cause are only counted', { stack })
  }
}
