// The operator's way back in when every management token is lost, as in Consul: the refusal of a second bootstrap names an index, and a file
// `acl-bootstrap-reset` in the data directory that holds that index allows one more. Asked by acl-writes.ts.
// Invariant: who can write the data directory could take the state itself; nobody else gains anything by it.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

const FILE = 'acl-bootstrap-reset'

export class BootstrapReset {
  private readonly path: string

  constructor(dataDir: string) {
    this.path = join(dataDir, FILE)
  }

  /** Undefined: nobody asks for one. */
  async index(): Promise<number | undefined> {
    const text = await readFile(this.path, 'utf8').catch(() => '')
    return /^\s*\d{1,15}\s*$/.test(text) ? Number(text) : undefined
  }

  /** The index has passed, so that the file could allow nothing more even if it stayed. */
  async used(): Promise<void> {
    await rm(this.path, { force: true }).catch(() => {})
  }
}
