// When a draining listener asks an HTTP client to go elsewhere: Envoy's drain decision. Started by the server (POST /drain_listeners
// ?graceful) and by the listener registry (a listener removed or moved); asked by each connection once per request.
// `immediate`: every answer says close. `gradual`: ever more of them, all at the end of the drain time, so that clients do not come
// back in one wave. Idle connections are left alone: closing one would race with a request on its way.

export class DrainSequence {
  private readonly timeMs: number
  readonly immediate: boolean
  private readonly random: () => number
  private startedAt: number | null = null

  constructor(timeMs: number, immediate: boolean, random: () => number) {
    this.timeMs = timeMs
    this.immediate = immediate
    this.random = random
  }

  /** False: it runs already. */
  start(): boolean {
    if (this.startedAt !== null) return false
    this.startedAt = performance.now()
    return true
  }

  /** True: answer this request, then close. */
  shouldClose(): boolean {
    if (this.startedAt === null) return false
    return this.immediate || performance.now() - this.startedAt >= this.random() * this.timeMs
  }
}
