// A script check: 0 passes, 1 warns, any other end is critical. Only with --enable-local-script-checks, because whoever can register one runs
// what he likes on this machine. Run by health-checks.ts. When its time is over the script ends with all that it has started.
import { spawn } from 'node:child_process'
import type { CheckDefinition } from '../check-definition.js'
import type { CheckOutcome } from './check-outcome.js'

export function scriptCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  const [command = '', ...argv] = check.Args
  return new Promise((resolve, reject) => {
    // A group of its own, so that all of it can be ended.
    const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // Gone already.
      }
      reject(new Error(`Timed out (${check.timeoutMs / 1_000}s) running check`))
    }
    signal.addEventListener('abort', kill, { once: true })
    let output = ''
    const take = (chunk: Buffer): void => {
      // The end of what it says tells more than its beginning.
      output = (output + chunk.toString('utf8')).slice(-check.OutputMaxSize)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('error', reject)
    child.once('close', code => {
      signal.removeEventListener('abort', kill)
      resolve({ status: code === 0 ? 'passing' : code === 1 ? 'warning' : 'critical', output })
    })
  })
}
