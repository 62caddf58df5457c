// Starts worker processes of outrigger-proxy and carries messages to and from them: this program again, with the same flags, told by its
// environment what it is. Used by run-proxy.ts, and by run-worker.ts at the other end. Invariant: a worker never outlives its primary,
// whose end closes the channel, and takes its orders from there alone, whoever signals the process group.

import { fork } from 'node:child_process'
import { type FromWorker, handleOf, type SpawnWorker } from '../sidecar/sidecar.js'

/** Set in the environment of a worker. */
export const WORKER_VARIABLE = 'OUTRIGGER_WORKER'

export const spawnWorker: SpawnWorker = (index, events) => {
  const child = fork(process.argv[1]!, process.argv.slice(2), {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [WORKER_VARIABLE]: String(index) },
  })
  child.on('message', message => events.onMessage(message as FromWorker))
  // A channel that breaks shows in the exit that follows.
  child.on('error', () => child.kill('SIGKILL'))
  child.once('exit', (code, signal) => events.onExit(signal === null ? `exit code ${code}` : signal))
  return {
    pid: child.pid ?? 0,
    send: message => {
      if (child.connected) child.send(message, ignored)
    },
    sendSocket: (message, socket) => {
      const handle = handleOf(socket)
      if (handle !== null && child.connected) child.send(message, handle, ignored)
      return handle !== null
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

/** What a worker that ends does not get, the next one does. */
function ignored(): void {}
