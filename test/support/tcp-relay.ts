// A relay between a program and the port that it means: passes bytes on, late by a delay, or not at all, as a test says. What waits while it is
// cut is kept, as a network does that loses and repeats; connections can also be broken for good.
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './port-range.js'

interface Pair {
  readonly client: Socket
  readonly target: Socket
}

export class TcpRelay {
  private readonly pairs = new Set<Pair>()
  private isCut = false
  private delayMs = 0

  private constructor(
    readonly port: number,
    private readonly server: Server,
  ) {}

  static async start(targetPort: number): Promise<TcpRelay> {
    const port = await freePort()
    const server = createServer({ pauseOnConnect: true })
    const relay = new TcpRelay(port, server)
    server.on('connection', client => relay.join(client, connect(targetPort, '127.0.0.1')))
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    return relay
  }

  /** Nothing gets through, in either direction; nobody is told. */
  cut(): void {
    this.isCut = true
    for (const { client, target } of this.pairs) for (const socket of [client, target]) socket.pause()
  }

  heal(): void {
    this.isCut = false
    for (const { client, target } of this.pairs) for (const socket of [client, target]) socket.resume()
  }

  /** Of each chunk, in each direction. */
  delay(ms: number): void {
    this.delayMs = ms
  }

  breakConnections(): void {
    for (const { client, target } of this.pairs) for (const socket of [client, target]) socket.destroy()
  }

  async stop(): Promise<void> {
    this.breakConnections()
    await new Promise(resolve => this.server.close(resolve))
  }

  private join(client: Socket, target: Socket): void {
    const pair: Pair = { client, target }
    this.pairs.add(pair)
    const pass = (from: Socket, to: Socket): void => {
      from.on('data', chunk => {
        if (this.delayMs === 0) to.write(chunk)
        else setTimeout(() => to.write(chunk), this.delayMs)
      })
      from.on('error', () => {})
      from.on('close', () => {
        this.pairs.delete(pair)
        to.destroy()
      })
      if (this.isCut) from.pause()
      else from.resume()
    }
    pass(client, target)
    pass(target, client)
  }
}
