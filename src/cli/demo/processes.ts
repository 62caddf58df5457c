// The demo's child processes: start, logs, ends that nobody asked for, stop. Used by demo-main.ts.
// Invariant: no child outlives the demo. `stop` ends them in order; if the demo dies without it, guard.ts does.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GuardMessage } from './guard.js'
import { startGuard } from './start-guard.js'

/** Between SIGTERM and SIGKILL. */
const STOP_GRACE_MS = 3_000
const COMMAND_TIMEOUT_MS = 30_000
const TAIL_LINES = 8

interface Running {
  readonly name: string
  readonly child: ChildProcess
  readonly ended: Promise<void>
}

export class Processes {
  /** Rejects when a child ends that was not told to. Never resolves. */
  readonly crashed: Promise<never>
  private readonly folder: string
  private readonly env: NodeJS.ProcessEnv
  private readonly guard: ChildProcess
  private readonly running: Running[] = []
  private crash: (error: Error) => void = () => {}
  private stopping = false

  /** `folder` is removed when the demo ends. */
  constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.folder = folder
    this.env = env
    mkdirSync(join(folder, 'logs'))
    this.guard = startGuard(folder)
    this.crashed = new Promise((_resolve, reject) => {
      this.crash = reject
    })
    this.crashed.catch(() => {})
  }

  /** Starts a process whose output goes to a log in the folder. In a process group of its own: Ctrl-C reaches the demo alone. */
  start(name: string, command: string, args: readonly string[]): void {
    const log = openSync(this.logFile(name), 'a')
    const child = spawn(command, args, { cwd: this.folder, env: this.env, detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    this.tellGuard(child.pid === undefined ? {} : { started: child.pid })
    const ended = new Promise<void>(resolve => {
      child.once('error', error => {
        this.crash(new Error(`${name} could not be started: ${error.message}`))
        resolve()
      })
      child.once('exit', (code, signal) => {
        this.tellGuard({ ended: child.pid! })
        if (!this.stopping) this.crash(new Error(`${name} ended with ${signal ?? `code ${code}`}\n${this.tail(name)}`))
        resolve()
      })
    })
    this.running.push({ name, child, ended })
  }

  /** Runs a command to its end and resolves with its standard output; rejects with its first line of error. */
  run(command: string, args: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(
        command,
        args,
        { cwd: this.folder, env: this.env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 2 ** 24 },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout)
          else reject(new Error(`${args.map(arg => arg.split('/').at(-1)).join(' ')}: ${stderr.trim() || error.message}`))
        },
      )
    })
  }

  logFile(name: string): string {
    return join(this.folder, 'logs', `${name}.log`)
  }

  /** The last lines that a process has written. */
  tail(name: string): string {
    return this.logLines(name)
      .slice(-TAIL_LINES)
      .map(line => `    ${line}`)
      .join('\n')
  }

  /** The first line that a process has written with that text in it. */
  logLine(name: string, text: string): string | undefined {
    return this.logLines(name).find(line => line.includes(text))
  }

  private logLines(name: string): string[] {
    try {
      return readFileSync(this.logFile(name), 'utf8').trimEnd().split('\n')
    } catch {
      return []
    }
  }

  /** Ends all children, last started first, and the guard. */
  async stop(): Promise<void> {
    this.stopping = true
    const running = this.running.splice(0).reverse()
    for (const { child } of running) if (isRunning(child)) child.kill('SIGTERM')
    const kill = setTimeout(() => {
      for (const { child } of running) if (isRunning(child)) child.kill('SIGKILL')
    }, STOP_GRACE_MS)
    await Promise.all(running.map(({ ended }) => ended))
    clearTimeout(kill)
    if (this.guard.connected && isRunning(this.guard)) {
      const gone = new Promise(resolve => this.guard.once('exit', resolve))
      this.guard.disconnect()
      await gone
    }
  }

  private tellGuard(message: GuardMessage): void {
    if (this.guard.connected) this.guard.send(message)
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}
