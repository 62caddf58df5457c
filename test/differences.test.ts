// docs/differences.md and the tests agree: every row and every heading with prose names tests that show it (support/difference-claims.ts),
// those tests are there, and the rules of the attack comparison name rows of the page. A claim without a test fails here.
import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { DELIBERATE } from './support/attack-differences.js'
import { CLAIMS } from './support/difference-claims.js'

const page = readFileSync(new URL('../docs/differences.md', import.meta.url), 'utf8')

/** First cells of all rows but those of heads, and the headings under which there is no table. */
function claimsOfThePage(): string[] {
  return page.split(/^## /m).flatMap((section, i) => {
    const rows = [...section.matchAll(/^\| (.+?) \|(?!.*\n\|---)/gm)].map(([, cell]) => cell!)
    if (rows.length > 0) return rows
    return i === 0 ? [] : [section.slice(0, section.indexOf('\n'))]
  })
}

const rows = claimsOfThePage()
const rowOf = (claim: string): string | undefined => rows.find(row => row.startsWith(claim))

it('each claim names a test that shows it', () => {
  expect(rows.length).toBeGreaterThan(60)
  expect(rows.filter(row => !Object.keys(CLAIMS).some(claim => row.startsWith(claim)))).toEqual([])
})

it('each entry of the list is a claim of the page', () => {
  expect(Object.keys(CLAIMS).filter(claim => rowOf(claim) === undefined)).toEqual([])
})

it.each(Object.entries(CLAIMS))('%s', (_claim, tests) => {
  expect(tests.length).toBeGreaterThan(0)
  for (const test of tests) {
    const [file, title] = [test.slice(0, test.indexOf(': ')), test.slice(test.indexOf(': ') + 2)]
    const url = new URL(file, import.meta.url)
    expect([file, existsSync(url)]).toEqual([file, true])
    expect([test, readFileSync(url, 'utf8').includes(title)]).toEqual([test, true])
  }
})

it('each rule of the attack comparison stands on the page', () => {
  expect(DELIBERATE.filter(({ claim }) => rowOf(claim) === undefined).map(({ claim }) => claim)).toEqual([])
})
