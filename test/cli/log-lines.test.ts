import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { levelOf } from '../../src/cli/commands/process-life.js'
import { LOG_LEVELS } from '../../src/cli/log-levels.js'
import { journalLine, linesFor, readableLine } from '../../src/cli/log-lines.js'

it('a record on a terminal is its time, level, message and fields', () => {
  const record = { level: 40, time: '2026-01-02T03:04:05.678Z', name: 'outrigger-proxy', cluster: 'a', n: 2, none: undefined, msg: 'said' }
  expect(readableLine(record)).toBe('2026-01-02T03:04:05.678Z [WARN]  said: cluster=a n=2\n')
  expect(readableLine({ level: 30, time: 't', msg: 'said' })).toBe('t [INFO]  said\n')
})

it("the control plane's levels have Envoy's names too", () => {
  expect(LOG_LEVELS.map(level => levelOf(level))).toEqual(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
  expect(() => levelOf('loud')).toThrow(
    '--log-level "loud": must be one of trace, debug, info, warning, error, critical, off, warn, fatal, silent',
  )
})

it('a record in the journal has its level as the priority, no time, and one line', () => {
  expect(journalLine({ level: 50, time: 't', name: 'n', msg: 'two\nlines', cause: 'c' })).toBe('<3>two lines: cause=c\n')
  expect(journalLine({ level: 30, msg: 'said' })).toBe('<6>said\n')
})

it('stderr is the journal when systemd gave it, and no longer when it was sent elsewhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-journal-'))
  const fd = openSync(join(folder, 'stream'), 'w')
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    expect(linesFor(false, { JOURNAL_STREAM: `${dev}:${ino}` }, fd)).toBe(journalLine)
    expect(linesFor(false, { JOURNAL_STREAM: `${dev}:${ino + 1n}` }, fd)).toBe(null)
    expect(linesFor(false, {}, fd)).toBe(null)
    expect(linesFor(true, {}, fd)).toBe(readableLine)
  } finally {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  }
})
