import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import { AccessLogSink, LogSinks, MAX_QUEUED_BYTES } from '../../../src/l7/log/access-log-sink.js'
import { filesystemStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'

const filesystemCounts = () => filesystemStats(new StatsStore())

const folders: string[] = []
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'access-log-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true })
})

describe('files', () => {
  it('get lines in order as bytes, from one sink per path', async () => {
    const path = join(folder(), 'a.log')
    const counts = filesystemCounts()
    const sinks = new LogSinks(undefined, counts)
    const sink = sinks.open({ kind: 'file', path })
    expect(sinks.open({ kind: 'file', path })).toBe(sink)
    sink.write('one\n')
    sink.write('\xc3\xa9\n')
    await sinks.close()
    expect(readFileSync(path, 'utf8')).toBe('one\né\n')
    expect([counts.write_buffered.value, counts.write_failed.value]).toEqual([2, 0])
  })

  it('are opened anew by reopen, what was queued going to the old one', async () => {
    const dir = folder()
    const path = join(dir, 'a.log')
    const sinks = new LogSinks()
    const sink = sinks.open({ kind: 'file', path })
    sink.write('old\n')
    await new Promise<void>(resolve => {
      sink.flush()
      const poll = () => {
        try {
          if (readFileSync(path, 'utf8') !== '') {
            resolve()
            return
          }
        } catch {
          // not there yet
        }
        setImmediate(poll)
      }
      poll()
    })
    renameSync(path, join(dir, 'a.log.1'))
    sink.write('late\n')
    sinks.reopen()
    sink.write('new\n')
    await sinks.close()
    expect(readFileSync(join(dir, 'a.log.1'), 'utf8')).toBe('old\nlate\n')
    expect(readFileSync(path, 'utf8')).toBe('new\n')
  })

  it('that cannot be opened cost lines, not the process', async () => {
    const counts = filesystemCounts()
    const sinks = new LogSinks(undefined, counts)
    const sink = sinks.open({ kind: 'file', path: join(folder(), 'none', 'a.log') })
    sink.write('lost\n')
    await sinks.close()
    expect(counts.write_failed.value).toBeGreaterThan(0)
  })
})

describe('a path', () => {
  it('that lines cannot be written to is a problem of the config; a pipe without a reader is none', () => {
    const dir = folder()
    const sinks = new LogSinks()
    expect(sinks.problem({ kind: 'file', path: join(dir, 'none', 'a.log') })).toMatch(/unable to open file/)
    expect(sinks.problem({ kind: 'file', path: dir })).toMatch(/unable to open file/)
    expect(sinks.problem({ kind: 'file', path: join(dir, 'a.log') })).toBeNull()
    expect(sinks.problem({ kind: 'stdout' })).toBeNull()
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(dir, 'pipe')])
    expect(sinks.problem({ kind: 'file', path: join(dir, 'pipe') })).toBeNull()
  })
})

describe('a slow output', () => {
  it('bounds what waits and counts what is dropped', async () => {
    const pending: (() => void)[] = []
    let bytes = 0
    const counts = filesystemCounts()
    const output = {
      write(data: Buffer, done: () => void) {
        bytes += data.length
        pending.push(done)
      },
    }
    const sink = new AccessLogSink(() => output, undefined, counts)
    const line = `${'x'.repeat(1023)}\n`
    const fitting = MAX_QUEUED_BYTES / line.length
    for (let i = 0; i < fitting + 10; i++) sink.write(line)
    expect(counts.write_failed.value).toBe(10)
    expect(bytes).toBeLessThanOrEqual(MAX_QUEUED_BYTES)
    for (const done of pending.splice(0)) done()
    sink.write(line)
    expect(counts.write_failed.value).toBe(10)
    const closing = sink.close()
    for (const done of pending.splice(0)) done()
    await closing
    sink.write('after')
    expect(counts.write_failed.value).toBe(11)
  })
})

describe('the flush rule', () => {
  it('hands over the first line of a quiet time at once and gathers those after it', async () => {
    const batches: string[] = []
    const sink = new AccessLogSink(
      () => ({
        write(data, done) {
          batches.push(data.toString('latin1'))
          done()
        },
      }),
      { intervalMs: 3_600_000, minBytes: 20 },
    )
    sink.write('one\n')
    sink.write('two\n')
    while (batches.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    expect(batches).toEqual(['one\ntwo\n'])
    sink.write('three\n')
    sink.write('four\n')
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(batches).toHaveLength(1)
    // minBytes are waiting: no interval is waited for.
    sink.write('a longer line\n')
    expect(batches).toEqual(['one\ntwo\n', 'three\nfour\na longer line\n'])
    sink.write('last\n')
    await sink.close()
    expect(batches[2]).toBe('last\n')
  })
})

/** Files of that folder that this process has open. */
function openIn(dir: string): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.startsWith(dir) ? [path] : []
    } catch {
      return []
    }
  })
}

it.runIf(process.platform === 'linux')('files that no log uses any more are closed, with every line in them', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const dir = folder()
  const sinks = new LogSinks({ intervalMs: 1, minBytes: 1 })
  const kept = sinks.open({ kind: 'file', path: join(dir, 'kept.log') })
  kept.write('one\n')
  for (let i = 0; i < 20; i++) sinks.open({ kind: 'file', path: join(dir, `${i}.log`) }).write(`line ${i}\n`)
  const left = (): string[] => openIn(dir)
  for (let i = 0; i < 200 && !(left().length === 1 && readdirSync(dir).length === 21); i++) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  expect(left()).toEqual([join(dir, 'kept.log')])
  expect(
    readdirSync(dir)
      .map(name => readFileSync(join(dir, name), 'utf8'))
      .every(text => text.endsWith('\n')),
  ).toBe(true)
  kept.write('two\n')
  await sinks.close()
  expect(readFileSync(join(dir, 'kept.log'), 'utf8')).toBe('one\ntwo\n')
})
