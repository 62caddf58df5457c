// The control plane's log: readable lines on a terminal, pino's JSON elsewhere and where it is asked for; on stderr or in a file. Made by
// commands/run-control.ts. The level can be changed while it runs (reload).
import pino from 'pino'
import { readableLine } from './log-lines.js'

export const CONTROL_LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export interface ControlLog {
  readonly logger: pino.Logger
  setLevel(level: string): void
}

export interface ControlLogOptions {
  readonly level: string
  /** JSON on a terminal as well. */
  readonly json: boolean
  readonly file?: string
}

const NAME = 'outrigger-control'

export function openControlLog({ level, json, file }: ControlLogOptions): ControlLog {
  const destination = pino.destination({ dest: file ?? 2, sync: false, append: true, mkdir: true })
  const readable = file === undefined && !json && process.stderr.isTTY
  const options = { name: NAME, level, base: { name: NAME }, timestamp: pino.stdTimeFunctions.isoTime }
  const logger = pino(options, readable ? { write: line => void destination.write(readableLine(JSON.parse(line))) } : destination)
  return {
    logger,
    setLevel(next) {
      logger.level = next
    },
  }
}
