// What a task does when its inputs are there, as the runner of tasks sees it. Implemented by template-driver.ts, terraform/, and http/.
// Invariant: `prepare` has no effect; `apply` either did it, or has left (or put back) what was there before and rejects with `DriverError`.
import type { TaskInputs } from '../answers/data-sources.js'
import type { TemplateAnswers } from '../template/catalog-functions.js'

export interface Driver {
  /** Asks what it needs; what comes out is nothing to use while something is missing. */
  prepare(answers: TemplateAnswers, inputs: TaskInputs): Change
}

export interface Change {
  /** All that decides what `apply` will do; one that is as at the last success needs no run. */
  readonly content: string
  preview(signal: AbortSignal): Promise<Preview>
  apply(context: ApplyContext): Promise<Applied>
}

export interface ApplyContext {
  readonly signal: AbortSignal
  /** Of this task and these inputs; the same when it is tried again. */
  readonly idempotencyKey: string
  /** Why it runs, for those who are told. */
  readonly trigger: string
}

export interface Preview {
  readonly changes: boolean
  /** What would change, for people. */
  readonly plan: string
}

export interface Applied {
  readonly changed: boolean
  readonly summary: string
  /** Of the programs that ran, bounded. */
  readonly output: string
  /** Of each file that was written: SHA-256 before ('' = there was none) and after. */
  readonly files?: readonly { readonly path: string; readonly before: string; readonly after: string }[]
}

export class DriverError extends Error {
  /** Of the program that failed, bounded. */
  readonly output: string
  /** Whether a change had been made and was taken back. */
  readonly rolledBack: boolean
  /** The same would fail again: it is not worth a retry. */
  readonly isFinal: boolean

  constructor(
    message: string,
    { output = '', rolledBack = false, isFinal = false }: { output?: string; rolledBack?: boolean; isFinal?: boolean } = {},
  ) {
    super(message)
    this.output = output
    this.rolledBack = rolledBack
    this.isFinal = isFinal
  }
}
