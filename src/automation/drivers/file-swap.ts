// Replaces a file in one step: a candidate beside it (same file system), with its owner and mode before it has its name, flushed to the disk,
// then renamed; the old content is kept until the whole change stands. Called by template-driver.ts; the flush of a folder by sync-state.ts too.
// Invariant: a reader of the destination sees the old content or the new one, whole; after `restore` what was there before is there again.
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'

export interface FileOwnership {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}

const DEFAULT_MODE = 0o644
const MODE_BITS = 0o7777
const CANDIDATE_BYTES = 6
const CANDIDATE_END = '.candidate'

/** What is at a path: its bytes and who owns it; null where nothing is. Follows links, as those who read it do. */
export interface FileBefore {
  readonly content: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

export function readBefore(path: string): FileBefore | null {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  if (!stats.isFile()) throw new Error(`${path}: is no file`)
  return { content: readFileSync(path), mode: stats.mode & MODE_BITS, uid: stats.uid, gid: stats.gid }
}

/** Writes the candidate; its path. What of `wanted` is not given is as it was before. */
export function writeCandidate(
  path: string,
  content: Buffer,
  before: FileBefore | null,
  wanted: FileOwnership,
  createFolders: boolean,
): string {
  const folder = dirname(path)
  if (createFolders) mkdirSync(folder, { recursive: true })
  const candidate = join(folder, `${candidatePrefix(path)}${randomBytes(CANDIDATE_BYTES).toString('hex')}${CANDIDATE_END}`)
  const file = openSync(candidate, 'wx', 0o600)
  try {
    let at = 0
    while (at < content.length) at += writeSync(file, content, at)
    const own = fstatSync(file)
    const [uid, gid] = [wanted.uid ?? before?.uid ?? own.uid, wanted.gid ?? before?.gid ?? own.gid]
    if (uid !== own.uid || gid !== own.gid) fchownSync(file, uid, gid)
    fchmodSync(file, wanted.mode ?? before?.mode ?? DEFAULT_MODE)
    fsyncSync(file)
  } catch (error) {
    rmSync(candidate, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  return candidate
}

/** Of a process that ended before it had swapped them in. */
export function removeLeftCandidates(path: string): void {
  const folder = dirname(path)
  const start = candidatePrefix(path)
  const length = start.length + 2 * CANDIDATE_BYTES + CANDIDATE_END.length
  const names = existsSync(folder) ? readdirSync(folder) : []
  for (const name of names)
    if (name.length === length && name.startsWith(start) && name.endsWith(CANDIDATE_END)) rmSync(join(folder, name), { force: true })
}

/** A dot file: folders whose files a program includes by pattern (`*.conf`) do not show it. */
const candidatePrefix = (path: string): string => `.${basename(path)}.`

/** Where a path leads: a link stays, and what it leads to is replaced. */
export function linkTarget(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** From here on the candidate is the file. */
export function swapIn(candidate: string, path: string): void {
  renameSync(candidate, path)
  flushFolder(path)
}

/** As it was before, whatever it was. */
export function restore(path: string, before: FileBefore | null): void {
  if (before === null) rmSync(path, { force: true })
  else swapIn(writeCandidate(path, before.content, null, before, false), path)
}

/** A rename is on the disk when its folder is. */
export function flushFolder(path: string): void {
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
