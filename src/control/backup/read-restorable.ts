// What `--restore` takes besides a data directory's own snapshots: a state file (`outrigger snapshot save`), and a backup. Given to `JournalStore`
// by `ControlPlane`. Invariant: a file is read whole and judged before it is a state.
import { readFile } from 'node:fs/promises'
import { readState } from '../state-file/state-file.js'
import { RecordTable } from '../store/journal/record-table.js'
import { readSnapshot } from '../store/journal/state-files.js'
import { isBackup, openBackup } from './backup-file.js'
import type { BackupKeys } from './backup-keys.js'

const GZIP_MAGIC = 0x1f8b

/** Rejects, or says in `problem`, what is wrong with the file. */
export async function readRestorable(
  path: string,
  keys: (() => Promise<BackupKeys>) | undefined,
): Promise<{ readonly records: RecordTable } | { readonly problem: string }> {
  const file = await readFile(path)
  if (isBackup(file)) return recordsOf((await openBackup(file, await keys?.())).state)
  return file.length > 1 && file.readUInt16BE(0) === GZIP_MAGIC ? recordsOf(file) : readSnapshot(path)
}

async function recordsOf(state: Buffer): Promise<{ readonly records: RecordTable }> {
  const { index, lines } = await readState(state)
  const records = new RecordTable()
  records.index = index
  for (const [collection, key, value] of lines) records.restore([collection, key, value, index, index])
  return { records }
}
