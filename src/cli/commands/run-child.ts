// Programs that commands start (`lock`, `watch`, `run`, `dev`): by a shell, or as they are, with Consul's rules. Used by lock.ts, watch.ts and
// dev/children.ts.
// Invariant: signals that end us reach the child first.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'

/** `sh -c` over the joined words, unless `shell` is off. */
export function startChild(words: readonly string[], shell: boolean, options: SpawnOptions): ChildProcess {
  return shell ? spawn('/bin/sh', ['-c', words.join(' ')], options) : spawn(words[0]!, words.slice(1), options)
}

/** Its exit code; of one that a signal has ended, 128 and the number's place is taken by 0. Rejects where it cannot be started. */
export function childEnd(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)))
  })
}
