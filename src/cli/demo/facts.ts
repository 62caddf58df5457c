// What the demo claims, checked: each fact is printed as it is found and kept if it failed. The exit code of `--once` is made of them.
import type { Progress } from '../command-line/progress.js'

export class Facts {
  readonly failed: string[] = []
  private readonly progress: Progress

  constructor(progress: Progress) {
    this.progress = progress
  }

  /** `fact` says what should hold, `found` what was seen. */
  check(holds: boolean, fact: string, found: string): void {
    const text = found === '' ? fact : `${fact}: ${found}`
    if (!holds) this.failed.push(text)
    this.progress.line(`   ${holds ? 'ok    ' : 'FAILED'} ${text}`)
  }
}
