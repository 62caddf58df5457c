// What was applied last, for those who share the work: a key for each task beside that of their lock, written by the one that leads, read by the next one. So
// it does not tell again what was told, and what it has to tell comes under ids that follow on. Made by automation.ts where
// `high_availability` is configured. Invariants: whoever leads has read it before anything runs, or has said that it could not; it is written only
// while the lock is the writer's, by transactions that say so: one that was suspended and comes back changes nothing; no transaction has more than
// Consul takes, however many tasks there are.
import type { ConsulApi } from '../answers/consul-reads.js'
import { isPlain } from '../config/config-fields.js'
import type { AppliedRecord } from '../tasks/sync-state.js'

const READ_WITHIN_MS = 10_000
/** Consul takes 128 operations, of 512 KiB together; a task's name and its record have some 300 bytes. */
const TASKS_AT_ONCE = 60

export interface SharedAppliedOptions {
  readonly api: ConsulApi
  /** Folder of what was applied, by the names of tasks. */
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
  /** What is there by our own writes, or by what was read. */
  private readonly told = new Map<string, string>()

  constructor(private readonly options: SharedAppliedOptions) {}

  /** By the names of the tasks; nothing where nobody has led yet. */
  async load(): Promise<Readonly<Record<string, AppliedRecord>>> {
    const { api, key, onProblem } = this.options
    try {
      const { text } = await api.call({
        method: 'GET',
        path: `${kvPath(key)}/?recurse`,
        timeoutMs: READ_WITHIN_MS,
        allowMissing: true,
        signal: new AbortController().signal,
      })
      const applied = Object.create(null) as Record<string, AppliedRecord>
      this.told.clear()
      for (const { Key, Value } of text === '' ? [] : (JSON.parse(text) as { Key: string; Value: string | null }[])) {
        const record = Buffer.from(Value ?? '', 'base64').toString()
        const name = Key.slice(key.length + 1)
        this.told.set(name, record)
        const value = parsed(record)
        if (value !== undefined) applied[name] = value
      }
      return applied
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
    const { onProblem } = this.options
    while (this.wanted !== undefined) {
      const { wanted } = this
      this.wanted = undefined
      await this.tell(wanted).catch((error: Error) =>
        onProblem(`high availability: what was applied last is not written: ${error.message}`),
      )
    }
  }

  /** What is another than is there already. */
  private async tell(wanted: Readonly<Record<string, AppliedRecord>>): Promise<void> {
    const { api, key, lockKey, session } = this.options
    const records = Object.entries(wanted).map(([name, record]) => [name, JSON.stringify(record)] as const)
    const changed = records.filter(([name, record]) => this.told.get(name) !== record)
    const gone = [...this.told.keys()].filter(name => !Object.hasOwn(wanted, name)).map(name => [name, undefined] as const)
    const all = [...changed, ...gone]
    for (let from = 0; from < all.length; from += TASKS_AT_ONCE) {
      const part = all.slice(from, from + TASKS_AT_ONCE)
      const operations = part.map(([name, record]) =>
        record === undefined
          ? { KV: { Verb: 'delete', Key: `${key}/${name}` } }
          : { KV: { Verb: 'set', Key: `${key}/${name}`, Value: Buffer.from(record).toString('base64') } },
      )
      await api.put('/v1/txn', [{ KV: { Verb: 'check-session', Key: lockKey, Session: session() } }, ...operations])
      for (const [name, record] of part) {
        if (record === undefined) this.told.delete(name)
        else this.told.set(name, record)
      }
    }
  }
}

/** Undefined: it is not ours. */
function parsed(record: string): AppliedRecord | undefined {
  try {
    const value: unknown = JSON.parse(record)
    return isPlain(value) && typeof value['inputs'] === 'string' && typeof value['id'] === 'string'
      ? { inputs: value['inputs'], id: value['id'] }
      : undefined
  } catch {
    return undefined
  }
}
