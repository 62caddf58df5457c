import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { indentJson } from '../../../src/control/http-api/indent-json.js'

describe('indentJson', () => {
  it('prints any JSON as JSON.stringify does with four spaces', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        expect(indentJson(JSON.stringify(value))).toBe(`${JSON.stringify(value, null, 4)}\n`)
      }),
      { seed: 7 },
    )
  })

  it('leaves numbers as they are that JavaScript cannot hold', () => {
    expect(indentJson('[{"Flags":18446744073709551615}]')).toBe('[\n    {\n        "Flags": 18446744073709551615\n    }\n]\n')
  })
})
