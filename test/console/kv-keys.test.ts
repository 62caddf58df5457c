import { expect, it } from 'vitest'
import { editable, KINDS, templateOf } from '../../src/console/logic/config-templates.js'
import { fromBase64, keyPath, levelOf } from '../../src/console/logic/kv-keys.js'
import { parseConfigEntry } from '../../src/control/config-entries/parse-config-entry.js'

it('shows folders first, then keys, of one level', () => {
  expect(levelOf(['app/z', 'app/config/', 'app/', 'app/a', 'other/'], 'app/')).toEqual([
    { name: 'config', isFolder: true },
    { name: 'a', isFolder: false },
    { name: 'z', isFolder: false },
  ])
})

it('asks for keys with any characters, and shows text as text and bytes as none', () => {
  expect(keyPath('a b/c?d')).toBe('a%20b/c%3Fd')
  expect(fromBase64('aMOkbGxv')).toBe('hällo')
  expect(fromBase64('/w==')).toBeUndefined()
})

it.each(KINDS)('begins a new %s with an entry that the server takes', kind => {
  expect(parseConfigEntry(JSON.parse(templateOf(kind)))).toHaveProperty('entry')
})

it('edits an entry without what the server adds', () => {
  expect(JSON.parse(editable({ Kind: 'mesh', CreateIndex: 1, ModifyIndex: 2, Hash: 3 }))).toEqual({ Kind: 'mesh' })
})
