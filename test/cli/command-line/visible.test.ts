// What others wrote is shown on a terminal, and not obeyed by it.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatTable } from '../../../src/cli/command-line/print.js'
import { visible, visibleLine } from '../../../src/cli/command-line/visible.js'
import { journalLine, readableLine } from '../../../src/cli/log-lines.js'

describe('text of others', () => {
  it.each([
    ['clears the screen', '\x1b[2Japi', '\\u001b[2Japi'],
    ['sets the title', '\x1b]0;owned\x07', '\\u001b]0;owned\\u0007'],
    ['begins a sequence in one byte', '\x9b31mred', '\\u009b31mred'],
    ['goes back in its line', 'denied\rallowed', 'denied\\u000dallowed'],
    ['deletes', 'a\b\x7f', 'a\\u0008\\u007f'],
    ['turns the direction', 'a\u202egnp.exe', 'a\\u202egnp.exe'],
  ])('that %s is shown', (_what, text, shown) => {
    expect(visible(text)).toBe(shown)
  })

  it('that is plain stays as it is: tabs, lines of either end, other scripts', () => {
    const text = 'größe\tΩ 漢字 🚀\nnext\r\nlast'
    expect(visible(text)).toBe(text)
    expect(visibleLine(text)).toBe('größe\tΩ 漢字 🚀\\nnext\\nlast')
  })

  it('in JSON is the same JSON', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        const shown = visible(JSON.stringify({ text }))
        expect(JSON.parse(shown)).toEqual({ text })
        expect(visible(shown)).toBe(shown)
      }),
    )
  })

  it('is one row of a table, and does not move the others', () => {
    const rows = [
      ['api\nweb  critical', '\x1b[1m1'],
      ['web', '2'],
    ]
    expect(formatTable(['NAME', 'N'], rows)).toBe('NAME                N\napi\\nweb  critical  \\u001b[1m1\nweb                 2\n')
  })

  it('makes no table too large to print', () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => [String(i)])
    expect(formatTable(['N'], rows)).toHaveLength('N\n'.length + rows.reduce((sum, [cell]) => sum + cell!.length + 1, 0))
  })
})

it('in a log line passes for no other line, and colours nothing', () => {
  const record = { level: 50, time: 'T', msg: 'refused: x\nT [INFO]  all is well', output: '\x1b[32mok' }
  expect(readableLine(record)).toBe('T [ERROR] refused: x\n    T [INFO]  all is well: output=\\u001b[32mok\n')
  expect(journalLine(record)).toBe('<3>refused: x T [INFO]  all is well: output=\\u001b[32mok\n')
})
