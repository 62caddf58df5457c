// A process beside the demo (or `outrigger run` and `dev`) that outlives it by a moment: when that is gone, however it went (`kill -9`
// included), it ends its processes and removes its folder. Started by start-guard.ts; told by messages which processes run.
// Only processes that were reported and have not been reported as ended are killed; a negative id is a group.
import { rmSync } from 'node:fs'

export interface GuardMessage {
  readonly started?: number
  readonly ended?: number
}

const [folder = ''] = process.argv.slice(2)
const running = new Set<number>()

process.on('message', ({ started, ended }: GuardMessage) => {
  if (started !== undefined) running.add(started)
  if (ended !== undefined) running.delete(ended)
})
process.on('disconnect', () => {
  for (const pid of running) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }
  if (folder !== '') rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  process.exit(0)
})
// Ctrl-C is for the demo; the guard goes when the demo has gone.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
