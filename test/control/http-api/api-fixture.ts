// A control plane in memory and a client for its HTTP API, for the tests of this folder.
import { ControlPlane, type ControlPlaneOptions } from '../../../src/control/control-plane.js'

export interface Answer {
  readonly status: number
  /** JSON where it is JSON, text elsewhere. */
  // biome-ignore lint/suspicious/noExplicitAny: answers are asserted on field by field.
  readonly body: any
  readonly headers: Headers
  readonly index: number
}

export class ApiFixture {
  private constructor(readonly plane: ControlPlane) {}

  static async start(options: ControlPlaneOptions = {}): Promise<ApiFixture> {
    const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'node-1', ...options })
    await plane.start()
    return new ApiFixture(plane)
  }

  stop(): Promise<void> {
    return this.plane.stop()
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path)
  }

  /** Text and bytes go as they are, everything else as JSON. */
  put(path: string, body?: unknown): Promise<Answer> {
    return this.call('PUT', path, body)
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const raw = typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body)
    const response = await fetch(`http://${this.plane.httpAddress}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: raw }),
    })
    const text = await response.text()
    let parsed: unknown = text
    if (response.headers.get('content-type')?.includes('json')) parsed = JSON.parse(text)
    return { status: response.status, body: parsed, headers: response.headers, index: Number(response.headers.get('x-consul-index')) }
  }

  /** True when a read at its own index is still waiting after others have been answered, and is woken by `change`. */
  async blocks(path: string, change: () => Promise<unknown>): Promise<boolean> {
    const { index } = await this.get(path)
    let done = false
    const waiting = this.get(`${path}${path.includes('?') ? '&' : '?'}index=${index}&wait=60s`).then(answer => {
      done = true
      return answer
    })
    await this.get('/v1/status/leader')
    await this.get('/v1/status/leader')
    if (done) return false
    await change()
    return (await waiting).index > index
  }
}
