// Ports for tests that must know them before they are bound. Each test process holds a range of its own, marked by a folder with its pid
// in the temporary directory, so that files running side by side (and other checkouts) never choose the same one between the check and
// the bind. Below the ephemeral range: no outgoing connection takes one meanwhile.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const FIRST = 10_400
const SIZE = 100
const RANGES = 219
/** What always listens at the same ports: a pod's sidecar, sidecars whose ports the catalog chooses, the examples. */
const FIXED: readonly (readonly [from: number, below: number])[] = [
  [20_000, 20_200],
  [21_000, 21_300],
  [28_000, 29_000],
  [29_000, 29_100],
]

const held: string[] = []
let next = 0
let end = 0

/** A folder without its pid yet is one that is being claimed. */
function isTaken(folder: string): boolean {
  const pid = Number(existsSync(join(folder, 'pid')) ? readFileSync(join(folder, 'pid'), 'utf8') : '')
  if (pid === 0) return true
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function claim(folder: string): boolean {
  try {
    mkdirSync(folder)
  } catch {
    return false
  }
  writeFileSync(join(folder, 'pid'), String(process.pid))
  held.push(folder)
  return true
}

function takeRange(): void {
  const root = join(tmpdir(), 'outrigger-test-ports')
  mkdirSync(root, { recursive: true })
  for (let i = 0; i < RANGES; i++) {
    const range = (process.pid + i) % RANGES
    const first = FIRST + range * SIZE
    if (FIXED.some(([from, below]) => first < below && first + SIZE > from)) continue
    const folder = join(root, String(range))
    if (!claim(folder)) {
      if (isTaken(folder)) continue
      // Left by a process that was killed. Of two that take it over at once only one moves it away.
      const old = `${folder}.${process.pid}`
      try {
        renameSync(folder, old)
      } catch {
        continue
      }
      rmSync(old, { recursive: true, force: true })
      if (!claim(folder)) continue
    }
    next = first
    end = next + SIZE
    return
  }
  throw new Error(`all ${RANGES} port ranges in ${root} are taken`)
}

process.once('exit', () => {
  for (const folder of held) rmSync(folder, { recursive: true, force: true })
})

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise(resolve => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

export async function freePort(): Promise<number> {
  return freeSpan(1)
}

/** The first of `size` (at most 100) free ports in a row. */
export async function freeSpan(size: number): Promise<number> {
  for (;;) {
    if (end - next < size) takeRange()
    const first = next
    next += size
    const free = await Promise.all(Array.from({ length: size }, (_, i) => isFree(first + i)))
    if (free.every(Boolean)) return first
  }
}
