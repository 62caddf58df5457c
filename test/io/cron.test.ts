// Cron expressions: when they fire next, in UTC, and what is none.
import { expect, it } from 'vitest'
import { CronSchedule } from '../../src/io/cron.js'

const next = (text: string, from: string): string => {
  const ms = new CronSchedule(text).next(Date.parse(from))
  return ms === undefined ? 'never' : new Date(ms).toISOString().replace('.000', '')
}

it.each([
  ['* * * * *', '2026-01-01T00:00:30Z', '2026-01-01T00:01:00Z'],
  ['* * * * Mon', '2026-01-01T00:00:00Z', '2026-01-05T00:00:00Z'],
  ['0 0 1 1 *', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ['*/15 9-17 * * mon-fri', '2026-01-02T17:50:00Z', '2026-01-05T09:00:00Z'],
  ['5,10 * * * *', '2026-01-01T00:05:00Z', '2026-01-01T00:10:00Z'],
  ['0 0 29 2 *', '2026-03-01T00:00:00Z', '2028-02-29T00:00:00Z'],
  ['0 0 13 * fri', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'],
  ['0 0 * * 7', '2026-01-01T00:00:00Z', '2026-01-04T00:00:00Z'],
  ['*/10 * * * * * *', '2026-01-01T00:00:05Z', '2026-01-01T00:00:10Z'],
  ['0 12 * * * 2027', '2026-06-01T00:00:00Z', '2027-01-01T12:00:00Z'],
  ['0 12 * * * 2020', '2026-06-01T00:00:00Z', 'never'],
  ['0 0 30 2 *', '2026-01-01T00:00:00Z', 'never'],
  ['@hourly', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00Z'],
  ['5/20 * * * ?', '2026-01-01T00:06:00Z', '2026-01-01T00:25:00Z'],
])('%s after %s', (text, from, want) => {
  expect(next(text, from)).toBe(want)
})

it.each([
  '',
  '* * * *',
  '* * * * * * * *',
  '60 * * * *',
  '* 24 * * *',
  '* * 0 * *',
  '* * * 13 *',
  '* * * * mon#2',
  '* * L * *',
  '5-1 * * * *',
  '*/0 * * * *',
])('"%s" is refused', text => {
  expect(() => new CronSchedule(text)).toThrow()
})
