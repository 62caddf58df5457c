// The control plane's HTTP API, as far as this layer uses it; the command line's client fits. Invariant: what is refused rejects, with the
// control plane's own reason as the message.
export interface ControlPlaneApi {
  getJson<T>(path: string): Promise<T>
  /** Undefined where the answer is 404. */
  findJson<T>(path: string): Promise<T | undefined>
  put(path: string, body?: unknown): Promise<unknown>
  putJson<T>(path: string, body?: unknown): Promise<T>
  delete(path: string): Promise<{ readonly text: string }>
  /** A blocking read: the answer, and the index to go on from. */
  call(call: {
    readonly method: 'GET'
    readonly path: string
    readonly timeoutMs: number
    readonly signal: AbortSignal
  }): Promise<{ readonly text: string; readonly indexText: string }>
}
