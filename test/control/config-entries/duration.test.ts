import { describe, expect, test } from 'vitest'
import { durationFromMs, durationMs, formatDuration, parseDuration } from '../../../src/control/config-entries/duration.js'

describe('durations', () => {
  test.each([
    ['5s', 5e9, '5s'],
    ['1m30s', 90e9, '1m30s'],
    ['60s', 60e9, '1m0s'],
    ['1h', 3600e9, '1h0m0s'],
    ['250ms', 250e6, '250ms'],
    ['1.5s', 1.5e9, '1.5s'],
    ['1.5ms', 1.5e6, '1.5ms'],
    ['10us', 1e4, '10µs'],
    ['10µs', 1e4, '10µs'],
    ['3ns', 3, '3ns'],
    ['.5s', 0.5e9, '500ms'],
    ['-2s', -2e9, '-2s'],
    ['+2s', 2e9, '2s'],
    ['0', 0, '0s'],
    ['0s', 0, '0s'],
  ])('%s is %d ns and prints as %s', (text, ns, printed) => {
    expect(parseDuration(text)).toBe(ns)
    expect(formatDuration(ns)).toBe(printed)
    expect(parseDuration(printed)).toBe(ns)
  })

  test.each(['', '5', 's', '5 s', '5S', '1d', '5s5', 'abc', '--5s', '.s', '1e3s', '9999999999h'])('refuses %j', text => {
    expect(parseDuration(text)).toBeUndefined()
  })

  test('milliseconds, absent is 0', () => {
    expect(durationMs('1m0.25s')).toBe(60250)
    expect(durationMs(undefined)).toBe(0)
    expect(durationFromMs(1500)).toBe('1.5s')
  })
})
