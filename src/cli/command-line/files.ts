// Files that commands write. Invariant: what is secret is readable by its owner alone from the first byte on; failures name the file.
import { chmodSync, writeFileSync } from 'node:fs'
import { CliError } from './command-io.js'

const OWNER_ONLY = 0o600
const FOR_ALL = 0o644

/** Of mode 0600, also where the file was there before. */
export function writeSecret(path: string, content: string | Buffer): void {
  attempt(path, () => {
    writeFileSync(path, content, { mode: OWNER_ONLY })
    chmodSync(path, OWNER_ONLY)
  })
}

export function writeNewFile(path: string, content: string | Buffer): void {
  attempt(path, () => writeFileSync(path, content, { mode: FOR_ALL }))
}

function attempt(path: string, write: () => void): void {
  try {
    write()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' ? 'no such folder' : code === 'EACCES' ? 'permission denied' : code === 'EISDIR' ? 'is a folder' : message
    throw new CliError(`${path}: ${reason}`)
  }
}
