// The state file: what is none is an error, and tasks may have any name.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { StateFile } from '../../../src/automation/tasks/sync-state.js'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-sync-state-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

it.each(['', 'x', 'null', '[]', '{"enabled": 1}', '{"created": null}'])('%j is no state', text => {
  const path = join(dir, 'state.json')
  writeFileSync(path, text)
  expect(() => new StateFile(path)).toThrow(`${path}: is no state of outrigger sync: remove it to begin anew`)
})

it('knows nothing of a task of any name, and keeps what is set', () => {
  const path = join(dir, 'state.json')
  const file = new StateFile(path)
  expect([file.state.enabled['constructor'], file.state.applied['toString']]).toEqual([undefined, undefined])
  file.state.enabled['constructor'] = false
  file.save()
  expect(new StateFile(path).state.enabled['constructor']).toBe(false)
})
