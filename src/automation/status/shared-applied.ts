// What was applied last, for those who share the work: a key beside that of their lock, written by the one that leads, read by the next one. So
// it does not tell again what was told, and what it has to tell comes under ids that follow on. Made by automation.ts where
// `high_availability` is configured. Invariants: whoever leads has read it before anything runs, or has said that it could not; it is written only
// while the lock is the writer's, by a transaction that says so: one that was suspended and comes back changes nothing.
import type { ConsulApi } from '../answers/consul-reads.js'
import { isPlain } from '../config/config-fields.js'
import type { AppliedRecord } from '../tasks/sync-state.js'

const READ_WITHIN_MS = 10_000

export interface SharedAppliedOptions {
  readonly api: ConsulApi
  /** Key of what was applied. */
  readonly key: string
  /** Key of the lock. */
  readonly lockKey: string
  /** The session that has the lock here; '' = the lock is not ours. */
  readonly session: () => string
  readonly onProblem: (message: string) => void
}

/** Path of a key in the HTTP API. */
export function kvPath(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`
}

export class SharedApplied {
  private wanted: Readonly<Record<string, AppliedRecord>> | undefined
  private writing: Promise<void> | undefined

  constructor(private readonly options: SharedAppliedOptions) {}

  /** By the names of the tasks; nothing where nobody has led yet. */
  async load(): Promise<Readonly<Record<string, AppliedRecord>>> {
    const { api, key, onProblem } = this.options
    try {
      const { text } = await api.call({
        method: 'GET',
        path: `${kvPath(key)}?raw`,
        timeoutMs: READ_WITHIN_MS,
        allowMissing: true,
        signal: new AbortController().signal,
      })
      const value: unknown = text === '' ? {} : JSON.parse(text)
      return isPlain(value) ? (value as Readonly<Record<string, AppliedRecord>>) : {}
    } catch (error) {
      onProblem(`high availability: what was applied last is not known: ${(error as Error).message}`)
      return {}
    }
  }

  /** The newest of what is given while a write is under way goes next. Where another one leads, what is applied here is of this process alone. */
  save(applied: Readonly<Record<string, AppliedRecord>>): void {
    if (this.options.session() === '') return
    this.wanted = { ...applied }
    this.writing ??= this.write().finally(() => (this.writing = undefined))
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    await this.writing
  }

  private async write(): Promise<void> {
    const { api, key, lockKey, session, onProblem } = this.options
    while (this.wanted !== undefined) {
      const Value = Buffer.from(JSON.stringify(this.wanted)).toString('base64')
      this.wanted = undefined
      await api
        .put('/v1/txn', [{ KV: { Verb: 'check-session', Key: lockKey, Session: session() } }, { KV: { Verb: 'set', Key: key, Value } }])
        .catch((error: Error) => onProblem(`high availability: what was applied last is not written: ${error.message}`))
    }
  }
}
