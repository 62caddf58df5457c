// A backup as one file: a state file (state-file/) behind a head that says what it holds, encrypted where there is a key.
//
//   outrigger-backup 1 <sha256 of the next line>\n
//   {"createdAt": …, "index": …, "counts": …, "sha256": …, "encryption": {…}}\n
//   the state file, or its sealed chunks: [ciphertext of 64 KiB][tag of 16 bytes] … the last one marked as such
//
// Encryption is AES-256-GCM with a key of the file's own (HKDF of the operator's key and a random salt), so that the nonces may simply count;
// both lines of the head are authenticated with every chunk, and the mark of the last one shows where a file was cut off.
// Called by `Backups`, the drill and the command line. Invariant: `openBackup` hands out a state only where every byte is as it was written.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { StateCounts } from '../state-file/state-file.js'
import type { BackupKey, BackupKeys } from './backup-keys.js'

const MAGIC = 'outrigger-backup'
const VERSION = 1
const CIPHER = 'aes-256-gcm'
const CHUNK_BYTES = 64 * 1024
const TAG_BYTES = 16
const NONCE_BYTES = 12
const SALT_BYTES = 32
const MAX_HEAD_BYTES = 16 * 1024
/** Chunks sealed or opened at once; then other work has its turn. */
const CHUNKS_PER_TURN = 32

export interface BackupHead {
  readonly createdAt: string
  readonly datacenter: string
  readonly trustDomain: string
  /** Of the last write that is in it. */
  readonly index: number
  readonly counts: StateCounts
  /** Of the state file. */
  readonly bytes: number
  readonly sha256: string
  readonly encryption?: { readonly cipher: string; readonly keyId: string; readonly salt: string; readonly chunkBytes: number }
}

/** What is said of a state; the rest of the head follows from it. */
export type BackupFacts = Pick<BackupHead, 'createdAt' | 'datacenter' | 'trustDomain' | 'index' | 'counts'>

export async function makeBackup(facts: BackupFacts, state: Buffer, key: BackupKey | undefined): Promise<Buffer> {
  const salt = randomBytes(SALT_BYTES)
  const head: BackupHead = {
    ...facts,
    bytes: state.length,
    sha256: sha256(state),
    ...(key && { encryption: { cipher: CIPHER, keyId: key.id, salt: salt.toString('base64'), chunkBytes: CHUNK_BYTES } }),
  }
  const json = JSON.stringify(head)
  const lines = Buffer.from(`${MAGIC} ${VERSION} ${sha256(json)}\n${json}\n`)
  if (key === undefined) return Buffer.concat([lines, state])
  const fileKey = fileKeyOf(key, salt)
  const chunks = chunkCount(state.length, CHUNK_BYTES)
  // Into its place at once: a large state is in memory as itself and as the file, and not a third time in parts.
  const file = Buffer.allocUnsafe(lines.length + state.length + chunks * TAG_BYTES)
  let at = lines.copy(file)
  for (let i = 0; i < chunks; i++) {
    const cipher = createCipheriv(CIPHER, fileKey, nonceOf(i, i === chunks - 1)).setAAD(lines)
    at += cipher.update(state.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES)).copy(file, at)
    at += cipher.final().copy(file, at)
    at += cipher.getAuthTag().copy(file, at)
    if (i % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await setImmediate()
  }
  return file
}

export const isBackup = (file: Buffer): boolean => file.toString('latin1', 0, MAGIC.length + 1) === `${MAGIC} `

/** Rejects with one line that says what is wrong with the file. */
export async function openBackup(
  file: Buffer,
  keys: BackupKeys | undefined,
): Promise<{ readonly head: BackupHead; readonly state: Buffer }> {
  const { head, lines, body } = readHead(file)
  const { encryption } = head
  const length = encryption === undefined ? head.bytes : head.bytes + chunkCount(head.bytes, encryption.chunkBytes) * TAG_BYTES
  if (body.length < length) throw new Error(`it is cut off: ${lines.length + body.length} of ${lines.length + length} bytes are there`)
  if (body.length > length) throw new Error(`${body.length - length} bytes follow its end`)
  const state = encryption === undefined ? body : await decrypt(head.bytes, encryption, lines, body, keys)
  if (sha256(state) !== head.sha256) throw new Error('it is damaged: its checksum does not fit')
  return { head, state }
}

function readHead(file: Buffer): { readonly head: BackupHead; readonly lines: Buffer; readonly body: Buffer } {
  if (!isBackup(file)) throw new Error('it is no backup of Outrigger')
  const firstEnd = file.indexOf(0x0a)
  const headEnd = firstEnd < 0 ? -1 : file.indexOf(0x0a, firstEnd + 1)
  const [, version, checksum] = file.toString('latin1', 0, Math.max(firstEnd, 0)).split(' ')
  if (firstEnd >= 0 && /^\d+$/.test(version ?? '') && Number(version) > VERSION)
    throw new Error(`it was written by a newer version (format ${version}, this one reads ${VERSION})`)
  if (headEnd < 0 && file.length < MAX_HEAD_BYTES) throw new Error('it is cut off in its head')
  const json = file.subarray(firstEnd + 1, headEnd)
  if (headEnd < 0 || headEnd > MAX_HEAD_BYTES || version !== String(VERSION) || sha256(json) !== checksum)
    throw new Error('it is damaged: the checksum of its head does not fit')
  const head = JSON.parse(json.toString('utf8')) as BackupHead
  if (!isSize(head.bytes) || !isSize(head.encryption?.chunkBytes ?? CHUNK_BYTES)) throw new Error('its head makes no sense')
  return { head, lines: file.subarray(0, headEnd + 1), body: file.subarray(headEnd + 1) }
}

const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0

async function decrypt(
  bytes: number,
  { cipher: name, keyId, salt, chunkBytes }: NonNullable<BackupHead['encryption']>,
  lines: Buffer,
  body: Buffer,
  keys: BackupKeys | undefined,
): Promise<Buffer> {
  if (name !== CIPHER) throw new Error(`it is encrypted with ${name}, which this version does not know`)
  const key = keys?.all.get(keyId)
  if (key === undefined) {
    const given = keys === undefined ? 'no key was given' : `the key file has ${[...keys.all.keys()].join(', ')}`
    throw new Error(`it is encrypted with key ${keyId}, and ${given}`)
  }
  const fileKey = fileKeyOf(key, Buffer.from(salt, 'base64'))
  const chunks = chunkCount(bytes, chunkBytes)
  const state = Buffer.allocUnsafe(bytes)
  let opened = 0
  for (let i = 0, at = 0; i < chunks; i++) {
    const tagAt = Math.min(at + chunkBytes, body.length - TAG_BYTES)
    const decipher = createDecipheriv(CIPHER, fileKey, nonceOf(i, i === chunks - 1)).setAAD(lines)
    decipher.setAuthTag(body.subarray(tagAt, tagAt + TAG_BYTES))
    try {
      opened += decipher.update(body.subarray(at, tagAt)).copy(state, opened)
      opened += decipher.final().copy(state, opened)
    } catch {
      throw new Error(`it is damaged: byte ${lines.length + at} and what follows do not open with key ${keyId}`)
    }
    at = tagAt + TAG_BYTES
    if (i % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await setImmediate()
  }
  return state
}

const chunkCount = (bytes: number, chunkBytes: number): number => Math.max(1, Math.ceil(bytes / chunkBytes))

function fileKeyOf({ secret }: BackupKey, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, `${MAGIC} ${VERSION}`, 32))
}

function nonceOf(chunk: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32BE(chunk, NONCE_BYTES - 5)
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0
  return nonce
}

function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex')
}
