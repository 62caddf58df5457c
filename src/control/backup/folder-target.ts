// Backups in a folder of this machine or of one that it has mounted. A file is written under a name of its own, flushed, and renamed, and the
// folder is flushed too: kill -9 or a power failure leave it whole or not there. Readable by its owner alone, since it may hold secrets.
import { type FileHandle, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeFolder } from '../store/journal/make-folder.js'
import { syncDirectory } from '../store/journal/state-files.js'
import { parseBackupName } from './backup-name.js'
import { type BackupTarget, MAX_BACKUP_BYTES, newestFirst, type StoredBackup } from './backup-target.js'

const OWNER_ONLY = 0o600
const PARTIAL = '.partial'
/** What a process that was killed left behind; one that is being written is younger. */
const STALE_MS = 3_600_000

export class FolderTarget implements BackupTarget {
  readonly description: string

  constructor(folder: string) {
    this.description = resolve(folder)
  }

  async list(): Promise<StoredBackup[]> {
    const found: StoredBackup[] = []
    for (const name of await this.names()) {
      const parsed = parseBackupName(name)
      // Another process may remove it meanwhile.
      const size = parsed && (await stat(this.path(name)).catch(() => undefined))?.size
      if (parsed !== undefined && size !== undefined) found.push({ ...parsed, bytes: size })
    }
    return newestFirst(found)
  }

  async read(name: string): Promise<Buffer> {
    try {
      const { size } = await stat(this.path(name))
      if (size > MAX_BACKUP_BYTES) throw new Error(`${size} bytes are more than a backup has (${MAX_BACKUP_BYTES})`)
      return await readFile(this.path(name))
    } catch (error) {
      throw this.failure(name, error)
    }
  }

  async write(name: string, file: Buffer): Promise<void> {
    const partial = this.path(`.${name}${PARTIAL}`)
    try {
      await makeFolder(this.description)
      await this.clear()
      const handle = await open(partial, 'w', OWNER_ONLY)
      await writeDurably(handle, file).finally(() => handle.close())
      await rename(partial, this.path(name))
      await syncDirectory(this.description)
    } catch (error) {
      await rm(partial, { force: true }).catch(() => {})
      throw this.failure(name, error)
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { force: true }).catch(error => Promise.reject(this.failure(name, error)))
  }

  close(): void {
    // A file is written in moments.
  }

  private path(name: string): string {
    return join(this.description, name)
  }

  private async names(): Promise<string[]> {
    try {
      return await readdir(this.description)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw this.failure('', error)
    }
  }

  private async clear(): Promise<void> {
    for (const name of await this.names()) {
      if (!name.startsWith('.') || !name.endsWith(PARTIAL) || parseBackupName(name.slice(1, -PARTIAL.length)) === undefined) continue
      const written = await stat(this.path(name)).catch(() => undefined)
      if (written !== undefined && Date.now() - written.mtimeMs > STALE_MS) await rm(this.path(name), { force: true })
    }
  }

  private failure(name: string, error: unknown): Error {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT'
        ? 'no such file'
        : code === 'EACCES'
          ? 'permission denied'
          : code === 'ENOSPC'
            ? 'no space is left on the device'
            : message
    return new Error(`${name === '' ? this.description : this.path(name)}: ${reason}`)
  }
}

async function writeDurably(handle: FileHandle, file: Buffer): Promise<void> {
  await handle.chmod(OWNER_ONLY)
  await handle.writeFile(file)
  await handle.sync()
}
