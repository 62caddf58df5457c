import { describe, expect, it } from 'vitest'
import { expired, parseRetention } from '../../../src/control/backup/retention.js'

const HOUR_MS = 3_600_000
const NOW = Date.parse('2026-11-29T18:00:00Z')
/** Hours ago, newest first. */
const made = (...hours: number[]): { atMs: number }[] => hours.map(hour => ({ atMs: NOW - hour * HOUR_MS }))
const kept = (rule: string, hours: number[]): number[] => {
  const backups = made(...hours)
  const gone = new Set(expired(backups, parseRetention(rule), NOW))
  return backups.filter(backup => !gone.has(backup)).map(({ atMs }) => (NOW - atMs) / HOUR_MS)
}

describe('retention', () => {
  it('keeps as many as asked, by a number or by last', () => {
    expect(kept('2', [0, 1, 2, 3])).toEqual([0, 1])
    expect(kept('last=3', [0, 1, 2, 3])).toEqual([0, 1, 2])
  })

  it('keeps the newest of each of the last days, and what is young', () => {
    // 18:00 today; 19 h ago is 23:00 yesterday, 20 h ago too.
    expect(kept('daily=2', [0, 1, 19, 20, 43])).toEqual([0, 19])
    expect(kept('within=24h', [0, 1, 19, 30])).toEqual([0, 1, 19])
    expect(kept('within=2d', [0, 47, 49])).toEqual([0, 47])
  })

  it('keeps what any of the rules keeps: grandfather, father and son', () => {
    const daily = Array.from({ length: 100 }, (_, day) => day * 24)
    const days = kept('last=2,daily=5,weekly=3,monthly=3', daily).map(hour => hour / 24)
    // 29 November is a Sunday: weeks end on days 0, 7, 14; months on days 0 (November), 29 (31 October), 60 (30 September).
    expect(days).toEqual([0, 1, 2, 3, 4, 7, 14, 29, 60])
  })

  it('never removes the newest', () => {
    expect(kept('within=1h', [30, 40])).toEqual([30])
  })

  it('refuses rules that it does not know', () => {
    for (const text of ['', '0', 'last=0', 'fortnightly=2', 'within=', 'within=soon', 'daily=x', '1.5', 'last=99999'])
      expect(() => parseRetention(text), text).toThrow()
  })
})
