import { describe, expect, it } from 'vitest'
import { compileLogFormat } from '../../src/cli/log-format.js'

const line = { at: new Date(2026, 0, 5, 15, 4, 9, 87), level: 'warning', component: 'upstream', message: 'a\n"b"' }
const print = (pattern: string): string => compileLogFormat(pattern)(line)

describe('compileLogFormat', () => {
  it.each([
    ['[%Y-%m-%d %T.%e][%l][%n] %v', '[2026-01-05 15:04:09.087][warning][upstream] a\n"b"'],
    ['%L %H:%M:%S %I %p %R', 'W 15:04:09 03 PM 15:04'],
    ['%_', 'a\\n"b"'],
    ['%j', 'a\\n\\"b\\"'],
    ['%a %A %b %B %D %C', 'Mon Monday Jan January 01/05/26 26'],
    ['[%-9l][%9l][%=9l][%3!l]', '[warning  ][  warning][ warning ][war]'],
    ['%^%l%$ [%g:%#]', 'warning [:]'],
    ['100%% %Q', '100% %Q'],
    ['', ''],
  ])('%j', (pattern, text) => {
    expect(print(pattern)).toBe(text)
  })

  it('knows seconds since the epoch and the zone', () => {
    expect(print('%E')).toBe(String(Math.floor(line.at.getTime() / 1000)))
    expect(print('%z')).toMatch(/^[+-]\d\d:\d\d$/)
  })
})
