// Tells systemd how the process is, where systemd asks (`Type=notify`, `WatchdogSec=`): ready, stopping, and that its event loop still turns.
// Used by the processes that go on: run-control.ts, client-agent.ts, run-proxy.ts. Node has no datagram sockets of Unix, so systemd's own
// `systemd-notify` sends the words; it is there wherever NOTIFY_SOCKET is set by systemd.
// Invariant: without NOTIFY_SOCKET nothing happens, and nothing that goes wrong here ends the process.
import { execFile } from 'node:child_process'

export interface ServiceManager {
  /** Serving; from now on the watchdog is fed. */
  ready(): void
  stopping(): void
}

const NOBODY: ServiceManager = { ready: () => {}, stopping: () => {} }
const NOTIFY = 'systemd-notify'
const NOTIFY_TIMEOUT_MS = 5_000
/** systemd's own advice: twice in the time that it gives. */
const FEEDS_PER_TIMEOUT = 2

export function serviceManager(env: (name: string) => string | undefined, onProblem: (reason: string) => void): ServiceManager {
  if (env('NOTIFY_SOCKET') === undefined) return NOBODY
  let told = false
  const say = (...words: string[]): void => {
    execFile(NOTIFY, words, { timeout: NOTIFY_TIMEOUT_MS }, error => {
      if (error === null || told) return
      told = true
      onProblem(`systemd cannot be told: ${error.code === 'ENOENT' ? `there is no ${NOTIFY}` : error.message.trim()}`)
    })
  }
  const feedMs = watchdogMs(env) / FEEDS_PER_TIMEOUT
  return {
    ready: () => {
      say('READY=1')
      if (feedMs > 0) setInterval(() => say('WATCHDOG=1'), feedMs).unref()
    },
    stopping: () => say('STOPPING=1'),
  }
}

/** 0 where the watchdog is off, or another process's. */
function watchdogMs(env: (name: string) => string | undefined): number {
  const pid = env('WATCHDOG_PID')
  const usec = Number(env('WATCHDOG_USEC') ?? 0)
  return pid !== undefined && pid !== String(process.pid) ? 0 : Number.isFinite(usec) && usec > 0 ? usec / 1_000 : 0
}
