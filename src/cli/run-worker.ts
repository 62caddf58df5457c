// The worker process of outrigger-proxy (--concurrency): waits for the primary's `start`, reads the bootstrap that comes with it, and
// hands everything after that to the sidecar's Worker. Called by run-proxy.ts where the environment says so.
// Invariant: signals are the primary's to answer, since a terminal or service manager sends them to the whole group.

import { type FromWorker, Sidecar, socketOf, type ToWorker, type WorkerStart } from '../sidecar/sidecar.js'
import type { ProxyLogger } from './logger.js'
import { readTexts, sidecarOptions } from './proxy-config.js'
import type { ProxyFlags } from './proxy-flags.js'

type Message = readonly [message: ToWorker, handle: unknown]

export function runWorker(flags: ProxyFlags, logger: ProxyLogger): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGHUP'] as const) process.on(signal, () => {})
  process.once('disconnect', () => process.exit(0))
  // What comes while the start is under way.
  const early: Message[] = []
  let take = (...message: Message): void => void early.push(message)
  process.on('message', (message: ToWorker, handle: unknown) => {
    if (message.kind === 'start') void begin(message.start)
    else take(message, handle)
  })

  async function begin(start: WorkerStart): Promise<void> {
    const worker = await startWorker(flags, logger, start)
    take = (message, handle) => worker.take(message, socketOf(handle))
    for (const message of early.splice(0)) take(...message)
  }
}

/** A channel that is closed ends the process anyway. */
function ignored(): void {}

async function startWorker(flags: ProxyFlags, logger: ProxyLogger, start: WorkerStart) {
  const read = readTexts(flags, start.bootstrap)
  if (!read.ok) return refuse(logger, read.errors)
  const started = await Sidecar.worker(read.value, {
    ...sidecarOptions(flags, logger),
    start,
    send: (message: FromWorker) => void process.send?.(message, undefined, {}, ignored),
    reopenLog: () => logger.reopen(),
    exit: () => process.exit(0),
  })
  return started.ok ? started.value : refuse(logger, started.errors)
}

/** The primary took the same config: this is not the config's fault, and another worker is started. */
function refuse(logger: ProxyLogger, errors: readonly { path: string; reason: string }[]): never {
  for (const { path, reason } of errors) logger.log('error', `worker: ${path}: ${reason}`)
  process.exit(1)
}
