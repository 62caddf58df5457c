// Reads of the HTTP API that the control plane answers: equal ones that run at the same time are one request there, what was answered is kept,
// and served with its age while no server answers. With `?cached` it is served at once, and kept fresh by a blocking query of the agent's own.
// Made by `ClientAgent`, asked by agent-api.ts.
//
//   ask -> (the same is under way) -> wait for it
//       -> server -> 200: keep, X-Cache: MISS
//                 -> away: kept? X-Cache: HIT, Age, X-Consul-LastContact : the error
//
// Invariants: a request at the server ends when the last who waits for it is gone; answers are kept by token, so nobody is served what was
// answered to another's rights.
import { AnswerCache, type KeptAnswer } from './answer-cache.js'
import { type ServerAnswer, type ServerLink, ServersAway } from './server-link.js'

export interface Read {
  /** With its query. */
  readonly path: string
  readonly token: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** `Cache-Control: max-age`, in seconds; undefined where it says nothing. */
  readonly maxAgeSeconds?: number | undefined
}

export interface ReadAnswer extends ServerAnswer {
  /** Headers that say where the answer is from; they stand over the server's. */
  readonly origin: Readonly<Record<string, string>>
}

interface Flight {
  readonly answer: Promise<ServerAnswer>
  readonly abort: AbortController
  waiting: number
}

interface Refresh {
  readonly abort: AbortController
  usedAtMs: number
}

/** Consul's default and longest wait of a blocking query, and what it adds at random; an answer may take as long. */
const MAX_WAIT_MS = 600_000
const WAIT_MARGIN = 1 + 1 / 16
const ANSWER_MARGIN_MS = 10_000
const DEFAULT_WAIT_MS = 300_000
/** Reads with `?cached` that are kept fresh, and for how long after their last use. */
const MAX_REFRESHES = 256
const REFRESH_IDLE_MS = 10 * 60_000
const REFRESH_WAIT = '60s'
/** What is never kept: secrets, streams, whole states. */
const NEVER_KEPT = /^\/v1\/(acl|snapshot|operator|agent\/monitor|outrigger|internal\/acl)/

export class ForwardedReads {
  private readonly link: ServerLink
  private readonly cache = new AnswerCache()
  private readonly flights = new Map<string, Flight>()
  private readonly refreshes = new Map<string, Refresh>()

  constructor(link: ServerLink) {
    this.link = link
  }

  stop(): void {
    for (const { abort } of this.refreshes.values()) abort.abort(new ServersAway('the agent stops'))
    this.refreshes.clear()
    for (const { abort } of this.flights.values()) abort.abort(new ServersAway('the agent stops'))
  }

  /** Rejects with `ServersAway` when no server answers and nothing is kept. */
  async read(read: Read): Promise<ReadAnswer> {
    const url = new URL(read.path, 'http://agent')
    const isCached = url.searchParams.has('cached')
    const key = keyOf(url, read.token)
    if (isCached) {
      const kept = this.cached(key, read)
      if (kept !== undefined) return this.kept(kept, true)
    }
    try {
      const answer = await this.fly(read, url)
      if (answer.status === 200 && !NEVER_KEPT.test(url.pathname)) this.cache.set(key, answer)
      if (isCached && answer.status === 200) this.refresh(key, url, read)
      return { ...answer, origin: isCached ? { 'X-Cache': 'MISS' } : {} }
    } catch (error) {
      const kept = error instanceof ServersAway ? this.cache.get(key) : undefined
      if (kept === undefined) throw error
      return this.kept(kept, false)
    }
  }

  private cached(key: string, { maxAgeSeconds }: Read): KeptAnswer | undefined {
    const refresh = this.refreshes.get(key)
    const kept = this.cache.get(key)
    if (kept === undefined || refresh === undefined) return undefined
    refresh.usedAtMs = performance.now()
    const isOld = maxAgeSeconds !== undefined && performance.now() - kept.atMs > maxAgeSeconds * 1_000
    return isOld ? undefined : kept
  }

  /** `fresh`: a refresh sees every change, so the age is that of the last change and no sign of staleness. */
  private kept({ answer, atMs }: KeptAnswer, fresh: boolean): ReadAnswer {
    const { lastContactMs } = this.link
    const origin: Record<string, string> = { 'X-Cache': 'HIT', Age: String(Math.floor((performance.now() - atMs) / 1_000)) }
    if (!fresh) {
      origin['X-Consul-LastContact'] = Number.isFinite(lastContactMs) ? String(Math.round(lastContactMs)) : '0'
      origin['X-Consul-KnownLeader'] = 'false'
      origin['X-Consul-Effective-Consistency'] = 'stale'
    }
    return { ...answer, origin }
  }

  private async fly(read: Read, url: URL): Promise<ServerAnswer> {
    const key = `${read.token ?? ''}\n${url.pathname}${url.search}`
    let flight = this.flights.get(key)
    if (flight === undefined) {
      const abort = new AbortController()
      const answer = this.link
        .request({
          method: 'GET',
          path: `${url.pathname}${url.search}`,
          token: read.token,
          headers: read.headers,
          signal: abort.signal,
          timeoutMs: timeoutOf(url),
        })
        .finally(() => this.flights.delete(key))
      flight = { answer, abort, waiting: 0 }
      this.flights.set(key, flight)
    }
    const joined = flight
    joined.waiting++
    const gone = new Promise<never>((_resolve, reject) => {
      const onGone = (): void => reject(new ServersAway('the client is gone'))
      if (read.signal.aborted) onGone()
      else read.signal.addEventListener('abort', onGone, { once: true })
    })
    try {
      return await Promise.race([joined.answer, gone])
    } finally {
      gone.catch(() => {})
      joined.answer.catch(() => {})
      if (--joined.waiting === 0) joined.abort.abort(new ServersAway('nobody waits any more'))
    }
  }

  /** Keeps what was read with `?cached` fresh until nobody has asked for it for a while. */
  private refresh(key: string, url: URL, { token, headers }: Read): void {
    if (this.refreshes.has(key) || this.refreshes.size >= MAX_REFRESHES || NEVER_KEPT.test(url.pathname)) return
    const refresh: Refresh = { abort: new AbortController(), usedAtMs: performance.now() }
    this.refreshes.set(key, refresh)
    void this.follow(key, refresh, url, { token, headers }).finally(() => this.refreshes.delete(key))
  }

  private async follow(key: string, refresh: Refresh, url: URL, { token, headers }: Pick<Read, 'token' | 'headers'>): Promise<void> {
    const { signal } = refresh.abort
    while (!signal.aborted && performance.now() - refresh.usedAtMs < REFRESH_IDLE_MS) {
      const index = this.cache.get(key)?.answer.headers['x-consul-index']
      // What has no index can't be waited for: it is asked for again when it is read next.
      if (typeof index !== 'string') return
      const path = new URL(url)
      path.searchParams.delete('cached')
      path.searchParams.set('index', index)
      path.searchParams.set('wait', REFRESH_WAIT)
      try {
        const answer = await this.link.request({
          method: 'GET',
          path: `${path.pathname}${path.search}`,
          token,
          headers,
          signal,
          timeoutMs: timeoutOf(path),
        })
        if (answer.status !== 200) return
        this.cache.set(key, answer)
      } catch {
        // Not fresh any more; who asks is answered from the server, or from what is kept with a word about it.
        return
      }
    }
  }
}

/** What the answer depends on: not for how long the client wants to wait. */
function keyOf(url: URL, token: string | undefined): string {
  const parameters = new URLSearchParams(url.searchParams)
  for (const name of ['index', 'wait', 'cached', 'stale', 'consistent', 'pretty', 'hash']) parameters.delete(name)
  parameters.sort()
  return `${token ?? ''}\n${url.pathname}?${parameters}`
}

function timeoutOf(url: URL): number {
  if (!url.searchParams.has('index') && !url.searchParams.has('hash')) return ANSWER_MARGIN_MS
  const asked = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(url.searchParams.get('wait') ?? '')
  const waitMs = asked === null ? DEFAULT_WAIT_MS : Number(asked[1]) * { ms: 1, s: 1_000, m: 60_000 }[asked[2] as 'ms' | 's' | 'm']
  return Math.min(waitMs, MAX_WAIT_MS) * WAIT_MARGIN + ANSWER_MARGIN_MS
}
