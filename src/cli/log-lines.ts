// A record of the log as both executables show it on a terminal and in systemd's journal, and which of them stderr is. Called by logger.ts
// and control-log.ts.
import { fstatSync } from 'node:fs'
import { visible } from './command-line/visible.js'

/** pino's numbers. */
export const PINO_LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50 } as const

const SHORT: Readonly<Record<number, string>> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }
/** Nothing in a message can pass for a record of its own. */
const CONTINUED = '\n    '
const HIDDEN = new Set(['level', 'time', 'name', 'msg'])

/** syslog's numbers, which the journal takes from the head of a line (sd-daemon(3)). */
const PRIORITIES: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 }

type Print = (record: Readonly<Record<string, unknown>>) => string

/** How records are shown to who reads stderr: null is JSON, for programs. `fd` and `env` are the process's own. */
export function linesFor(isTTY: boolean, env: NodeJS.ProcessEnv = process.env, fd = 2): Print | null {
  if (isTTY) return readableLine
  return isJournal(env['JOURNAL_STREAM'], fd) ? journalLine : null
}

/** systemd names the stream that it gave as `device:inode`; a stderr that was sent elsewhere since is another (systemd.exec(5)). */
function isJournal(stream: string | undefined, fd: number): boolean {
  if (stream === undefined) return false
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    return stream === `${dev}:${ino}`
  } catch {
    return false
  }
}

/** `<6>message: field=value`: the journal keeps the time itself, and the level as the priority. */
export function journalLine(record: Readonly<Record<string, unknown>>): string {
  return `<${PRIORITIES[record['level'] as number] ?? 6}>${visible(said(record)).replaceAll('\n', ' ')}\n`
}

/** `2026-01-02T03:04:05.678Z [INFO]  message: field=value`, as `outrigger monitor` prints it. */
export function readableLine(record: Readonly<Record<string, unknown>>): string {
  const level = `[${SHORT[record['level'] as number] ?? '?'}]`.padEnd(8)
  return `${String(record['time'])} ${level}${visible(said(record)).replaceAll('\n', CONTINUED)}\n`
}

function said(record: Readonly<Record<string, unknown>>): string {
  const fields = Object.entries(record)
    .filter(([name, value]) => !HIDDEN.has(name) && value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  return `${String(record['msg'])}${fields === '' ? '' : `:${fields}`}`
}
