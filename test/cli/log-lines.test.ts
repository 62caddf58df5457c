import { expect, it } from 'vitest'
import { levelOf } from '../../src/cli/commands/process-life.js'
import { LOG_LEVELS } from '../../src/cli/log-levels.js'
import { readableLine } from '../../src/cli/log-lines.js'

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
