import { expect, it } from 'vitest'
import { editable, KINDS, templateOf } from '../../../src/console/logic/config-templates.js'
import {
  foldersTo,
  fromBase64,
  isEditable,
  keyPath,
  keyStep,
  levelOf,
  placeOfSteps,
  withEndsOf,
} from '../../../src/console/logic/kv-keys.js'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'

it('shows folders first, then keys, of one level', () => {
  expect(levelOf(['app/z', 'app/config/', 'app/', 'app/a', 'other/'], 'app/')).toEqual([
    { name: 'config', isFolder: true },
    { name: 'a', isFolder: false },
    { name: 'z', isFolder: false },
  ])
})

it('asks for keys with any characters, and shows text as text and bytes as none', () => {
  expect(keyPath('a b/c?d')).toBe('a%20b%2Fc%3Fd')
  expect(fromBase64('aMOkbGxv')).toBe('hällo')
  expect(fromBase64('/w==')).toBeUndefined()
})

it.each(KINDS)('begins a new %s with an entry that the server takes', kind => {
  expect(parseConfigEntry(JSON.parse(templateOf(kind)))).toHaveProperty('entry')
})

it('edits an entry without what the server adds', () => {
  expect(JSON.parse(editable({ Kind: 'mesh', CreateIndex: 1, ModifyIndex: 2, Hash: 3 }))).toEqual({ Kind: 'mesh' })
})

it.each(['a', 'a/b', 'a/../b', '../a', './a', 'a//b', '/a', '//', 'a/', '=a', 'a/=b', '%2e%2e/a', 'ä b?c#d'])(
  'the key %j has an address, which a browser leaves as it is, and which leads to it',
  key => {
    const step = encodeURIComponent(keyStep(key))
    expect(new URL(`http://h/ui/kv/${step}`).pathname).toBe(`/ui/kv/${step}`)
    const { folder, name } = placeOfSteps([decodeURIComponent(step)])
    expect(folder + name).toBe(key)
    expect(decodeURIComponent(new URL(`http://h/v1/kv/${keyPath(key)}?cas=1`).pathname.slice('/v1/kv/'.length))).toBe(key)
    const level = levelOf([key], folder)
    expect(level).toEqual(key === folder ? [] : [{ name: name!.replace(/\/$/, ''), isFolder: name!.endsWith('/') }])
  },
)

it('knows the folders on the way, also those without a name', () => {
  expect(foldersTo('')).toEqual([])
  expect(foldersTo('a//=b/')).toEqual([
    { folder: 'a/', name: 'a' },
    { folder: 'a//', name: '' },
    { folder: 'a//=b/', name: '=b' },
  ])
  expect(placeOfSteps(['a//=b/'])).toEqual({ folder: 'a//=b/', name: undefined })
})

it('takes an address as one types it', () => {
  expect(placeOfSteps([])).toEqual({ folder: '', name: undefined })
  expect(placeOfSteps(['app', 'config'])).toEqual({ folder: 'app/config/', name: undefined })
  expect(placeOfSteps(['app', 'config', '=colour'])).toEqual({ folder: 'app/config/', name: 'colour' })
})

it('gives a value back with the ends of lines that it had, and edits none that a text field would change', () => {
  expect(withEndsOf('a\r\nb', 'a\nb\nc')).toBe('a\r\nb\r\nc')
  expect(withEndsOf('a\nb', 'a\nb\nc')).toBe('a\nb\nc')
  expect(['', 'a\nb', 'a\r\nb\r\n'].map(isEditable)).toEqual([true, true, true])
  expect(['a\rb', 'a\r\nb\nc', 'a\r\r\nb'].map(isEditable)).toEqual([false, false, false])
})
