import { describe, expect, it } from 'vitest'
import { parseSchedule } from '../../../src/control/backup/backup-schedule.js'

const at = (text: string): number => Date.parse(text)

describe('a schedule', () => {
  it('goes by the last backup, and is due at once without any', () => {
    const every = parseSchedule('6h')
    expect(every.dueMs(undefined)).toBe(0)
    expect(every.dueMs(at('2026-11-29T10:00:00Z'))).toBe(at('2026-11-29T16:00:00Z'))
  })

  it('takes cron patterns, in UTC', () => {
    const nightly = parseSchedule('30 3 * * *')
    expect(nightly.dueMs(at('2026-11-29T10:00:00Z'))).toBe(at('2026-11-30T03:30:00Z'))
    expect(nightly.dueMs(at('2026-11-29T03:30:00Z'))).toBe(at('2026-11-30T03:30:00Z'))
    expect(nightly.dueMs(undefined)).toBe(0)
    const workdays = parseSchedule('0 */4 * * MON-FRI')
    expect(workdays.dueMs(at('2026-11-27T20:00:00Z'))).toBe(at('2026-11-30T00:00:00Z'))
  })

  it('refuses what is neither, too often, or never', () => {
    for (const text of ['', 'daily', '10s', '* * *', '61 * * * *', '0 0 31 2 *', '* * * * * *'])
      expect(() => parseSchedule(text), text).toThrow(/^"/)
  })
})
