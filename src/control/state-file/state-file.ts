// The whole state in one file and back (`/v1/snapshot`): gzipped lines of JSON, the first of which has a count and a checksum of the rest.
// Called by http-api/snapshot.ts, by backups, and by the command line that looks into a file; reads and writes the store, whose subscribers
// follow as with any other commit.
// Invariants: a file is read whole and judged before anything is written; it is restored in one transaction, all of it or nothing.
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { type Collection, put, remove, type Store, type StoreWrite } from '../store/store.js'

const FORMAT = 'outrigger-state'
const VERSION = 1
const MAX_STATE_BYTES = 1 << 29

/**
 * `state`: in the file, and replaced by it. `identity`: in the file, but a running server keeps its own CA: another one is refused.
 * `own`: of this server alone (its index, its node's id, certificates that are issued anew).
 */
const ROLES: Readonly<Record<Collection, 'state' | 'identity' | 'own'>> = {
  meta: 'own',
  node: 'state',
  service: 'state',
  check: 'state',
  'virtual-ip': 'state',
  'config-entry': 'state',
  'mesh-file': 'state',
  ca: 'identity',
  leaf: 'own',
  'acl-token': 'state',
  'acl-policy': 'state',
  'acl-role': 'state',
  'acl-auth-method': 'state',
  'acl-binding-rule': 'state',
  kv: 'state',
  session: 'state',
  'prepared-query': 'state',
  'agent-lease': 'state',
  peering: 'state',
  'peering-import': 'state',
  federation: 'state',
  rollout: 'state',
  'rollout-status': 'state',
  'gateway-certificate': 'own',
}
const COLLECTIONS = (Object.keys(ROLES) as Collection[]).filter(collection => ROLES[collection] !== 'own')

/** One record as a state file has it. */
export type StateLine = readonly [collection: Collection, key: string, value: unknown]

/** Records by what they are of. */
export type StateCounts = Readonly<Record<string, number>>

export interface SavedState {
  readonly file: Buffer
  readonly index: number
  readonly counts: StateCounts
}

/** Lines made into text at once; then other work has its turn. */
const LINES_PER_TURN = 1_000

export async function saveState(store: Store): Promise<SavedState> {
  const { records, index } = await store.exclusive(async () => {
    // All asked for before the first is waited for: a store answers from one moment, whoever writes meanwhile.
    const lists = COLLECTIONS.map(collection => store.list(collection))
    const at = store.index
    return { records: await Promise.all(lists), index: at }
  })
  const lines: string[] = []
  const counts: Record<string, number> = {}
  for (const [i, collection] of COLLECTIONS.entries())
    for (const { key, value } of records[i]!) {
      counts[collection] = (counts[collection] ?? 0) + 1
      lines.push(`${JSON.stringify([collection, key, value] satisfies StateLine)}\n`)
      if (lines.length % LINES_PER_TURN === 0) await setImmediate()
    }
  const body = lines.join('')
  const head = JSON.stringify({ format: FORMAT, version: VERSION, index, records: lines.length, sha256: checksum(body) })
  return { file: await promisify(gzip)(`${head}\n${body}`), index, counts }
}

/** Rejects with one line that says what is wrong with the file; nothing has changed then. */
export async function restoreState(store: Store, file: Buffer): Promise<void> {
  const { lines } = await readState(file)
  await store.exclusive(async turn => {
    const wanted = new Map(lines.map(([collection, key, value]) => [JSON.stringify([collection, key]), { collection, key, value }]))
    const writes: StoreWrite[] = []
    for (const collection of COLLECTIONS)
      for (const { key, value } of await store.list(collection)) {
        const id = JSON.stringify([collection, key])
        const record = wanted.get(id)
        // What is the same stays as it is, with its indexes.
        if (record !== undefined && JSON.stringify(record.value) === JSON.stringify(value)) wanted.delete(id)
        else if (ROLES[collection] === 'identity') throw otherCa()
        else if (record === undefined) writes.push(remove(collection, key))
      }
    for (const { collection, key, value } of wanted.values()) {
      if (ROLES[collection] === 'identity') throw otherCa()
      writes.push(put(collection, key, value))
    }
    if (writes.length > 0) await turn.transaction(writes)
  })
}

function otherCa(): Error {
  return new Error('the file is of a mesh with another CA: a running server keeps its own, and its sidecars would trust neither')
}

export interface StateSummary {
  readonly Version: number
  readonly Index: number
  readonly Size: number
  readonly Counts: StateCounts
}

/** What a file holds. Rejects like `restoreState` where it is damaged. */
export async function inspectState(file: Buffer): Promise<StateSummary> {
  const { index, lines } = await readState(file)
  const counts: Record<string, number> = {}
  for (const [collection] of lines) counts[collection] = (counts[collection] ?? 0) + 1
  return { Version: VERSION, Index: index, Size: file.length, Counts: counts }
}

/** Rejects with one line that says what is wrong with the file. */
export async function readState(file: Buffer): Promise<{ readonly index: number; readonly lines: StateLine[] }> {
  let text: string
  try {
    text = (await promisify(gunzip)(file, { maxOutputLength: MAX_STATE_BYTES })).toString('utf8')
  } catch (error) {
    throw new Error(`not a state file: ${(error as Error).message}`)
  }
  const headEnd = text.indexOf('\n')
  const head = parse(text.slice(0, Math.max(headEnd, 0))) as
    | Partial<Record<'format' | 'version' | 'index' | 'records' | 'sha256', unknown>>
    | undefined
  if (head?.format !== FORMAT) throw new Error('not a state file: no head')
  if (head.version !== VERSION) throw new Error(`state file of version ${String(head.version)}; this server reads ${VERSION}`)
  const body = text.slice(headEnd + 1)
  if (checksum(body) !== head.sha256) throw new Error('state file is damaged: its checksum does not fit')
  const lines = body
    .split('\n')
    .slice(0, -1)
    .map(line => parse(line) as StateLine)
  if (lines.length !== head.records) throw new Error('state file is damaged: records are missing')
  for (const line of lines)
    if (!Array.isArray(line) || line.length !== 3 || !Object.hasOwn(ROLES, String(line[0])) || ROLES[line[0]] === 'own')
      throw new Error('state file has a record that this server does not know')
  return { index: Number(head.index ?? 0), lines }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
