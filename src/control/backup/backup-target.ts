// Where backups lie, as `Backups`, the drill and the command line ask for it. Implemented by `FolderTarget` and `S3Target`.
// Invariant: what `write` has resolved for is there whole and durable; until then nothing is to be seen under its name.
import type { BackupName } from './backup-name.js'

export interface StoredBackup extends BackupName {
  readonly bytes: number
}

export interface BackupTarget {
  /** For people; holds no secret. */
  readonly description: string
  /** Newest first, of every mesh that keeps its backups there. */
  list(): Promise<StoredBackup[]>
  /** Rejects with one line for one that is not there. */
  read(name: string): Promise<Buffer>
  write(name: string, file: Buffer): Promise<void>
  /** Of one that is not there: nothing. */
  remove(name: string): Promise<void>
  /** Ends what is under way and would take long. */
  close(): void
}

/** A state of 512 MiB (state-file.ts) never takes more, compressed or not. */
export const MAX_BACKUP_BYTES = 513 * 1024 * 1024

export const newestFirst = (backups: StoredBackup[]): StoredBackup[] => backups.sort((a, b) => b.atMs - a.atMs || b.index - a.index)
