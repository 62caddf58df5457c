// What a process of `outrigger sync` knows after a restart: tasks that the API made or deleted, which are disabled, what was applied last.
// Kept by task-table.ts. Invariant: the file is replaced in one step; a file that is not ours to read is an error, not an empty state.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isPlain, type Plain } from '../config/config-fields.js'

export interface SyncState {
  /** By the name of the task: what the API has set. */
  readonly enabled: Record<string, boolean>
  /** Tasks as the API was given them. */
  readonly created: Record<string, Plain>
  /** Fingerprint of what was applied last. */
  readonly applied: Record<string, string>
}

const OWNER_ONLY = 0o600

export class StateFile {
  readonly state: SyncState

  /** Throws with one line. */
  constructor(private readonly path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const { enabled, created, applied } = readState(path)
    this.state = { enabled: named(enabled), created: named(created), applied: named(applied) }
  }

  save(): void {
    const half = `${this.path}.${process.pid}.new`
    writeFileSync(half, `${JSON.stringify(this.state, null, 2)}\n`, { mode: OWNER_ONLY })
    renameSync(half, this.path)
  }
}

function readState(path: string): Partial<SyncState> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  const state = parsed(text)
  if (!isPlain(state) || [state['enabled'], state['created'], state['applied']].some(part => part !== undefined && !isPlain(part)))
    throw new Error(`${path}: is no state of outrigger sync: remove it to begin anew`)
  return state as Partial<SyncState>
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** By the names of tasks, which may be those of an object's own methods. */
function named<V>(entries: Record<string, V> = {}): Record<string, V> {
  return Object.assign(Object.create(null) as Record<string, V>, entries)
}
