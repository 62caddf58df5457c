import { readdirSync, readFileSync } from 'node:fs'
import type { DescMessage } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { fieldSupport, renderCompatibilityPages, supportTable } from '../../../src/xds/resources/field-support.js'
import { SUPPORT_TABLE } from '../../../src/xds/resources/field-support-table.js'
import { reachableMessages } from '../../../src/xds/resources/message-check.js'
import { knownSchemas } from '../../../src/xds/resources/schemas.js'

function readMessages(): Map<string, DescMessage> {
  const reached = new Map<string, DescMessage>()
  for (const schema of knownSchemas()) reachableMessages(schema, reached)
  return reached
}

describe('the field support table', () => {
  it('has every field of every message that the decoders read, and no other', () => {
    const expected = [...readMessages().values()].flatMap(desc => desc.fields.map(field => `${desc.typeName}.${field.name}`)).sort()
    const listed = [...supportTable()].flatMap(([message, fields]) => [...fields.keys()].map(field => `${message}.${field}`)).sort()
    expect(listed).toEqual(expected)
  })

  it('names each field once', () => {
    const folder = new URL('../../../src/xds/resources/field-support/', import.meta.url)
    const source = readdirSync(folder)
      .map(file => readFileSync(new URL(file, folder), 'utf8'))
      .join('\n')
    const lists = [...source.matchAll(/supported:\s*'([^']*)'/g)].map(([, names]) => names!.split(' '))
    expect(lists.length).toBe(SUPPORT_TABLE.length)
    for (const list of lists) expect(new Set(list).size).toBe(list.length)
  })

  it('names each message in one table only', () => {
    const names = SUPPORT_TABLE.map(([message]) => message)
    expect([...new Set(names)]).toEqual(names)
  })

  it('says why for every refused field', () => {
    const silent = [...supportTable()].flatMap(([message, fields]) =>
      [...fields].filter(([, support]) => support.status === 'refused' && support.note === '').map(([field]) => `${message}.${field}`),
    )
    expect(silent).toEqual([])
  })

  it('counts a field it does not have as accepted without effect', () => {
    expect(fieldSupport('envoy.config.listener.v3.Listener', 'not_a_field').status).toBe('accepted')
  })
})

describe('docs/compatibility', () => {
  const folder = new URL('../../../docs/compatibility/', import.meta.url)

  it('holds the pages that scripts/compatibility-table.mjs prints, and no other', () => {
    const there = new Map(readdirSync(folder).map(name => [name, readFileSync(new URL(name, folder), 'utf8')]))
    expect(there).toEqual(new Map([...renderCompatibilityPages()].sort()))
  })

  it('is linked, page by page, from docs/compatibility.md', () => {
    const text = readFileSync(new URL('../compatibility.md', folder), 'utf8')
    for (const name of renderCompatibilityPages().keys()) expect(text).toContain(`(compatibility/${name})`)
  })
})
