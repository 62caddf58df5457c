// The processes that `outrigger run` and `outrigger dev` start: sidecars and applications. Used by run.ts and dev.ts.
// Invariant: none outlives us. stop() ends them; if we go without it (kill -9), the guard process does.
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import type { GuardMessage } from '../../demo/guard.js'
import { startGuard } from '../../demo/start-guard.js'
import { startChild } from '../run-child.js'

/** Between SIGTERM and SIGKILL. */
const STOP_GRACE_MS = 5_000

export interface Ended {
  /** Of a process that a signal has ended, 128 and its number, as shells have it. */
  readonly code: number
  readonly signal: NodeJS.Signals | null
}

export class Child {
  readonly process: ChildProcess
  /** Rejects where it could not be started. */
  readonly ended: Promise<Ended>

  private readonly isGroup: boolean

  /** `isGroup`: of a group of its own, so that what it starts goes with it. */
  constructor(child: ChildProcess, isGroup: boolean) {
    this.process = child
    this.isGroup = isGroup
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), signal }))
    })
    // Who starts it need not wait for its end.
    this.ended.catch(() => {})
  }

  get running(): boolean {
    const { pid, exitCode, signalCode } = this.process
    return pid !== undefined && exitCode === null && signalCode === null
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.running) return
    try {
      process.kill(this.isGroup ? -this.process.pid! : this.process.pid!, signal)
    } catch {
      // It has just gone.
    }
  }

  /** SIGTERM, and SIGKILL to what does not go. Resolves when it has gone. */
  async stop(): Promise<void> {
    if (!this.running) return
    this.kill('SIGTERM')
    const kill = setTimeout(() => this.kill('SIGKILL'), STOP_GRACE_MS)
    await this.ended.catch(() => {})
    clearTimeout(kill)
  }
}

export class Children {
  private readonly guard = startGuard('')
  private readonly running = new Set<Child>()

  /** `command`: a program and its arguments, or a line for the shell. With `detached` it is a group of its own. */
  start(command: readonly string[] | string, options: SpawnOptions): Child {
    const child = typeof command === 'string' ? startChild([command], true, options) : startChild(command, false, options)
    const isGroup = options.detached === true
    const started = new Child(child, isGroup)
    const id = child.pid === undefined ? undefined : isGroup ? -child.pid : child.pid
    if (id !== undefined) this.tell({ started: id })
    this.running.add(started)
    const forget = (): void => {
      this.running.delete(started)
      if (id !== undefined) this.tell({ ended: id })
    }
    started.ended.then(forget, forget)
    return started
  }

  /** Ends all of them, the last started first asked, and the guard. */
  async stop(): Promise<void> {
    await Promise.all([...this.running].reverse().map(child => child.stop()))
    const { guard } = this
    if (!guard.connected) return
    const gone = new Promise(resolve => guard.once('exit', resolve))
    guard.disconnect()
    await gone
  }

  private tell(message: GuardMessage): void {
    if (this.guard.connected) this.guard.send(message)
  }
}
