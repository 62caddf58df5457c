// What keeps a page's data fresh: one loop per page, and one for traffic that all share. Used by pages through `useLive` and `useTraffic`.
//
//   read all -> one blocking query (`?index=`) until something changes -> read the others again -> rest -> the next blocking query -> ...
//
// Invariants: a tab has at most one blocking query and one poll under way, and none while it is hidden (browsers give a server six
// connections for all tabs); the rest is RESTS_PER_READ times as long as the reading took, so that ten browsers cost the control plane
// at most a twentieth of a core, however large the mesh.
import { useEffect, useState } from 'preact/hooks'
import { type Range, SHORT_RANGE } from '../logic/ranges.js'
import type { Traffic, TrafficPoint } from './answers.js'
import { ApiError, ask } from './client.js'
import { onTokenChange } from './session.js'

const RESTS_PER_READ = 200
const MIN_REST_MS = 2_000
const MAX_REST_MS = 30_000
const WAIT_SECONDS = 50
const RETRY_MS = 3_000
const TRAFFIC_MS = 5_000
const SERIES_MS = 10_000
/** Longer times are asked of a Prometheus, and change slowly. */
const HISTORY_MS = 60_000
const NO_POINTS: readonly TrafficPoint[] = []
/** Where the server has no figures of traffic, it is asked for them again now and then. */
const ABSENT_MS = 60_000

export const restAfter = (tookMs: number): number => Math.min(MAX_REST_MS, Math.max(MIN_REST_MS, tookMs * RESTS_PER_READ))

export interface Live<T> {
  readonly data: { readonly [K in keyof T]?: T[K] }
  readonly errors: { readonly [K in keyof T]?: ApiError }
  /** Reads all again, now. */
  refresh(): void
}

interface LiveOptions<T> {
  /** Whose change is waited for; without it all are read again after each rest. */
  readonly watch?: keyof T
  /** A rest is at least this long. */
  readonly everyMs?: number
}

type Paths<T> = { readonly [K in keyof T]: string }

class LiveLoop<T> {
  private readonly paths: Paths<T>
  private readonly watched: keyof T | undefined
  private readonly everyMs: number
  private readonly publish: (data: Live<T>['data'], errors: Live<T>['errors']) => void
  private data: Live<T>['data'] = {}
  private errors: Live<T>['errors'] = {}
  private ended = false
  private wake: () => void = () => {}
  private pending = new AbortController()
  private index = 0

  constructor(paths: Paths<T>, { watch, everyMs = 0 }: LiveOptions<T>, publish: LiveLoop<T>['publish']) {
    this.paths = paths
    this.watched = watch
    this.everyMs = everyMs
    this.publish = publish
    document.addEventListener('visibilitychange', this.interrupt)
    void this.run()
  }

  end(): void {
    this.ended = true
    document.removeEventListener('visibilitychange', this.interrupt)
    this.interrupt()
  }

  /** Ends what it waits for: the data is read again, once the page is seen. */
  readonly interrupt = (): void => {
    this.pending.abort()
    this.wake()
  }

  private async run(): Promise<void> {
    let fresh: keyof T | undefined
    let readingMs = 0
    while (!this.ended) {
      if (document.hidden) {
        await this.rest(MAX_REST_MS)
        fresh = undefined
        continue
      }
      this.pending = new AbortController()
      const others = (Object.keys(this.paths) as (keyof T)[]).filter(key => key !== fresh)
      if (others.length > 0) {
        const started = performance.now()
        await Promise.all(others.map(key => this.read(key, this.paths[key])))
        readingMs = performance.now() - started
      }
      if (this.ended) return
      this.publish(this.data, this.errors)
      const isChange = fresh !== undefined
      fresh = undefined
      if (this.pending.signal.aborted) continue
      if (Object.keys(this.errors).length > 0) await this.rest(Math.max(this.everyMs, RETRY_MS))
      // The first change is heard at once; the rest is for those that follow it.
      else if (isChange || this.watched === undefined) await this.rest(Math.max(this.everyMs, restAfter(readingMs)))
      fresh = await this.change()
    }
  }

  /** The key that was read by waiting for its change; undefined: all are to be read. */
  private async change(): Promise<keyof T | undefined> {
    const key = this.watched
    if (key === undefined || this.index === 0 || this.pending.signal.aborted || this.ended) return undefined
    const before = this.index
    const path = this.paths[key]
    await this.read(key, `${path}${path.includes('?') ? '&' : '?'}index=${before}&wait=${WAIT_SECONDS}s`)
    return this.index === before ? undefined : key
  }

  private async read(key: keyof T, path: string): Promise<void> {
    try {
      const answer = await ask<T[keyof T]>(path, this.pending.signal)
      this.data = { ...this.data, [key]: answer.value }
      const { [key]: _, ...errors } = this.errors
      this.errors = errors as Live<T>['errors']
      if (key === this.watched) this.index = answer.index
    } catch (error) {
      if ((error as Error).name !== 'AbortError') this.errors = { ...this.errors, [key]: error as ApiError }
    }
  }

  private rest(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

export function useLive<T>(paths: Paths<T>, options: LiveOptions<T> = {}): Live<T> {
  const key = JSON.stringify(paths)
  const [state, setState] = useState<{ key: string; live: Live<T> }>()
  useEffect(() => {
    const start = (): LiveLoop<T> =>
      new LiveLoop<T>(paths, options, (data, errors) => setState({ key, live: { data, errors, refresh: () => loop.interrupt() } }))
    let loop = start()
    const unsubscribe = onTokenChange(() => {
      loop.end()
      loop = start()
    })
    return () => {
      unsubscribe()
      loop.end()
    }
  }, [key])
  return state?.key === key ? state.live : { data: {}, errors: {}, refresh: () => {} }
}

// ---- traffic -----------------------------------------------------------------------------------------------------------------------------

class TrafficPoll {
  private readonly listeners = new Set<(traffic: Traffic | undefined) => void>()
  private timer: ReturnType<typeof setTimeout> | undefined
  private isRunning = false
  private last: Traffic | undefined

  subscribe(listener: (traffic: Traffic | undefined) => void): () => void {
    this.listeners.add(listener)
    if (this.last !== undefined) listener(this.last)
    if (!this.isRunning) void this.run()
    return () => {
      this.listeners.delete(listener)
      if (this.listeners.size > 0) return
      clearTimeout(this.timer)
      this.isRunning = false
    }
  }

  private async run(): Promise<void> {
    this.isRunning = true
    const started = performance.now()
    let restMs = TRAFFIC_MS
    if (!document.hidden) {
      try {
        const { value } = await ask<Traffic>('/v1/outrigger/traffic?window=60s')
        this.last = value
        restMs = Math.max(TRAFFIC_MS, restAfter(performance.now() - started))
      } catch (error) {
        this.last = undefined
        restMs = error instanceof ApiError && error.status === 404 ? ABSENT_MS : TRAFFIC_MS
      }
      for (const listener of [...this.listeners]) listener(this.last)
    }
    if (this.listeners.size === 0) this.isRunning = false
    else this.timer = setTimeout(() => void this.run(), restMs)
  }
}

const TRAFFIC = new TrafficPoll()

/** The last minute; undefined where there are no figures (yet). */
export function useTraffic(): Traffic | undefined {
  const [traffic, setTraffic] = useState<Traffic>()
  useEffect(() => TRAFFIC.subscribe(setTraffic), [])
  return traffic
}

/** What fits `query` (`destination=api`) in the time that ends now, oldest first; none where there are no figures (yet). */
export function useSeries(query: string, range: Range): { readonly points: readonly TrafficPoint[]; readonly error: ApiError | undefined } {
  const { data, errors } = useLive<{ readonly points: readonly TrafficPoint[] }>(
    { points: `/v1/outrigger/traffic/series?window=${range}&${query}` },
    { everyMs: range === SHORT_RANGE ? SERIES_MS : HISTORY_MS },
  )
  return { points: data.points ?? NO_POINTS, error: errors.points }
}
