import { expect, it } from 'vitest'
import { dnsNameMatches } from '../../../src/mtls/peer/peer-verification.js'

it.each([
  ['a.b.example', 'A.B.Example', true],
  ['*.b.example', 'a.b.example', true],
  ['*.b.example', 'a.a.b.example', false],
  ['*.b.example', '.b.example', false],
  ['*', 'example', false],
  ['*.', 'example', false],
  // Envoy takes one asterisk anywhere in the first label; RFC 9525 §6.3 lets it stand for the whole label only.
  ['test*.b.example', 'test1.b.example', false],
  ['*test.b.example', '1test.b.example', false],
  ['te*st.b.example', 'te1st.b.example', false],
  ['a.*.example', 'a.b.example', false],
])('the DNS SAN %s for the host %s: %s', (san, host, matches) => {
  expect(dnsNameMatches(san, host)).toBe(matches)
})
