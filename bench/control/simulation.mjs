// The parent's side of simulated-sidecars.mjs: asks that process for what the benches of the control plane wait for. Used by control-main.mjs
// and by the scale bench. Invariant: one question at a time; what does not happen in its time is an error that says how far it came.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const TIMEOUT_MS = 120_000

export class Simulation {
  constructor() {
    this.child = fork(fileURLToPath(new URL('./simulated-sidecars.mjs', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: ['--max-old-space-size=8192'],
    })
    this.listener = () => {}
    this.child.on('message', message => this.listener(message))
  }

  /** Sends `message`; resolves with what `reduce` returns of an answer once that is not undefined. */
  ask(message, reduce, timeoutMs = TIMEOUT_MS) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(async () => {
        const { configured, sidecars, reasons } = await this.stats()
        const ends = Object.entries(reasons).map(([reason, count]) => `${count} × ${reason}`)
        reject(
          new Error(
            `not within ${timeoutMs / 1_000} s; ${configured} of ${sidecars} sidecars are configured; streams ended: ${ends.join(', ') || 'none'}`,
          ),
        )
      }, timeoutMs)
      this.listener = answer => {
        const value = reduce(answer)
        if (value === undefined) return
        clearTimeout(timer)
        this.listener = () => {}
        resolve(value)
      }
      if (message !== null) this.child.send(message)
    })
  }

  /** `sidecars`: `{ id, address }` each. Resolves with when the last of them was configured, in ms since the epoch. */
  open(sidecars, upstreams, timeoutMs) {
    return this.ask({ open: sidecars, upstreams }, ({ configured, at }) => (configured === undefined ? undefined : at), timeoutMs)
  }

  /** Breaks every connection. `keep`: they come back with what they have, as after a break of the network; else as new processes. */
  drop(keep, timeoutMs) {
    return this.ask({ drop: true, keep }, ({ configured, at }) => (configured === undefined ? undefined : at), timeoutMs)
  }

  /** When all are configured again, for who has broken what they were connected to. */
  configured(timeoutMs) {
    return this.ask(null, ({ configured, at }) => (configured === undefined ? undefined : at), timeoutMs)
  }

  /** From now on each sidecar reports the load of its clusters so often. */
  report(everyMs) {
    this.child.send({ report: everyMs })
  }

  stats() {
    return this.ask({ stats: true }, ({ stats }) => stats)
  }

  /** Milliseconds from `write` until each of `count` sidecars has got `times` resources of the type whose name starts so. */
  async spread({ typeUrl, prefix, count, times = 1, timeoutMs = TIMEOUT_MS }, write) {
    await this.ask({ watch: { typeUrl, prefix, count, times } }, ({ watching }) => watching)
    const done = this.ask(null, ({ seen }) => seen, timeoutMs)
    const begin = performance.timeOrigin + performance.now()
    const [seen] = await Promise.all([done, write()])
    await this.ask({ watch: null }, ({ watching }) => watching)
    return seen.map(at => at - begin)
  }

  close() {
    if (this.child.connected) this.child.disconnect()
  }
}
