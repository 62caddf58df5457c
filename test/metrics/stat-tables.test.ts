// A name that is shown is counted: each name of stat-tables.ts is written by code elsewhere in src (as a property, as text, by a template),
// or stands on the page of differences among those that stay 0, with why. Neither list may have what belongs on the other.
import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import * as tables from '../../src/metrics/stat-tables.js'

const src = new URL('../../src/', import.meta.url)

/** These name stats without counting them. */
const NAMES_ONLY = /^(?:metrics\/stat-tables|metrics\/stats-export|metrics\/default-tags)\.ts$|(?:^|\/)gen\//

/** Names that no code spells out: where they are put together, and which. */
const TEMPLATES: readonly (readonly [file: string, template: string, names: RegExp])[] = [
  ['upstream/health/outlier-detector.ts', '`ejections_detected_$', /^ejections_detected_\w+$/],
  ['upstream/health/outlier-detector.ts', '`ejections_enforced_$', /^ejections_enforced_(?!total$)\w+$/],
  ['metrics/reporting-stats.ts', '`streams_closed_$', /^streams_closed_\d+$/],
  ['metrics/response-codes.ts', '}_completed`', /^upstream_rq_completed$/],
]

const code = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts') && !NAMES_ONLY.test(file))
  .map(file => readFileSync(new URL(file, src), 'utf8').replace(/^\s*(?:\/\/|\/?\*).*$/gm, ''))
  .join('\n')
const written = new Set(
  [...code.matchAll(/\.(\w+)|(['`"])([\w.]+)\2|\b(\w+):/g)].map(([, property, , text, key]) => property ?? text ?? key),
)

const names = new Set(Object.values(tables).flatMap(table => table.names))
const isCounted = (name: string): boolean => written.has(name) || TEMPLATES.some(([, , which]) => which.test(name))

/** Of the section's list, what stands before the reasons. */
function staysZero(): string[] {
  const page = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8')
  const section = page.split(/^## /m).find(part => part.startsWith('Statistics that stay 0\n'))!
  return [...section.matchAll(/^- (.+?): /gm)].flatMap(([, said]) => [...said!.matchAll(/`([\w.]+)`/g)].map(([, name]) => name!))
}

it('a name of the tables is counted by some code, or said to stay 0, and not both', () => {
  expect(names.size).toBeGreaterThan(400)
  const uncounted = [...names].filter(name => !isCounted(name)).sort()
  expect([...new Set(staysZero())].sort()).toEqual(uncounted)
})

it.each(TEMPLATES)('%s: %s', (file, template, which) => {
  expect(readFileSync(new URL(file, src), 'utf8')).toContain(template)
  expect([...names].some(name => which.test(name))).toBe(true)
})
