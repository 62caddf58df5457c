// A record of the log as both executables show it on a terminal. Called by logger.ts and control-log.ts.

/** pino's numbers. */
export const PINO_LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50 } as const

const SHORT: Readonly<Record<number, string>> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }
const HIDDEN = new Set(['level', 'time', 'name', 'msg'])

/** `2026-01-02T03:04:05.678Z [INFO]  message: field=value`, as `outrigger monitor` prints it. */
export function readableLine(record: Readonly<Record<string, unknown>>): string {
  const fields = Object.entries(record)
    .filter(([name, value]) => !HIDDEN.has(name) && value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  const level = `[${SHORT[record['level'] as number] ?? '?'}]`.padEnd(8)
  return `${String(record['time'])} ${level}${String(record['msg'])}${fields === '' ? '' : `:${fields}`}\n`
}
