// Starts guard.ts, which ends the children of a process that is gone, however it went. Used by the demo, `outrigger run` and `outrigger dev`. In
// the folder of guard.ts: the bundle has both side by side too.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** `folder` is removed when this process ends; '' = none. */
export function startGuard(folder: string): ChildProcess {
  return fork(fileURLToPath(new URL('./guard.js', import.meta.url)), [folder], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
}
