// What `outrigger apply` and `register` say of their writes: a line each as they are done, or one object of JSON when all
// are over. Made by apply.ts. Invariant: JSON comes also where something was refused, and says what was written before.
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { formatJson } from '../command-line/print.js'

export interface Refusal {
  /** File and place in it; '' where all together are refused. */
  readonly From: string
  readonly Name: string
  readonly Reason: string
}

export class WriteReport {
  private readonly verb: string
  private readonly io: CommandIo
  private readonly json: boolean
  private readonly done: string[] = []
  private readonly warnings: string[] = []
  private refusals: readonly Refusal[] = []

  /** `verb`: as in `applied NAME`. */
  constructor(verb: string, json: boolean, io: CommandIo) {
    this.verb = verb
    this.json = json
    this.io = io
  }

  /** Runs the writes, and tells of them in the end whatever came of it. */
  async telling(work: (report: WriteReport) => Promise<void>): Promise<void> {
    try {
      await work(this)
    } finally {
      const { verb, done, warnings, refusals } = this
      const title = `${verb[0]!.toUpperCase()}${verb.slice(1)}`
      if (this.json) this.io.out(formatJson({ [title]: done, Warnings: warnings, Refused: refusals }))
    }
  }

  written(name: string): void {
    this.done.push(name)
    if (!this.json) this.io.out(`${this.verb} ${name}\n`)
  }

  progress(done: number, total: number): void {
    this.io.progress(this.verb, done, total)
  }

  warn(text: string): void {
    this.warnings.push(text)
    if (!this.json) this.io.err(`warning: ${text}\n`)
  }

  /** Ends the command, where there is one. */
  refuse(refusals: readonly Refusal[]): void {
    this.refusals = refusals
    if (refusals.length > 0) throw new CliError(refusals.map(lineOf).join('\n'))
  }
}

export function lineOf({ From, Name, Reason }: Refusal): string {
  return From === '' ? Reason : `${From}: ${Name}: ${Reason}`
}
