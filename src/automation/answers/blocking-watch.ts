// One path of the HTTP API, read again and again by blocking reads. Started by watch-hub.ts for each path that some task asks.
// Invariant: nothing is polled: a read waits at the server until something changes; after a failure the next waits, longer each time.
// An answer that says the same as the one before is no change. Where the index goes back, reading begins anew (Consul's rule).
import { fullJitterMs } from '../../io/backoff.js'
import type { Clock } from '../../io/clock.js'
import { pause } from '../pause.js'
import type { ConsulApi } from './consul-reads.js'
import type { Watch } from './timed-read.js'

export interface WatchContext {
  readonly api: ConsulApi
  readonly clock: Clock
  readonly random: () => number
  /** Of reads that do not wait at the server. */
  readonly turn: <T>(read: () => Promise<T>) => Promise<T>
  onChange(): void
}

const WAIT = '5m'
/** The server adds a sixteenth; a connection that has died in silence is not waited for any longer. */
const WAITED_FOR_MS = 340_000
const FIRST_READ_MS = 30_000
const BACKOFF_BASE_MS = 500
const BACKOFF_MAX_MS = 60_000
/** Of the few paths that know no index: the datacenters. */
const WITHOUT_INDEX_MS = 60_000

export class BlockingWatch implements Watch {
  /** The JSON of the last answer; undefined until there is one. */
  value: unknown
  /** Why there is no newer answer; '' = all is well. */
  problem = ''
  private readonly stopping = new AbortController()
  private text: string | undefined

  constructor(
    readonly path: string,
    private readonly context: WatchContext,
  ) {
    void this.run()
  }

  stop(): void {
    this.stopping.abort()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    const { clock, random } = this.context
    let index = 0n
    for (let failures = 0; !signal.aborted; ) {
      try {
        const next = await this.read(index)
        if (signal.aborted) return
        failures = 0
        this.problem = ''
        if (next === 0n) await pause(WITHOUT_INDEX_MS, clock, signal)
        index = next < index ? 0n : next
      } catch (error) {
        if (signal.aborted) return
        const { message } = error as Error
        const isNew = this.problem === ''
        this.problem = message
        if (isNew) this.context.onChange()
        index = 0n
        await pause(fullJitterMs(failures++, BACKOFF_BASE_MS, BACKOFF_MAX_MS, random), clock, signal)
      }
    }
  }

  private async read(index: bigint): Promise<bigint> {
    const { path } = this
    const call = {
      method: 'GET' as const,
      path: index === 0n ? path : `${path}${path.includes('?') ? '&' : '?'}index=${index}&wait=${WAIT}`,
      timeoutMs: index === 0n ? FIRST_READ_MS : WAITED_FOR_MS,
      allowMissing: true,
      signal: this.stopping.signal,
    }
    const read = (): ReturnType<ConsulApi['call']> => this.context.api.call(call)
    const answer = await (index === 0n ? this.context.turn(read) : read())
    const text = answer.missing ? '' : answer.text
    const hadProblem = this.problem !== ''
    if (text !== this.text || hadProblem) {
      this.value = text === '' ? null : JSON.parse(text)
      this.text = text
      this.problem = ''
      if (!this.stopping.signal.aborted) this.context.onChange()
    }
    return BigInt(answer.indexText)
  }
}
