// Names by the system's getaddrinfo, which reads nsswitch.conf and whatever else the machine uses. It blocks one of libuv's few threads,
// so only as many run at once as the config says, and never more than MAX_THREADS; the rest wait in order.
// Invariant: a lookup that is to be repeated goes to the end of the line, after a pause, so that the others have their turn.

import { ADDRCONFIG, lookup } from 'node:dns'
import type { SystemResolver } from '../../model/dns-resolver.js'
import { byFamily, type LookupFamily, MAX_ADDRESSES, type NameLookup, type Records } from './name-lookup.js'

/** Of libuv's four threads; the others are left to the file system and to crypto. */
const MAX_THREADS = 2
/** Envoy's: getaddrinfo gives no TTL. */
const TTL_SECONDS = 60
const RETRY_PAUSE_MS = 100

interface Waiting {
  readonly name: string
  readonly family: LookupFamily
  retriesLeft: number | null
  readonly resolve: (records: Records) => void
  readonly reject: (error: unknown) => void
}

export class SystemLookup implements NameLookup {
  private readonly threads: number
  private readonly retries: number | null
  private readonly line: Waiting[] = []
  private readonly pauses = new Set<NodeJS.Timeout>()
  private running = 0
  private closed = false

  constructor({ threads, retries }: SystemResolver) {
    this.threads = Math.min(threads, MAX_THREADS)
    this.retries = retries
  }

  lookup(name: string, family: LookupFamily): Promise<Records> {
    return new Promise((resolve, reject) => {
      this.line.push({ name, family, retriesLeft: this.retries, resolve, reject })
      this.next()
    })
  }

  close(): void {
    this.closed = true
    for (const pause of this.pauses) clearTimeout(pause)
    for (const { reject } of this.line.splice(0)) reject(new Error('resolver is closed'))
  }

  private next(): void {
    if (this.running >= this.threads) return
    const waiting = this.line.shift()
    if (waiting === undefined) return
    this.running++
    lookup(waiting.name, { all: true, family: 0, hints: ADDRCONFIG }, (error, found) => {
      this.running--
      this.settle(waiting, error, error === null ? found.map(({ address }) => address) : [])
      this.next()
    })
  }

  private settle(waiting: Waiting, error: NodeJS.ErrnoException | null, addresses: readonly string[]): void {
    if (error === null) {
      const kept = byFamily(addresses, waiting.family).slice(0, MAX_ADDRESSES)
      waiting.resolve({ addresses: kept, ttlSeconds: TTL_SECONDS })
    } else if (error.code === 'ENOTFOUND') waiting.resolve({ addresses: [], ttlSeconds: null })
    else if (error.code === 'EAI_AGAIN' && waiting.retriesLeft !== 0 && !this.closed) this.repeat(waiting)
    else waiting.reject(error)
  }

  private repeat(waiting: Waiting): void {
    if (waiting.retriesLeft !== null) waiting.retriesLeft--
    const pause = setTimeout(() => {
      this.pauses.delete(pause)
      this.line.push(waiting)
      this.next()
    }, RETRY_PAUSE_MS)
    this.pauses.add(pause)
  }
}
