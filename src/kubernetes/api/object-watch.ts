// All objects of one resource, kept up to date by Kubernetes' list and watch: a list by pages, then a watch from the list's resource version,
// taken up again from the last version seen (a bookmark counts). Used by sync/ and resources/.
//
//   list ──> watch ──(ends, is cut off, or 429)──> watch from the last version
//     ^        │
//     └────────┴─(410 Gone: the version is older than the server remembers; any other no, such as that it is of the future, which it is
//                 to a server that was restored; or the stream cannot be read)
//
// Invariant: `objects` is never emptied by a failure: until a new list is whole, the last known state stands.
import { setTimeout as sleep } from 'node:timers/promises'
import { fullJitterMs } from '../../io/backoff.js'
import { type KubeClient, KubeError, type KubeObject } from './kube-client.js'

const PAGE_SIZE = 500
const GONE = 410
const TOO_MANY = 429
/** The server ends a watch after it: one on which nothing has come for a while longer has lost its connection. */
const WATCH_TIMEOUT_S = 240
const SILENT_MS = (WATCH_TIMEOUT_S + 30) * 1000
const MIN_WATCH_MS = 1_000
const BASE_WAIT_MS = 500
const MAX_WAIT_MS = 30_000

interface Page<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
  readonly items: readonly T[] | null
}

interface Event {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubeObject & { readonly code?: number; readonly message?: string }
}

export interface WatchOptions {
  /** The collection, without a query: `/api/v1/services`. */
  readonly path: string
  readonly labelSelector?: string
  /** After each list, and after each event. */
  readonly onChange: () => void
  readonly onProblem: (message: string) => void
  readonly random?: () => number
  readonly silentMs?: number
}

export class ObjectWatch<T extends KubeObject> {
  /** By `namespace/name`. */
  objects: ReadonlyMap<string, T> = new Map()
  /** Whether there has been a whole list. */
  synced = false
  private readonly stopping = new AbortController()
  private readonly running: Promise<void>
  private version = ''
  private attempt = 0

  constructor(
    private readonly client: KubeClient,
    private readonly options: WatchOptions,
  ) {
    this.running = this.run()
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      const startedMs = performance.now()
      let askedMs = 0
      try {
        if (this.version === '') await this.list()
        await this.follow()
        // Ended as agreed: the next one may begin at once.
        if (performance.now() - startedMs > MIN_WATCH_MS) continue
      } catch (error) {
        if (signal.aborted) return
        const status = error instanceof KubeError ? error.statusCode : 0
        if (error instanceof KubeError) askedMs = error.retryAfterMs
        if ((status !== 0 && status !== TOO_MANY) || error instanceof SyntaxError) this.version = ''
        if (status !== GONE) this.options.onProblem(`${this.options.path}: ${(error as Error).message}`)
      }
      // One that has lasted is no failure of the one before it.
      if (performance.now() - startedMs > MAX_WAIT_MS) this.attempt = 0
      const waitMs = fullJitterMs(this.attempt++, BASE_WAIT_MS, MAX_WAIT_MS, this.options.random ?? Math.random)
      await sleep(askedMs + waitMs, undefined, { signal }).catch(() => {})
    }
  }

  private async list(): Promise<void> {
    const found = new Map<string, T>()
    let next = ''
    do {
      const page = await this.client.get<Page<T>>(this.pathWith({ limit: String(PAGE_SIZE), ...(next === '' ? {} : { continue: next }) }))
      for (const object of page.items ?? []) found.set(keyOf(object), object)
      this.version = page.metadata.resourceVersion
      next = page.metadata.continue ?? ''
      // Until the last page the list is none.
      if (next !== '') this.version = ''
    } while (next !== '' && !this.stopping.signal.aborted)
    this.objects = found
    this.synced = true
    this.options.onChange()
  }

  private follow(): Promise<void> {
    const path = this.pathWith({
      watch: '1',
      resourceVersion: this.version,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(WATCH_TIMEOUT_S),
    })
    return this.client.watch(path, this.options.silentMs ?? SILENT_MS, this.stopping.signal, line => this.take(JSON.parse(line) as Event))
  }

  private take({ type, object }: Event): void {
    if (type === 'ERROR') throw new KubeError(object.code ?? 500, '', object.message ?? 'the watch failed')
    this.attempt = 0
    this.version = object.metadata.resourceVersion ?? this.version
    if (type === 'BOOKMARK') return
    const objects = new Map(this.objects)
    if (type === 'DELETED') objects.delete(keyOf(object))
    else objects.set(keyOf(object), object as T)
    this.objects = objects
    this.options.onChange()
  }

  private pathWith(query: Readonly<Record<string, string>>): string {
    const { path, labelSelector } = this.options
    return `${path}?${new URLSearchParams({ ...query, ...(labelSelector === undefined ? {} : { labelSelector }) })}`
  }
}

export function keyOf({ metadata: { namespace = '', name } }: KubeObject): string {
  return `${namespace}/${name}`
}
