// The CA's state in one file of mode 0600. Used by the control plane when it keeps the CA apart from its database, and by tests.
// Writes a temporary file beside it, syncs, renames, syncs the directory: a crash leaves the old state or the new one, whole.
// Invariant: no byte of a private key is ever in a file that others may read, and, with an encryption key, in no file at all.
import { chmod, type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CaError, reasonOf } from '../x509/certificate-error.js'
import { type CaState, type CaStore, decodeCaState, encodeCaState, isSealed, StateSeal } from './store.js'

const FILE_MODE = 0o600

export interface FileCaStoreOptions {
  readonly path: string
  /** Encrypts the state: the secret itself (cli reads it from the environment), or a file that holds it. */
  readonly encryptionKey?: string | { readonly file: string }
}

export class FileCaStore implements CaStore {
  private readonly path: string
  /** One fixed name: a file left over from a crash is replaced by the next save instead of staying for ever. */
  private readonly temporary: string
  private readonly encryptionKey: FileCaStoreOptions['encryptionKey']
  private seal: StateSeal | undefined

  constructor(options: FileCaStoreOptions) {
    this.path = options.path
    this.temporary = join(dirname(options.path), `.${basename(options.path)}.tmp`)
    this.encryptionKey = options.encryptionKey
  }

  async load(): Promise<CaState | undefined> {
    const seal = await this.stateSeal()
    await rm(this.temporary, { force: true })
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new CaError('state-corrupt', `the CA state ${this.path} can't be read: ${reasonOf(error)}`, error)
    }
    // Somebody may have copied it with the umask of a shell.
    await chmod(this.path, FILE_MODE)
    const state = decodeCaState(text, seal)
    if (seal !== undefined && !isSealed(text)) await this.save(state)
    return state
  }

  async save(state: CaState): Promise<void> {
    const text = encodeCaState(state, await this.stateSeal())
    await rm(this.temporary, { force: true })
    // 'wx': never through a link that somebody put there.
    const file = await open(this.temporary, 'wx', FILE_MODE)
    try {
      await file.chmod(FILE_MODE)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(this.temporary, this.path)
    await syncDirectory(dirname(this.path))
  }

  private async stateSeal(): Promise<StateSeal | undefined> {
    if (this.seal !== undefined || this.encryptionKey === undefined) return this.seal
    let secret: string
    try {
      secret = typeof this.encryptionKey === 'string' ? this.encryptionKey : await readFile(this.encryptionKey.file, 'utf8')
    } catch (error) {
      throw new CaError('encryption-key', `the encryption key of the CA state can't be read: ${reasonOf(error)}`, error)
    }
    this.seal = new StateSeal(secret)
    return this.seal
  }
}

async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined
  try {
    directory = await open(path, 'r')
    await directory.sync()
  } catch (error) {
    // Some file systems can't sync a directory; the rename itself is still atomic.
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'ENOTSUP' && code !== 'EPERM') throw error
  } finally {
    await directory?.close()
  }
}
