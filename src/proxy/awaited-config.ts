// What a listener waits for before it serves: its routes, its secrets, the filters that come over ECDS. Implemented by the registries that
// hold them, waited for by ListenerRegistry.

export interface AwaitedConfig {
  /** For the log. */
  readonly name: string
  /** How long it is waited for; 0: until it says itself that it is over. */
  readonly timeoutMs: number
  readonly ready: boolean
  /** `ready` once; `refused` whenever a version came that was refused while there is none. Returns the way to stop waiting. */
  whenReady(ready: () => void, refused: () => void): () => void
}
