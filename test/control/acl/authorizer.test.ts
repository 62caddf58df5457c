import { expect, it } from 'vitest'
import { SharedTokens } from '../../../src/control/acl/authorizer.js'

it('asks each door for its own secret, and for none where there is none', () => {
  const tokens = new SharedTokens({ http: 'h-secret', xds: undefined })
  expect(['h-secret', undefined, '', 'h-secret2', 'x'].map(token => tokens.verdict('http', token))).toEqual([
    'allowed',
    'token-missing',
    'token-unknown',
    'token-unknown',
    'token-unknown',
  ])
  expect(tokens.verdict('xds', undefined)).toBe('allowed')
})
