import { afterEach, describe, expect, it } from 'vitest'
import type { ValidationContext } from '../../../src/model/tls.js'
import { MAX_REMEMBERED_RULES, TrustHistory } from '../../../src/mtls/peer/trust-history.js'
import type { UpstreamTlsContext } from '../../../src/mtls/tls/upstream-tls.js'
import { AnyCa, common, inline, type Side, san, side, spiffe, upstream } from '../tls/tls-support.js'

const [a, b] = [new AnyCa('A'), new AnyCa('B')]
const web = a.service('web')
let one: Side | null = null
afterEach(() => {
  one?.contexts.close()
  one = null
})

function contextOf(bundle: string, more: Partial<ValidationContext> = {}, leaf = web): UpstreamTlsContext {
  one ??= side()
  return one.contexts.upstream(
    upstream(common(leaf, { trustedCa: inline(bundle), sanMatchers: [san('URI', spiffe('api'))], ...more })),
    one.cluster,
  )
}

describe('what was verified under earlier rules holds now', () => {
  it('where only the bundle has grown, in whatever order, and whatever our own leaf is', () => {
    const before = contextOf(a.pem)
    expect(contextOf(b.pem + a.pem).covers(before.key)).toBe(true)
    expect(contextOf(b.pem + a.pem, {}, a.service('web')).covers(before.key)).toBe(true)
    expect(contextOf(a.pem + b.pem).covers(contextOf(b.pem + a.pem).key)).toBe(true)
  })

  it.each<[string, () => boolean]>([
    ['a root is gone', () => contextOf(a.pem).covers(contextOf(a.pem + b.pem).key)],
    ['a root is another', () => contextOf(b.pem).covers(contextOf(a.pem).key)],
    ['a name is another', () => contextOf(a.pem + b.pem, { sanMatchers: [san('URI', spiffe('db'))] }).covers(contextOf(a.pem).key)],
    ['there are no names any more', () => contextOf(a.pem + b.pem).covers(contextOf(a.pem, { sanMatchers: [] }).key)],
    ['a CRL has come', () => contextOf(a.pem + b.pem, { crl: inline(a.crl([])) }).covers(contextOf(a.pem).key)],
    ['a CRL has come in the bundle', () => contextOf(a.pem + b.pem + a.crl([])).covers(contextOf(a.pem).key)],
    ['a hash has come', () => contextOf(a.pem, { verifyCertificateHash: ['0'.repeat(64)] }).covers(contextOf(a.pem).key)],
    ['there was no bundle', () => contextOf(a.pem).covers(contextOf('', { trustedCa: null, sanMatchers: [] }).key)],
    ['nothing is known of it', () => contextOf(a.pem).covers('not-ready')],
  ])('but not where %s', (_what, covered) => {
    expect(covered()).toBe(false)
  })
})

it('remembers a bounded number of rules, and what is forgotten is covered by nothing', () => {
  const history = new TrustHistory()
  const rules = { rest: 'same', anchors: new Set(['x']) }
  for (let i = 0; i <= MAX_REMEMBERED_RULES; i++) history.remember(`key ${i}`, rules)
  expect(history.covers(`key ${MAX_REMEMBERED_RULES}`, 'key 1')).toBe(true)
  expect(history.covers(`key ${MAX_REMEMBERED_RULES}`, 'key 0')).toBe(false)
})
