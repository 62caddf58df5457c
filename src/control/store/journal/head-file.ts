// `head`: how far the acknowledged writes go, in a file apart from the journal that holds them. Written after each batch is durable and before
// it is acknowledged, so it never promises more than there is; where the journal has less, writes are gone and the start says so.
// Two slots written in turn: one that was cut off in the middle leaves the other. Used by `StateDirectory` and `JournalStore`.
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { LineWriter, readLines } from './checked-lines.js'

const SLOT_BYTES = 256

export interface Head {
  /** Of the data directory's life: another one after a restore. */
  readonly generation: string
  /** Index of the last acknowledged write. */
  readonly index: number
  /** There has been a certificate authority: its loss would change every identity. */
  readonly ca: boolean
}

export class HeadFile {
  private slot = 0

  private constructor(private readonly file: FileHandle) {}

  static async open(path: string): Promise<HeadFile> {
    return new HeadFile(await open(path, 'r+').catch(() => open(path, 'w+', 0o600)))
  }

  async write(head: Head): Promise<void> {
    const line = new LineWriter().line(head)
    const slot = Buffer.alloc(SLOT_BYTES, ' ')
    slot.write(line)
    slot.write('\n', SLOT_BYTES - 1)
    await this.file.write(slot, 0, SLOT_BYTES, this.slot * SLOT_BYTES)
    this.slot = 1 - this.slot
  }

  /** Not for every write: a head that lags behind after a power failure still promises nothing that is not there. */
  sync(): Promise<void> {
    return this.file.datasync()
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

/** The newest good slot; undefined: there is none. */
export async function readHead(path: string): Promise<Head | undefined> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0))
  const heads: Head[] = []
  for (let start = 0; start < bytes.length; start += SLOT_BYTES) {
    const slot = bytes.subarray(start, start + SLOT_BYTES)
    const head = readLines(slot.subarray(0, slot.indexOf(0x0a) + 1)).values[0] as Head | undefined
    if (head !== undefined) heads.push(head)
  }
  return heads.sort((a, b) => b.index - a.index)[0]
}
