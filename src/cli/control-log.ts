// The control plane's log: readable lines on a terminal, pino's JSON elsewhere and where it is asked for; on stderr or in a file. Made by
// commands/run-control.ts. The level can be changed while it runs (reload).
import pino from 'pino'

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
  const logger = pino(options, readable ? { write: line => void destination.write(readableLine(line)) } : destination)
  return {
    logger,
    setLevel(next) {
      logger.level = next
    },
  }
}

const SHORT: Readonly<Record<number, string>> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }
const HIDDEN = new Set(['level', 'time', 'name', 'msg'])

/** `2026-01-02T03:04:05.678Z [INFO]  message: field=value`, as `outrigger monitor` prints it. */
export function readableLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>
  const fields = Object.entries(record)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  const level = `[${SHORT[record['level'] as number] ?? '?'}]`.padEnd(8)
  return `${String(record['time'])} ${level}${String(record['msg'])}${fields === '' ? '' : `:${fields}`}\n`
}
