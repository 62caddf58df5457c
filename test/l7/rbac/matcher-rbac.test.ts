import { describe, expect, it } from 'vitest'
import { rbacDecider } from '../../../src/l7/rbac/rbac-decider.js'
import type { MatchInput, MatchTree } from '../../../src/model/match-tree.js'
import type { RbacAction } from '../../../src/model/rbac.js'
import { connection, head, info, peer, tls } from '../request-fixtures.js'

const end = (name: string, action: RbacAction['action']) => ({ kind: 'action', action: { name, action } }) as const
const map = (input: MatchInput, key: string, action: RbacAction['action'], onNoMatch: MatchTree<RbacAction>['onNoMatch'] = null) =>
  rbacDecider(null, { kind: 'exact', input, map: new Map([[key, end('hit', action)]]), onNoMatch })!

describe('a matcher decides', () => {
  const input = (path: string) => ({ connection: connection(), head: head(path), info: info(head(path)) })
  const byPath: MatchInput = { kind: 'requestHeader', name: ':path' }

  it('by its action; what matches nothing is denied', () => {
    expect(map(byPath, '/a', 'ALLOW').decide(input('/a'))).toEqual({ allowed: true, policy: 'hit' })
    expect(map(byPath, '/a', 'ALLOW').decide(input('/b'))).toEqual({ allowed: false, policy: null })
    expect(map(byPath, '/a', 'DENY', end('rest', 'ALLOW')).decide(input('/a'))).toEqual({ allowed: false, policy: 'hit' })
    expect(map(byPath, '/a', 'DENY', end('rest', 'ALLOW')).decide(input('/b'))).toMatchObject({ allowed: true, policy: 'rest' })
  })

  it('one LOG action makes every decision a hint for the access log', () => {
    const decider = map(byPath, '/a', 'LOG', end('rest', 'ALLOW'))
    expect([decider.decide(input('/a')).logHint, decider.decide(input('/b')).logHint]).toEqual([true, false])
  })

  it('says why it denied', () => {
    expect(map(byPath, '/a', 'DENY').explain(null, input('/a')).reason).toBe('action "hit" of the matcher denies')
    expect(map(byPath, '/a', 'DENY').explain(null, input('/b')).reason).toBe('the matcher has no match; default deny')
  })

  it('above the rules, where both are set', () => {
    const rules = { action: 'ALLOW', policies: [] } as const
    const decider = rbacDecider(rules, { kind: 'list', matchers: [], onNoMatch: end('all', 'ALLOW') })!
    expect(decider.decide(input('/')).allowed).toBe(true)
    expect(rbacDecider(null, null)).toBeNull()
  })
})

it('reads the names of a validated certificate only', () => {
  const uri = 'spiffe://t/web'
  const seen = (validated: boolean) => {
    const from = connection({ tls: tls({ peer: peer({ uriSans: [uri], validated }) }) })
    return map({ kind: 'uriSan' }, uri, 'ALLOW').decide({ connection: from, head: null, info: null }).allowed
  }
  expect([seen(true), seen(false)]).toEqual([true, false])
})
