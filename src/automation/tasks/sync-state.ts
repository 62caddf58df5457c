// What a process of `outrigger sync` knows after a restart: tasks that the API made or deleted, which are disabled, what was applied last, and
// whose programs have still to be told. Kept by task-table.ts and the template driver.
// Invariant: the file is replaced in one step and is on the disk then; a file that is not ours to read is an error, not an empty state.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isPlain, type Plain } from '../config/config-fields.js'
import { flushFolder } from '../drivers/file-swap.js'

export interface SyncState {
  /** By the name of the task: what the API has set. */
  readonly enabled: Record<string, boolean>
  /** Tasks as the API was given them. */
  readonly created: Record<string, Plain>
  readonly applied: Record<string, AppliedRecord>
  /** Files were swapped in, and the program that reads them was not told for certain. */
  readonly owed: Record<string, boolean>
}

/** What a task has applied last. */
export interface AppliedRecord {
  /** Fingerprint of its inputs. */
  readonly inputs: string
  /** Under which it was told to others. */
  readonly id: string
}

const OWNER_ONLY = 0o600

export class StateFile {
  readonly state: SyncState

  /** Throws with one line. */
  constructor(private readonly path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const { enabled, created, applied, owed } = readState(path)
    this.state = { enabled: named(enabled), created: named(created), applied: named(applied), owed: named(owed) }
  }

  save(): void {
    const half = `${this.path}.${process.pid}.new`
    const file = openSync(half, 'w', OWNER_ONLY)
    try {
      writeFileSync(file, `${JSON.stringify(this.state, null, 2)}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(half, this.path)
    flushFolder(this.path)
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
  const parts = isPlain(state) ? ['enabled', 'created', 'applied', 'owed'].map(name => state[name]) : []
  if (!isPlain(state) || parts.some(part => part !== undefined && !isPlain(part)))
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
