import { describe, expect, it } from 'vitest'
import { explainDenial, intentionTableOf } from '../../../src/l7/rbac/explain.js'
import type { Intention, IntentionTable } from '../../../src/model/intention.js'
import type { JsonValue } from '../../../src/model/metadata.js'
import type { RbacRules } from '../../../src/model/rbac.js'
import { connection, head, info, mesh } from '../request-fixtures.js'

const ID = (service: string, namespace = 'default', partition = '') =>
  `spiffe://td.consul${partition === '' ? '' : `/ap/${partition}`}/ns/${namespace}/dc/dc1/svc/${service}`
const NO_RULES: RbacRules = { action: 'ALLOW', policies: [] }

const row = (source: string, fields: Partial<Intention> = {}): Intention => ({
  name: `${source} -> api`,
  source,
  destination: 'api',
  precedence: 9,
  action: 'deny',
  ...fields,
})
const table = (...intentions: Intention[]): IntentionTable => ({ destination: 'api', defaultAction: 'deny', intentions })
const input = (uri: string, path = '/', fields = {}, headers: readonly (readonly [string, string])[] = []) => {
  const request = head(path, fields, headers)
  const of = mesh(uri)
  return { connection: of, head: request, info: info(request, of) }
}

describe('by intentions', () => {
  it('names the intention that denies', () => {
    expect(explainDenial(table(row('batch'), row('*')), NO_RULES, input(ID('batch')))).toEqual({
      intention: 'batch -> api',
      reason: 'intention "batch -> api" denies',
    })
  })

  it('says when none matched, and what the default is (envoyproxy/envoy#36346)', () => {
    expect(explainDenial(table(row('batch')), NO_RULES, input(ID('web')))).toEqual({
      intention: '',
      reason: 'no intention matched web -> api; default deny',
    })
    expect(explainDenial(table(), NO_RULES, { connection: connection(), head: null, info: null }).reason).toBe(
      'the peer has no mesh identity; default deny',
    )
  })

  it('says how near a request came: the source matched, the path did not', () => {
    const permissions = [
      { action: 'allow', path: { kind: 'prefix', value: '/public' } },
      { action: 'allow', path: { kind: 'exact', value: '/admin' }, methods: ['POST'] },
    ] as const
    const t = table(row('web', { action: 'permissions', permissions }))
    expect(explainDenial(t, NO_RULES, input(ID('web'), '/other?x')).reason).toBe(
      'intention "web -> api": source matched, path /other did not; default deny',
    )
    expect(explainDenial(t, NO_RULES, input(ID('web'), '/admin')).reason).toBe(
      'intention "web -> api": source matched, method GET did not; default deny',
    )
  })

  it('names the permission that denies, or the missing token', () => {
    const denies = table(
      row('web', {
        action: 'permissions',
        permissions: [{ action: 'deny', path: { kind: 'regex', value: '/adm.*' }, headers: [{ name: 'x-a', kind: 'present' }] }],
      }),
    )
    expect(explainDenial(denies, NO_RULES, input(ID('web'), '/admin', {}, [['x-a', '1']])).reason).toBe(
      'intention "web -> api" denies by permission 1 (path regex /adm.*, headers x-a)',
    )
    const jwt = table(row('web', { action: 'permissions', permissions: [{ action: 'allow', jwt: true }] }))
    expect(explainDenial(jwt, NO_RULES, input(ID('web'))).reason).toContain('needs a valid JWT')
  })

  it('matches sources by tenancy as the control plane writes them', () => {
    const t = table(row('ns1/web'), row('part/ns1/*'), row('*/*'))
    const named = (uri: string) => explainDenial(t, NO_RULES, input(uri)).intention
    expect(named(ID('web', 'ns1'))).toBe('ns1/web -> api')
    expect(named(ID('any', 'ns1', 'part'))).toBe('part/ns1/* -> api')
    expect(named(ID('web'))).toBe('*/* -> api')
  })

  it('repeats nothing of a request that could break a header or a log line', () => {
    const t = table(row('web', { action: 'permissions', permissions: [{ action: 'allow', path: { kind: 'exact', value: '/a' } }] }))
    const { reason } = explainDenial(t, NO_RULES, input(ID('web'), `/\x1b[31m\r\n${'x'.repeat(500)}`))
    expect(reason).toMatch(/^[\x20-\x7e]*$/)
    expect(reason.length).toBeLessThan(250)
  })
})

describe('by rules, without a table', () => {
  const authenticated = (value: string) => ({ kind: 'authenticated', matcher: { kind: 'exact', value, ignoreCase: false } }) as const
  it('names the policy that denies', () => {
    const rules: RbacRules = {
      action: 'DENY',
      policies: [{ name: 'no-batch', permissions: [{ kind: 'any' }], principals: [authenticated(ID('batch'))] }],
    }
    expect(explainDenial(null, rules, input(ID('batch')))).toEqual({ intention: 'no-batch', reason: 'policy "no-batch" denies' })
  })

  it('names the nearest miss', () => {
    const rules: RbacRules = {
      action: 'ALLOW',
      policies: [
        {
          name: 'web-public',
          permissions: [{ kind: 'and', rules: [{ kind: 'urlPath', matcher: { kind: 'prefix', value: '/public', ignoreCase: false } }] }],
          principals: [authenticated(ID('web'))],
        },
      ],
    }
    expect(explainDenial(null, rules, input(ID('web'), '/admin'))).toEqual({
      intention: 'web-public',
      reason: 'policy "web-public": source matched, path /admin did not; default deny',
    })
    expect(explainDenial(null, rules, input(ID('api'), '/public/x')).reason).toBe(
      'no policy matched (policy "web-public" permits it, to other sources); default deny',
    )
    expect(explainDenial(null, rules, input(ID('api'), '/x')).reason).toBe('no policy matched; default deny')
    expect(explainDenial(null, NO_RULES, input(ID('api')))).toEqual({ intention: '', reason: 'there are no policies; default deny' })
  })
})

describe('intentionTableOf', () => {
  const of = (value: JsonValue) => intentionTableOf(new Map([['outrigger', { intentions: value }]]))
  it('reads what the control plane writes', () => {
    const written = JSON.parse(
      JSON.stringify(
        table(
          row('web', {
            action: 'permissions',
            permissions: [
              {
                action: 'allow',
                path: { kind: 'exact', value: '/a' },
                methods: ['GET'],
                headers: [{ name: 'x', kind: 'present' }],
                jwt: true,
              },
            ],
          }),
        ),
      ),
    ) as JsonValue
    expect(of(written)).toEqual(written)
  })

  it.each([
    [null],
    [[]],
    [{}],
    [{ destination: 'a', defaultAction: 'maybe', intentions: [] }],
    [{ destination: 'a', defaultAction: 'deny', intentions: [{ name: 'x' }] }],
    [
      {
        destination: 'a',
        defaultAction: 'deny',
        intentions: [{ ...row('web'), permissions: [{ action: 'allow', path: { kind: 'odd', value: 1 } }] }],
      },
    ],
  ] as JsonValue[][])('is absent when it is not one: %j', value => {
    expect(of(value!)).toBeNull()
  })

  it('is absent without metadata', () => {
    expect(intentionTableOf(new Map())).toBeNull()
  })
})
