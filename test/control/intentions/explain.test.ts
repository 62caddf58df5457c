import { describe, expect, test } from 'vitest'
import { explainIntention } from '../../../src/control/intentions/explain.js'
import { intentionsFor } from '../../../src/control/intentions/match.js'
import { intentionTable } from '../../../src/control/intentions/table.js'
import { unknownServiceWarnings } from '../../../src/control/intentions/unknown-services.js'
import { entries, entry, intentions } from '../discovery-chain/entries.js'

const index = entries(
  intentions(
    'api',
    {
      Name: 'web',
      Permissions: [
        { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
        { Action: 'allow', HTTP: { PathPrefix: '/v1', Methods: ['GET'], Header: [{ Name: 'X-Team', Exact: 'a' }] } },
        { Action: 'allow', HTTP: { PathExact: '/token' }, JWT: { Providers: [{ Name: 'okta' }] } },
      ],
    },
    { Name: 'batch', Action: 'allow' },
    { Name: '*', Action: 'deny' },
  ),
  intentions('*', { Name: 'ops', Action: 'allow' }),
)
const table = intentionTable('api', intentionsFor(index, 'api'), { defaultAction: 'deny', http: true })
const headers = new Map([['x-team', 'a']])

describe('intention table', () => {
  test('is JSON in order of precedence', () => {
    expect(JSON.parse(JSON.stringify(table))).toEqual({
      destination: 'api',
      defaultAction: 'deny',
      intentions: [
        { name: 'batch -> api', source: 'batch', destination: 'api', precedence: 9, action: 'allow' },
        {
          name: 'web -> api',
          source: 'web',
          destination: 'api',
          precedence: 9,
          action: 'permissions',
          permissions: [
            { action: 'deny', path: { kind: 'prefix', value: '/admin' } },
            {
              action: 'allow',
              path: { kind: 'prefix', value: '/v1' },
              methods: ['GET'],
              headers: [{ name: 'x-team', kind: 'exact', value: 'a' }],
            },
            { action: 'allow', path: { kind: 'exact', value: '/token' }, jwt: true },
          ],
        },
        { name: '* -> api', source: '*', destination: 'api', precedence: 8, action: 'deny' },
        { name: 'ops -> *', source: 'ops', destination: '*', precedence: 6, action: 'allow' },
      ],
    })
  })

  test('an intention that another with the same source shadows is left out', () => {
    const list = intentionsFor(
      entries(intentions('api', { Name: 'web', Action: 'deny' }), intentions('*', { Name: 'web', Action: 'allow' })),
      'api',
    )
    expect(list).toHaveLength(2)
    expect(intentionTable('api', list, { defaultAction: 'deny', http: true }).intentions.map(row => row.name)).toEqual(['web -> api'])
  })
})

describe('explain', () => {
  test.each<[string, Parameters<typeof explainIntention>[1], boolean, string]>([
    ['an L4 allow', { source: 'batch' }, true, 'intention batch -> api (precedence 9) allows'],
    ['an L4 deny', { source: 'other' }, false, 'intention * -> api (precedence 8) denies'],
    ['an exact source below a wildcard', { source: 'ops' }, false, 'intention * -> api (precedence 8) denies'],
    [
      'a deny permission',
      { source: 'web', method: 'GET', path: '/admin/x?y' },
      false,
      'intention web -> api (precedence 9) denies by permission 1 (deny path prefix /admin)',
    ],
    [
      'an allow permission',
      { source: 'web', method: 'GET', path: '/v1/x', headers },
      true,
      'intention web -> api (precedence 9) allows by permission 2 (allow GET path prefix /v1 headers x-team)',
    ],
    [
      'the nearest miss is the one that got furthest',
      { source: 'web', method: 'POST', path: '/v1/x', headers },
      false,
      'intention web -> api (precedence 9) matched the source, but none of its permissions: method POST is not one of GET; the default is deny',
    ],
    [
      'a miss by path',
      { source: 'web', method: 'GET', path: '/other' },
      false,
      'intention web -> api (precedence 9) matched the source, but none of its permissions: path /other did not match prefix /admin; the default is deny',
    ],
    [
      'a token that is not there',
      { source: 'web', method: 'GET', path: '/token' },
      false,
      'intention web -> api (precedence 9) matched by permission 3 (allow path exact /token with a JWT), which needs a valid JWT that the request does not carry',
    ],
    [
      'a token',
      { source: 'web', method: 'GET', path: '/token', jwt: true },
      true,
      'intention web -> api (precedence 9) allows by permission 3 (allow path exact /token with a JWT)',
    ],
  ])('%s', (_name, request, allowed, reason) => {
    expect(explainIntention(table, request)).toMatchObject({ allowed, reason })
  })

  test('the precedence list marks who matches and who decides', () => {
    const { precedence } = explainIntention(table, { source: 'ops' })
    expect(precedence.map(({ name, matches, decides }) => [name, matches, decides])).toEqual([
      ['batch -> api', false, false],
      ['web -> api', false, false],
      ['* -> api', true, true],
      ['ops -> *', true, false],
    ])
  })

  test('no intention matched: the default, without a deciding intention', () => {
    const none = intentionTable('api', [], { defaultAction: 'allow', http: true })
    expect(explainIntention(none, { source: 'web' })).toEqual({
      allowed: true,
      reason: 'no intention matched web -> api; the default is allow',
      precedence: [],
    })
  })

  test('permissions on a tcp service', () => {
    const overTcp = intentionTable('api', intentionsFor(index, 'api'), { defaultAction: 'allow', http: false })
    expect(explainIntention(overTcp, { source: 'web' })).toMatchObject({ allowed: false, intention: 'web -> api' })
    expect(explainIntention(overTcp, { source: 'web' }).reason).toMatch(/need an HTTP protocol/)
  })

  test('peers are apart from local sources', () => {
    const list = intentionsFor(entries(intentions('api', { Name: '*', Peer: 'east', Action: 'allow' })), 'api')
    const peered = intentionTable('api', list, { defaultAction: 'deny', http: true })
    const allowed = (source: string) => explainIntention(peered, { source }).allowed
    expect([allowed('peer:east/web'), allowed('peer:west/web'), allowed('web')]).toEqual([true, false, false])
  })
})

describe('intentions that name unknown services', () => {
  test('warn, with a likely name', () => {
    const typo = entry(
      intentions('ap', { Name: 'wbe', Action: 'allow' }, { Name: '*', Action: 'deny' }, { Name: 'x', Peer: 'east', Action: 'deny' }),
    )
    if (typo.Kind !== 'service-intentions') throw new Error('unreachable')
    expect(unknownServiceWarnings(typo, new Set(['web', 'api']))).toEqual([
      'intentions of "ap": the destination "ap" is not a registered service; did you mean "api"?',
      'intentions of "ap": the source "wbe" is not a registered service; did you mean "web"?',
    ])
    expect(unknownServiceWarnings(typo, new Set(['ap', 'wbe']))).toEqual([])
    expect(unknownServiceWarnings(typo, new Set(['AP', 'payments']))[1]).toBe(
      'intentions of "ap": the source "wbe" is not a registered service',
    )
  })
})
