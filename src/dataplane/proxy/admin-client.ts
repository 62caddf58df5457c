// The admin endpoint of the proxy in this process, asked as anybody asks it: readiness, draining, the configuration, metrics. Used by lifecycle.ts
// and merged-metrics.ts.
import { request } from 'node:http'

const TIMEOUT_MS = 10_000

export class AdminClient {
  constructor(
    private readonly host: string,
    private readonly port: number,
  ) {}

  /** Rejects where it is not answered with 200. */
  get(path: string, timeoutMs = TIMEOUT_MS): Promise<string> {
    return this.ask('GET', path, timeoutMs)
  }

  post(path: string): Promise<string> {
    return this.ask('POST', path, TIMEOUT_MS)
  }

  private ask(method: string, path: string, timeoutMs: number): Promise<string> {
    const { host, port } = this
    return new Promise((resolve, reject) => {
      const asked = request({ host, port, method, path, agent: false, signal: AbortSignal.timeout(timeoutMs) }, response => {
        const parts: Buffer[] = []
        response.on('data', part => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(Buffer.concat(parts).toString())
          else reject(new Error(`status ${response.statusCode}`))
        })
      })
      asked.on('error', reject)
      asked.end()
    })
  }
}
