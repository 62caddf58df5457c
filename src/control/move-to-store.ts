// `--restore` beside `--store etcd://…`: a mesh in etcd begins with the state of a data directory, a state file or a backup, its certificate
// authority and its index included. Called by open-store.ts at the start of a control plane, before anything else reads the state.
// Invariants: the state of before is read whole, and its directory is nobody else's meanwhile; it is written in one transaction, where no mesh is
// yet; a second start with the same flag changes nothing.
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { keysOf } from './backup/open-backups.js'
import { readRestorable } from './backup/read-restorable.js'
import type { EtcdStore } from './store/etcd/etcd-store.js'
import { JournalStore } from './store/journal/journal-store.js'
import type { RecordTable } from './store/journal/record-table.js'
import { holdsState } from './store/journal/state-directory.js'
import { put } from './store/store.js'

/** What a store begins with, and what it is known by. */
export interface MovedState {
  readonly records: RecordTable
  readonly origin: string
}

const NO_STATE = 'the folder holds no state'
/** Record of `meta`: where the state is from. */
const ORIGIN = 'restored-from'

/** Rejects with one line that says what is wrong with what `path` names. */
export async function readMoved(path: string, keys: ReturnType<typeof keysOf>): Promise<MovedState> {
  if ((await stat(path)).isDirectory()) {
    if (!(await holdsState(path))) throw new Error(NO_STATE)
    const store = await JournalStore.open(path)
    try {
      if (store.index === 0) throw new Error(NO_STATE)
      return { records: store.contents, origin: `${store.generation} ${store.index}` }
    } finally {
      await store.close()
    }
  }
  const read = await readRestorable(path, keys)
  if ('problem' in read) throw new Error(read.problem)
  return {
    records: read.records,
    origin: createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  }
}

/** False: it was there already. Rejects where there is another mesh. */
export function moveInto(store: EtcdStore, { records, origin }: MovedState): Promise<boolean> {
  return store.exclusive(async turn => {
    const before = await store.get('meta', ORIGIN)
    if (before?.value === origin) return false
    if (before !== undefined || (await store.list('ca')).length > 0)
      throw new Error(
        `there is a mesh already, which another state can't take the place of: choose another --store-prefix, or leave --restore out and use "outrigger snapshot restore"`,
      )
    const writes = records.rows().map(([collection, key, { text }]) => put(collection, key, JSON.parse(text)))
    await turn.transaction([...writes, put('meta', ORIGIN, origin)])
    return true
  })
}
