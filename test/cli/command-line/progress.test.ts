// The bar of long work: on a terminal below the lines, and gone when all is done; elsewhere nothing.
import { describe, expect, it } from 'vitest'
import { Progress } from '../../../src/cli/command-line/progress.js'

function stream(isTTY: boolean): { readonly out: NodeJS.WriteStream; readonly written: string[] } {
  const written: string[] = []
  const out = { isTTY, columns: 80, on: () => out, write: (text: string) => written.push(text) > 0 }
  return { out: out as unknown as NodeJS.WriteStream, written }
}

describe('on a terminal', () => {
  it('it is drawn, taken away for a line, and gone at the end', () => {
    const { out, written } = stream(true)
    const progress = new Progress(out)
    progress.bar('keys', 15, 30)
    expect(written).toEqual([`   [${'#'.repeat(15)}${'-'.repeat(15)}] 15/30 keys`])
    progress.line('said')
    progress.bar('keys', 30, 30)
    expect(written.slice(1)).toEqual(['\r\x1b[K', 'said\n'])
  })

  it('of nothing at all, or with nothing to do, there is none', () => {
    const { out, written } = stream(true)
    new Progress(out).bar('keys', 0, 0)
    expect(written).toEqual([])
  })
})

it('without a terminal there are lines only', () => {
  const { out, written } = stream(false)
  const progress = new Progress(out)
  progress.bar('keys', 1, 2)
  progress.line('said')
  expect(written).toEqual(['said\n'])
})
