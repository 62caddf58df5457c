// Intentions in shadow: left out of what decides, part of what is counted.
import { describe, expect, it } from 'vitest'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigEntryIndex } from '../../../src/control/config-entries/types.js'
import { intentionsFor, withShadowsFor } from '../../../src/control/intentions/match.js'

const SOURCES = [
  { Name: 'web', Action: 'allow' },
  { Name: 'batch', Action: 'deny' },
]

function entry(shadow: string | undefined, Name = 'api') {
  return parseConfigEntry({
    Kind: 'service-intentions',
    Name,
    Sources: SOURCES,
    ...(shadow === undefined ? {} : { Meta: { 'outrigger-shadow': shadow } }),
  })
}

function index(...entries: ReturnType<typeof entry>[]): ConfigEntryIndex {
  const all = entries.map(one => ('entry' in one ? one.entry : expect.fail(JSON.stringify(one.errors)))) as ConfigEntry[]
  return {
    get: (kind, name) => all.find(one => one.Kind === kind && one.Name === name) as never,
    list: kind => all.filter(one => one.Kind === kind) as never,
  }
}

const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name).sort()

describe('of an entry', () => {
  it.each([
    [undefined, ['batch -> api', 'web -> api']],
    ['true', []],
    ['batch', ['web -> api']],
    ['batch, web', []],
  ])('with %s the rest is enforced', (shadow, enforced) => {
    const entries = index(entry(shadow))
    expect(names(intentionsFor(entries, 'api'))).toEqual(enforced)
    expect(names(withShadowsFor(entries, 'api'))).toEqual(['batch -> api', 'web -> api'])
  })

  it('a name that is no source of it is refused', () => {
    expect(entry('wed')).toMatchObject({
      errors: [{ path: 'Meta.outrigger-shadow', reason: 'must be true, or names of its Sources: "wed" is none' }],
    })
  })

  it('the entry for any service is in shadow by itself', () => {
    const entries = index(entry('true', '*'), entry(undefined))
    expect(names(intentionsFor(entries, 'api'))).toEqual(['batch -> api', 'web -> api'])
    expect(withShadowsFor(entries, 'api')).toHaveLength(4)
  })
})
