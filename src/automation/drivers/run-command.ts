// Programs that tasks run: checks, reloads, Terraform. Without a shell, unless the configuration says so. Called by template-driver.ts and
// terraform/. Invariant: it ends within its time, with all that it started (its own process group); of its output the last part is kept.
import { spawn } from 'node:child_process'

export interface CommandRun {
  /** With `shell` one text, else the program and its arguments. */
  readonly words: readonly string[]
  readonly shell: boolean
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly cwd?: string
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>
}

export interface CommandResult {
  /** '' = it has ended with 0. */
  readonly failure: string
  /** Exit code; -1: a signal, or it could not be started. */
  readonly code: number
  readonly output: string
}

export const MAX_OUTPUT_BYTES = 16 * 1024
const KILL_AFTER_MS = 5_000
/** For the rest of its output; a daemon that it has started may keep the pipes for ever. */
const DRAIN_MS = 250
/** How often it is looked whether all of a program that was told to end have ended. */
const GROUP_STEP_MS = 50

export function runCommand(
  { words, shell, timeoutMs, signal, cwd, env }: CommandRun,
  baseEnv: Readonly<Record<string, string | undefined>>,
): Promise<CommandResult> {
  const [program, ...args] = shell ? ['/bin/sh', '-c', ...words] : words
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let length = 0
    let why = ''
    let isKilled = false
    let kill: NodeJS.Timeout | undefined
    let drain: NodeJS.Timeout | undefined
    const child = spawn(program!, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...baseEnv, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
    const end = (reason: string): void => {
      if (why !== '') return
      why = reason
      signalGroup(child.pid, 'SIGTERM')
      kill = setTimeout(() => {
        isKilled = true
        signalGroup(child.pid, 'SIGKILL')
      }, KILL_AFTER_MS)
    }
    const timer = setTimeout(() => end(`did not end within ${timeoutMs / 1000} s`), timeoutMs)
    const abort = (): void => end('was stopped')
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        length += chunk.length
        while (length - chunks[0]!.length >= MAX_OUTPUT_BYTES) length -= chunks.shift()!.length
      })
    const finish = (code: number, failure: string): void => {
      clearTimeout(timer)
      clearTimeout(kill)
      clearTimeout(drain)
      signal.removeEventListener('abort', abort)
      const output = Buffer.concat(chunks).subarray(-MAX_OUTPUT_BYTES).toString('utf8').trim()
      resolve({ code, output, failure: failure === '' ? '' : `${shell ? words[0] : program}: ${failure}` })
    }
    child.once('error', (error: NodeJS.ErrnoException) => finish(-1, error.code === 'ENOENT' ? 'no such program' : error.message))
    const ended = (code: number | null, by: NodeJS.Signals | null): void => {
      // It was told to end: what it has started gets the same time, and is waited for.
      if (why !== '' && !isKilled && signalGroup(child.pid, 0)) return void setTimeout(() => ended(code, by), GROUP_STEP_MS)
      finish(code ?? -1, why !== '' ? why : code === 0 ? '' : code === null ? `ended by ${by}` : `exit code ${code}`)
    }
    child.once('close', ended)
    child.once('exit', (code, by) => {
      drain = setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
        ended(code, by)
      }, DRAIN_MS)
    })
  })
}

/** Whether there is somebody to get it. */
function signalGroup(pid: number | undefined, signal: NodeJS.Signals | 0): boolean {
  try {
    return pid !== undefined && process.kill(-pid, signal)
  } catch {
    return false
  }
}
