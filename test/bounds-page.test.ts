// docs/bounds.md says what the code says: every constant is there, with that value.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const page = readFileSync(new URL('../docs/bounds.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| (.+?) \| .+? \| ([\d,]+) \| `(\w+)` in `(src\/[\w/.-]+)` \|$/gm)].map(
  ([, what, bound, name, file]) => ({
    what: what!,
    bound: Number(bound!.replaceAll(',', '')),
    name: name!,
    file: file!,
  }),
)

describe('the page of bounds', () => {
  it('has every row of its table read here', () => {
    expect(rows.length).toBe(page.split('\n').filter(line => line.includes('` in `src/')).length)
    expect(rows.length).toBeGreaterThan(25)
  })

  it.each(rows)('$what: $bound', ({ bound, name, file }) => {
    const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
    const value = new RegExp(`const ${name} = ([\\d_]+)\\b`).exec(source)?.[1]
    expect(Number(value?.replaceAll('_', ''))).toBe(bound)
  })
})
