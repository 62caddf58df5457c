// The pages that a kubelet asks of `k8s sync` and `k8s controller`: /live, /startup and /ready. Started by commands/k8s/leading.ts.
// Invariant: nothing else is served, and nothing of a request but its path is looked at.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface HealthSource {
  /** Whether the cluster has ever answered, and whether it did lately. */
  readonly started: boolean
  readonly ready: boolean
}

const MAX_CONNECTIONS = 64
const REQUEST_TIMEOUT_MS = 5_000

export class HealthServer {
  private constructor(private readonly server: Server) {}

  /** Rejects where the address is taken. */
  static async start(host: string, port: number, source: HealthSource): Promise<HealthServer> {
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      request.resume()
      const [status, text] = pageOf((request.url ?? '').split('?')[0]!, source)
      response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text) })
      response.end(text)
    })
    server.maxConnections = MAX_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
    return new HealthServer(server)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    this.server.closeAllConnections()
    await closed
  }
}

function pageOf(path: string, { started, ready }: HealthSource): readonly [status: number, text: string] {
  if (path === '/live') return [200, 'LIVE\n']
  if (path === '/startup') return started ? [200, 'LIVE\n'] : [503, 'the cluster has not answered yet\n']
  if (path === '/ready') return ready ? [200, 'LIVE\n'] : [503, 'the cluster does not answer\n']
  return [404, 'there are /live, /startup and /ready\n']
}
