// Which of several processes acts: a session of Consul's API, a key that it holds, and its renewal. Made by automation.ts where
// `high_availability` is configured. Works with any server of that API.
// Invariant: `onLost` is called, and its work ended, before the session can be over at the server: a renewal that fails for two thirds of the
// session's life counts as lost, whatever the server would still say.
import { hostname } from 'node:os'
import type { Clock } from '../../io/clock.js'
import type { ConsulApi } from '../answers/consul-reads.js'
import { pause } from '../pause.js'

export interface SessionLockOptions {
  readonly api: ConsulApi
  readonly clock: Clock
  /** Of the key in the HTTP API. */
  readonly path: string
  readonly id: string
  readonly ttlMs: number
  readonly onLeading: () => void
  readonly onLost: () => Promise<void>
  readonly onProblem: (message: string) => void
}

/** What stands in the key, for those who look. */
interface Holder {
  readonly id: string
  readonly host: string
}

const RETRY_MS = 1_000
const NOT_FOUND = 404
const WAIT = '10s'
const WAITED_FOR_MS = 15_000
/** Consul lets nobody take a key for so long after its holder was lost; here the holder ends its work before. */
const LOCK_DELAY = '1s'

export class SessionLock {
  isLeading = false
  /** Who leads, as far as is known; '' = nobody. */
  leader = ''
  /** The session that has the key, until the key is given back; '' = the key is not ours. */
  heldBy = ''
  private session = ''
  private renewedAt = 0
  private readonly stopping = new AbortController()
  private readonly ended: Promise<void>

  constructor(private readonly options: SessionLockOptions) {
    this.ended = this.run()
  }

  /** Gives the lock back: another may act at once. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.ended
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    const { api, clock, onProblem } = this.options
    while (!signal.aborted) {
      try {
        await this.compete(signal)
      } catch (error) {
        if (!signal.aborted) onProblem(`high availability: ${(error as Error).message}`)
      }
      await this.lose()
      this.heldBy = ''
      if (this.session !== '') {
        // Given back, not only let go: who waits for it need not wait out the delay after a loss.
        await api.put(`${this.options.path}?release=${this.session}`).catch(() => {})
        await api.put(`/v1/session/destroy/${this.session}`).catch(() => {})
        this.session = ''
      }
      await pause(RETRY_MS, clock, signal)
    }
  }

  /** Until the session or the key is lost. */
  private async compete(signal: AbortSignal): Promise<void> {
    const { api, ttlMs, id, clock } = this.options
    const body = { Name: `outrigger sync ${id}`, TTL: `${ttlMs / 1000}s`, LockDelay: LOCK_DELAY, Behavior: 'release' }
    const askedAt = clock.now()
    const { ID } = await api.putJson<{ ID: string }>('/v1/session/create', body)
    this.session = ID
    // Its life began before the answer was here.
    this.renewedAt = askedAt
    if (signal.aborted) return
    const over = new AbortController()
    signal.addEventListener('abort', () => over.abort(), { signal: over.signal })
    await Promise.all([this.renew(over), this.hold(over)])
  }

  private async renew(over: AbortController): Promise<void> {
    const { api, clock, ttlMs, onProblem } = this.options
    const trustedMs = (ttlMs * 2) / 3
    while (!over.signal.aborted) {
      await pause(ttlMs / 5, clock, over.signal)
      if (over.signal.aborted) return
      const sentAt = clock.now()
      let problem = 'no answer in time'
      // A renewal that hangs must not keep a session alive that is over.
      await Promise.race([
        api.put(`/v1/session/renew/${this.session}`).then(
          () => {
            problem = ''
          },
          (error: Error & { readonly statusCode?: number }) => {
            problem = error.message
            if (error.statusCode === NOT_FOUND) over.abort()
          },
        ),
        pause(Math.max(0, this.renewedAt + trustedMs - sentAt), clock, over.signal),
      ])
      if (problem === '') this.renewedAt = sentAt
      else if (!this.stopping.signal.aborted) {
        onProblem(`session: ${problem}`)
        if (clock.now() - this.renewedAt >= trustedMs) over.abort()
      }
    }
  }

  /** Takes the key as soon as nobody has it, and watches it. */
  private async hold(over: AbortController): Promise<void> {
    const { api, clock, id, path: key } = this.options
    let index = '0'
    try {
      while (!over.signal.aborted) {
        const { text, indexText } = await api.call({
          method: 'GET',
          path: index === '0' ? key : `${key}?index=${index}&wait=${WAIT}`,
          timeoutMs: WAITED_FOR_MS,
          allowMissing: true,
          signal: over.signal,
        })
        index = indexText
        const [entry] = text === '' ? [] : (JSON.parse(text) as { Session?: string; Value: string | null }[])
        this.leader = entry?.Session === undefined ? '' : holderOf(entry.Value)
        if (entry?.Session === this.session) {
          if (!this.isLeading) {
            this.isLeading = true
            this.heldBy = this.session
            this.options.onLeading()
          }
        } else if (this.isLeading) return
        else if (entry?.Session === undefined) {
          const holder: Holder = { id, host: hostname() }
          const taken = await api.putJson<boolean>(`${key}?acquire=${this.session}`, holder)
          index = '0'
          // Within the lock delay nobody gets it.
          if (!taken) await pause(RETRY_MS, clock, over.signal)
        }
      }
    } catch (error) {
      // The session was over before: that has been said.
      if (!over.signal.aborted) throw error
    } finally {
      over.abort()
    }
  }

  private async lose(): Promise<void> {
    if (!this.isLeading) return
    this.isLeading = false
    await this.options.onLost()
  }
}

function holderOf(value: string | null): string {
  try {
    return (JSON.parse(Buffer.from(value ?? '', 'base64').toString()) as Holder).id
  } catch {
    return ''
  }
}
