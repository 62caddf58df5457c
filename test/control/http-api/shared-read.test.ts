import { expect, it } from 'vitest'
import { SharedRead } from '../../../src/control/http-api/shared-read.js'

it('is made once for all who ask at the same place, and anew at another', () => {
  let made = 0
  const shared = new SharedRead(() => ({ made: ++made }))
  const first = shared.get('1 deny')
  expect(shared.get('1 deny')).toBe(first)
  expect(shared.get('1 allow')).toEqual({ made: 2 })
  expect(shared.get('2 allow')).toEqual({ made: 3 })
  expect(shared.get('1 deny')).toEqual({ made: 4 })
})
