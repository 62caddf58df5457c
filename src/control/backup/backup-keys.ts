// The keys that backups are encrypted with: what a key file says. Read anew for each backup and each restore, so that a new key needs no restart.
// Invariant: a key is 32 random bytes as base64, never a password; its id tells keys apart and tells nothing of the key.
import { createHash } from 'node:crypto'

const KEY_BYTES = 32
const ID_CHARS = 8

export interface BackupKey {
  readonly id: string
  readonly secret: Buffer
}

/** Encrypted with the first, opened by any: an old key stays in the file for as long as there are backups of it. */
export interface BackupKeys {
  readonly current: BackupKey
  readonly all: ReadonlyMap<string, BackupKey>
}

/** One key a line; empty lines and those with # are left out. Throws one line, which never quotes a key. */
export function parseBackupKeys(text: string, where: string): BackupKeys {
  const keys: BackupKey[] = []
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const secret = Buffer.from(line, 'base64')
    if (secret.length !== KEY_BYTES || secret.toString('base64') !== line)
      throw new Error(`${where}: line ${i + 1} is no key: ${KEY_BYTES} bytes as base64 are needed (outrigger keygen makes one)`)
    keys.push({ id: createHash('sha256').update('outrigger-backup-key\0').update(secret).digest('hex').slice(0, ID_CHARS), secret })
  }
  const [current] = keys
  if (current === undefined) throw new Error(`${where}: holds no key`)
  return { current, all: new Map(keys.map(key => [key.id, key])) }
}
