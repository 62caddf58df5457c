// What a command of `outrigger` may touch of the world: environment, standard streams, files. Made by outrigger-main.ts; tests give
// their own. `CliError` is the one way for a command to fail: its message is the line that the user sees, the exit code 1.
import { readFileSync } from 'node:fs'

export interface CommandIo {
  env(name: string): string | undefined
  out(text: string): void
  err(text: string): void
  /** Text of a file; `-` is standard input. Throws `CliError` with one line. */
  readText(path: string): string
}

/** Ends a command that has printed its answer with an exit code that says it too (`explain --exit-code`). */
export class AnswerCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`)
  }
}

export class CliError extends Error {}

const STDIN = 0

export function processIo(): CommandIo {
  return {
    // An empty variable counts as none, as everywhere in Consul's tools.
    env: name => process.env[name] || undefined,
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    readText,
  }
}

export function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? STDIN : path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a folder' : code === 'EACCES' ? 'permission denied' : message
    throw new CliError(`${path}: ${reason}`)
  }
}

/** Columns padded to their widest cell, two spaces between them; no rows, only the head. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map(row => (row[column] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return `${[head, ...rows].map(line).join('\n')}\n`
}
