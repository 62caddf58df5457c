// Requests that never pause while a test changes the mesh under them: some on connections that stay, each tenth on a fresh one. Used by
// the rotation tests. Invariant: `stop()` has waited for every answer; what was not 200 is in `failures`, in words.
import { Http1Client } from './http1-client.js'

const PAUSE_MS = 5

export class SteadyLoad {
  readonly failures: string[] = []
  sent = 0
  private stopping = false
  private readonly workers: Promise<void>[]

  constructor(port: number, connections = 4) {
    this.workers = Array.from({ length: connections }, () => this.run(port))
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.workers)
  }

  private async run(port: number): Promise<void> {
    let client: Http1Client | null = null
    for (let turn = 1; !this.stopping; turn++) {
      try {
        client ??= await Http1Client.connect(port)
        this.sent++
        const answer = await client.get(`/${this.sent}`)
        if (answer.status !== 200) this.failures.push(`${answer.status} ${answer.body} ${answer.headers.get('x-outrigger-detail') ?? ''}`)
      } catch (error) {
        this.failures.push((error as Error).message)
        client = null
      }
      if (turn % 10 === 0) {
        client?.destroy()
        client = null
      }
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
    client?.destroy()
  }
}
