// An address on the loopback that neither accepts nor refuses: a stopped child process listens there and its accept queue is full, so
// the kernel drops every further SYN. What a black hole is to a connect timeout, without a packet filter.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net, { type Socket } from 'node:net'

/** More than the queue of backlog 1 holds; connects on the loopback are through, or dropped, before connect() returns. */
const FILLERS = 16
const SCRIPT =
  "require('node:net').createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, function () { console.log(this.address().port) })"

export class FullBacklog {
  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
    private readonly fillers: readonly Socket[],
  ) {}

  static async start(): Promise<FullBacklog> {
    const child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    const port = Number(line.toString())
    child.kill('SIGSTOP')
    const fillers = Array.from({ length: FILLERS }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}))
    await once(fillers[0]!, 'connect')
    return new FullBacklog(port, child, fillers)
  }

  async close(): Promise<void> {
    for (const filler of this.fillers) filler.destroy()
    const gone = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await gone
  }
}
