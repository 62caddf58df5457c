// Counts exceptions, and hands each cause once to who says it, with its stack; further ones are only counted. Made by Server for those that
// end connections, and by each HTTP filter of the embedding program. Invariant: causes that are remembered are bounded.

import type { Counter } from './stat.js'

/** Causes told apart; those beyond are counted and not said. */
const MAX_CAUSES = 100

export class ExceptionLog {
  private readonly counter: Counter
  private readonly say: (stack: string) => void
  private readonly causes = new Set<string>()

  constructor(counter: Counter, say: (stack: string) => void) {
    this.counter = counter
    this.say = say
  }

  record(error: Error): void {
    this.counter.value++
    const stack = error.stack ?? String(error)
    // The place alone: messages may name what differs from one to the next.
    const cause = stack.split('\n').find(line => line.trimStart().startsWith('at ')) ?? stack
    if (this.causes.has(cause) || this.causes.size >= MAX_CAUSES) return
    this.causes.add(cause)
    this.say(stack)
  }
}
