// Steady traffic through a proxy while a test changes its config: what fails is kept, so that a test can say that nothing did.
import { Http1Client } from './http1-client.js'
import { until } from './proxy-process.js'

/** Clients that send one request after the other until told to stop; every failure is kept. */
export class SteadyTraffic {
  sent = 0
  readonly failures: string[] = []
  readonly bodies = new Map<string, number>()
  private stopping = false
  private readonly loops: Promise<void>[] = []

  constructor(port: number, clients: number, keepAlive = true) {
    for (let i = 0; i < clients; i++) this.loops.push(this.loop(port, keepAlive))
  }

  private async loop(port: number, keepAlive: boolean): Promise<void> {
    let client: Http1Client | null = null
    while (!this.stopping) {
      try {
        client ??= await Http1Client.connect(port)
        const answer = await client.get('/')
        this.sent++
        this.bodies.set(answer.body, (this.bodies.get(answer.body) ?? 0) + 1)
        if (answer.status !== 200) this.failures.push(`${answer.status} ${answer.body}`)
        if (!keepAlive || answer.headers.get('connection') === 'close') {
          client.destroy()
          client = null
        }
      } catch (error) {
        this.failures.push((error as Error).message)
        client = null
      }
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    client?.destroy()
  }

  async more(requests: number): Promise<void> {
    const target = this.sent + requests
    await until(`${requests} more requests`, () => this.sent >= target || this.failures.length > 0)
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.loops)
  }
}
