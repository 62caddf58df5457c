// The control plane's log: readable lines on a terminal and in the journal, pino's JSON elsewhere and where it is asked for; on stderr or in a file. Made by
// commands/run-control.ts. The level can be changed while it runs (reload).
import pino from 'pino'
import { linesFor } from './log-lines.js'

export interface ControlLog {
  readonly logger: pino.Logger
  setLevel(level: string): void
}

export interface ControlLogOptions {
  /** Whose lines they are. Default: the control plane's. */
  readonly name?: string
  readonly level: string
  /** JSON on a terminal and in the journal as well. */
  readonly json: boolean
  readonly file?: string
}

const CONTROL = 'outrigger-control'

export function openControlLog({ name = CONTROL, level, json, file }: ControlLogOptions): ControlLog {
  const destination = pino.destination({ dest: file ?? 2, sync: false, append: true, mkdir: true })
  const readable = file === undefined && !json ? linesFor(process.stderr.isTTY) : null
  const options = { name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime }
  const logger = pino(options, readable === null ? destination : { write: line => void destination.write(readable(JSON.parse(line))) })
  return {
    logger,
    setLevel(next) {
      logger.level = next
    },
  }
}
