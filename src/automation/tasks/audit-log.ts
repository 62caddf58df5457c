// Who did what, why, from which inputs: a line of JSON for every run of a task and every change of a task by the API. Written by task-table.ts.
// Invariant: a line is on the disk, whole, before the next run of its task; the file is bounded (one older one is kept).
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

export interface AuditRecord {
  readonly task: string
  readonly action: 'run' | 'enable' | 'disable' | 'create' | 'delete'
  readonly [field: string]: unknown
}

const MAX_BYTES = 16 * 1024 * 1024
const OWNER_ONLY = 0o600

export class AuditLog {
  private bytes: number

  constructor(
    private readonly path: string,
    private readonly actor: string,
    private readonly wallNow: () => number,
  ) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  }

  write(record: AuditRecord): void {
    const line = `${JSON.stringify({ time: new Date(this.wallNow()).toISOString(), actor: this.actor, ...record })}\n`
    if (this.bytes + line.length > MAX_BYTES) {
      renameSync(this.path, `${this.path}.1`)
      this.bytes = 0
    }
    appendFileSync(this.path, line, { mode: OWNER_ONLY })
    this.bytes += Buffer.byteLength(line)
  }
}
