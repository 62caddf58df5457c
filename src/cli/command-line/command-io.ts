// What a command of `outrigger` may touch of the world: environment, standard streams, files. Made by outrigger-main.ts; tests give
// their own. `CliError` is the one way for a command to fail: its message is the line that the user sees, the exit code 1.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Progress } from './progress.js'
import { visible, visibleLine } from './visible.js'

export interface CommandIo {
  env(name: string): string | undefined
  /** Bytes go as they are; of text, what a terminal would obey is shown (visible.ts). */
  out(text: string | Buffer): void
  /** Text that the terminal is to obey: colours, what is drawn again. */
  draw(text: string): void
  err(text: string): void
  /** How far work that takes long has come, for the person at the terminal; nothing where there is none, and once `done` is `total`. */
  progress(label: string, done: number, total: number): void
  /** Text of a file; `-` is standard input. Throws `CliError` with one line. */
  readText(path: string): string
  readBytes(path: string): Buffer
  /** What stands at the other end of the output; undefined: no terminal, so no colours and nothing that is drawn again. */
  terminal(): { readonly columns: number; readonly rows: number } | undefined
  /** Asks the person at the terminal; undefined where there is none. */
  confirm(question: string): Promise<boolean | undefined>
}

/** Ends a command that has printed its answer with an exit code that says it too (`explain --exit-code`, `intention check`). */
export class AnswerCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`)
  }
}

export class CliError extends Error {}

const STDIN = 0

export function processIo(): CommandIo {
  // On stderr, so that an answer that goes elsewhere has none of it.
  const bar = new Progress(process.stderr)
  const print = (text: string | Buffer): void => {
    bar.clear()
    process.stdout.write(text)
  }
  return {
    // An empty variable counts as none, as everywhere in Consul's tools.
    env: name => process.env[name] || undefined,
    out: text => print(typeof text === 'string' ? visible(text) : text),
    draw: print,
    err: text => {
      bar.clear()
      process.stderr.write(visible(text))
    },
    progress: (label, done, total) => bar.bar(visibleLine(label), done, total),
    readText,
    readBytes,
    terminal: () => (process.stdout.isTTY ? { columns: process.stdout.columns, rows: process.stdout.rows } : undefined),
    confirm,
  }
}

export function readText(path: string): string {
  return readBytes(path).toString('utf8')
}

export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path === '-' ? STDIN : path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a folder' : code === 'EACCES' ? 'permission denied' : message
    throw new CliError(`${path}: ${reason}`)
  }
}

async function confirm(question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
  } finally {
    terminal.close()
  }
}
