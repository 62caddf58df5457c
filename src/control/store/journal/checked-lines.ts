// The form of every file of state: lines `<checksum> <JSON>`, each checksum over the line and the checksum before it. A flipped bit, a line
// that is gone, added or moved is noticed at that line; a file that merely ends too early is noticed by what it says about its end.
// Used by state-files.ts and head-file.ts. Plain text, so that an operator can read what is there.
import { createHash } from 'node:crypto'

const CHECKSUM_CHARS = 16

/** Links lines together; one a file. */
export class LineWriter {
  private last: string

  constructor(last = '') {
    this.last = last
  }

  get checksum(): string {
    return this.last
  }

  line(value: unknown): string {
    const json = JSON.stringify(value)
    this.last = checksumOf(this.last, json)
    return `${this.last} ${json}\n`
  }
}

export interface LineProblem {
  /** From 1. */
  readonly line: number
  /** Where the line begins. */
  readonly byte: number
  readonly reason: string
  /** Nothing follows the bad line: what a write that was cut off leaves behind. */
  readonly last: boolean
}

export interface ReadLines {
  /** What the good lines say, up to the first bad one. */
  readonly values: unknown[]
  /** Length of the good part. */
  readonly bytes: number
  readonly checksum: string
  readonly problem: LineProblem | undefined
}

/** Never throws. */
export function readLines(file: Buffer): ReadLines {
  const values: unknown[] = []
  let checksum = ''
  let start = 0
  const bad = (reason: string, end: number): ReadLines => ({
    values,
    bytes: start,
    checksum,
    problem: { line: values.length + 1, byte: start, reason, last: end >= file.length },
  })
  while (start < file.length) {
    const end = file.indexOf(0x0a, start)
    if (end < 0) return bad('is not complete', file.length)
    const text = file.toString('utf8', start, end)
    const json = text.slice(CHECKSUM_CHARS + 1)
    const expected = checksumOf(checksum, json)
    if (text.slice(0, CHECKSUM_CHARS) !== expected || text[CHECKSUM_CHARS] !== ' ')
      return bad(`does not match its checksum${about(json)}`, end + 1)
    values.push(JSON.parse(json))
    checksum = expected
    start = end + 1
  }
  return { values, bytes: start, checksum, problem: undefined }
}

function checksumOf(before: string, json: string): string {
  return createHash('sha256').update(before).update(json).digest('hex').slice(0, CHECKSUM_CHARS)
}

/** The first record that a bad line seems to name. */
function about(json: string): string {
  const named = /\["([a-z-]{1,40})","([\x20-\x21\x23-\x5b\x5d-\x7e]{1,200})"/.exec(json)
  return named === null ? '' : ` (${named[1]} "${named[2]}")`
}
