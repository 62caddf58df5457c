// What was applied last, for those who share the work: a key beside that of their lock, written by the one that leads, read by the next one. So
// it does not tell again what was told, and what it has to tell comes under ids that follow on. Made by automation.ts where
// `high_availability` is configured. Invariant: whoever leads has read it before anything runs, or has said that it could not.
import type { ConsulApi } from '../answers/consul-reads.js'
import { isPlain } from '../config/config-fields.js'
import type { AppliedRecord } from '../tasks/sync-state.js'

const READ_WITHIN_MS = 10_000

export class SharedApplied {
  private wanted: Readonly<Record<string, AppliedRecord>> | undefined
  private writing: Promise<void> | undefined

  constructor(
    private readonly api: ConsulApi,
    /** Path of the key in the HTTP API. */
    private readonly path: string,
    private readonly onProblem: (message: string) => void,
  ) {}

  /** By the names of the tasks; nothing where nobody has led yet. */
  async load(): Promise<Readonly<Record<string, AppliedRecord>>> {
    try {
      const { text } = await this.api.call({
        method: 'GET',
        path: `${this.path}?raw`,
        timeoutMs: READ_WITHIN_MS,
        allowMissing: true,
        signal: new AbortController().signal,
      })
      const value: unknown = text === '' ? {} : JSON.parse(text)
      return isPlain(value) ? (value as Readonly<Record<string, AppliedRecord>>) : {}
    } catch (error) {
      this.onProblem(`high availability: what was applied last is not known: ${(error as Error).message}`)
      return {}
    }
  }

  /** The newest of what is given while a write is under way goes next. */
  save(applied: Readonly<Record<string, AppliedRecord>>): void {
    this.wanted = { ...applied }
    this.writing ??= this.write().finally(() => (this.writing = undefined))
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    await this.writing
  }

  private async write(): Promise<void> {
    while (this.wanted !== undefined) {
      const { wanted } = this
      this.wanted = undefined
      await this.api
        .put(this.path, wanted)
        .catch((error: Error) => this.onProblem(`high availability: what was applied last is not written: ${error.message}`))
    }
  }
}
