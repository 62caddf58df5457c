// The control plane's HTTP API, as far as this layer uses it; the command line's client fits. Invariant: what is refused rejects, with the
// control plane's own reason as the message; 404 is an answer where it is allowed.
export interface ConsulApi {
  getJson<T>(path: string): Promise<T>
  putJson<T>(path: string, body?: unknown): Promise<T>
  put(path: string, body?: unknown): Promise<unknown>
  call(call: {
    readonly method: 'GET'
    readonly path: string
    readonly timeoutMs: number
    readonly allowMissing: boolean
    readonly signal: AbortSignal
  }): Promise<{ readonly text: string; readonly indexText: string; readonly missing: boolean }>
}
