import { equals, fromBinary, toBinary, toJson } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ConfigEntryIndex, ServiceIntentions } from '../../../src/control/config-entries/types.js'
import { type CompileOptions, compileIntentions, jwtIssuers } from '../../../src/control/intentions/compile.js'
import { decide } from '../../../src/control/intentions/decide.js'
import { explainIntention } from '../../../src/control/intentions/explain.js'
import { intentionsFor } from '../../../src/control/intentions/match.js'
import { toRbacProto } from '../../../src/control/intentions/rbac-proto.js'
import { intentionTable } from '../../../src/control/intentions/table.js'
import { workloadIds } from '../../../src/control/spiffe/workload-ids.js'
import { RBACSchema } from '../../../src/xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import { entries, entry, intentions } from '../discovery-chain/entries.js'
import { rbacAllows } from './rbac-evaluator.js'

const TD = 'td.consul'
const deny: CompileOptions = { defaultAction: 'deny', http: true, trustDomain: TD }
const allow: CompileOptions = { ...deny, defaultAction: 'allow' }
const tcp: CompileOptions = { ...deny, http: false }

const spiffe = (service: string) => `spiffe://${TD}/ns/default/dc/dc1/svc/${service}`
const pattern = (service: string) => `^spiffe://td\\.consul/ns/default/dc/[^/]+/svc/${service}$`
const id = (service: string) => ({ authenticated: { principalName: { safeRegex: { regex: pattern(service) } } } })
const path = (kind: 'exact' | 'prefix', value: string) => ({ urlPath: { path: { [kind]: value } } })
const method = (regex: string) => ({ header: { name: ':method', stringMatch: { safeRegex: { regex } } } })

const rbac = (index: ConfigEntryIndex, options: CompileOptions, destination = 'api') =>
  toRbacProto(compileIntentions(intentionsFor(index, destination), options))
const json = (index: ConfigEntryIndex, options: CompileOptions, destination = 'api') =>
  toJson(RBACSchema, rbac(index, options, destination))

const admits = (index: ConfigEntryIndex, options: CompileOptions, service: string, target = 'GET /', destination = 'api') => {
  const [verb, at] = target.split(' ') as [string, string]
  const headers = new Map([
    [':method', verb],
    [':path', at],
  ])
  return rbacAllows(rbac(index, options, destination), { uri: spiffe(service), headers })
}

const l7 = (...Permissions: Record<string, unknown>[]) => intentions('api', { Name: 'web', Permissions })
const perm = (Action: string, HTTP: Record<string, unknown>) => ({ Action, HTTP })

describe('a service that a Workload API knows by another id', () => {
  const template = 'spiffe://spire.test/mesh/{service}'
  const knows = (...services: [name: string, id: string][]) => [
    { Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_spiffe_id: template } },
    ...services.map(([Name, outrigger_spiffe_id]) => ({ Kind: 'service-defaults', Name, Meta: { outrigger_spiffe_id } })),
  ]
  const admitsId = (options: CompileOptions, uri: string, sources: Record<string, unknown>[], others: ReturnType<typeof knows>) => {
    const index = entries(intentions('api', ...sources), ...others)
    return rbacAllows(rbac(index, { ...options, workloadIds: workloadIds(index, 'dc1', ['partner.test']) }), { uri, headers: new Map() })
  }
  const exceptBatch = [
    { Name: '*', Action: 'allow' },
    { Name: 'batch', Action: 'deny' },
  ]

  test.each(['', 'spiffe://spire.test/jobs/batch'])('is denied by either, also where its entry says %j', own => {
    const others = knows(['batch', own])
    for (const uri of [spiffe('batch'), 'spiffe://spire.test/mesh/batch', ...(own === '' ? [] : [own])]) {
      expect([uri, admitsId(deny, uri, exceptBatch, others)]).toEqual([uri, false])
      expect([uri, admitsId(allow, uri, exceptBatch.slice(1), others)]).toEqual([uri, false])
    }
    expect(admitsId(deny, 'spiffe://spire.test/mesh/web', exceptBatch, others)).toBe(true)
  })

  test('is let in by those that it is known by alone', () => {
    const others = knows(['web', 'spiffe://spire.test/web'])
    const web = [{ Name: 'web', Action: 'allow' }]
    const nobodyElse = [...web, { Name: '*', Action: 'deny' }]
    for (const [options, sources] of [
      [deny, web],
      [allow, nobodyElse],
    ] as const) {
      expect(admitsId(options, 'spiffe://spire.test/web', [...sources], others)).toBe(true)
      expect(admitsId(options, 'spiffe://spire.test/mesh/web', [...sources], others)).toBe(false)
    }
  })

  test('* denies every workload of its trust domains where all else is let in, and lets in services alone', () => {
    const all = (Action: string) => [{ Name: '*', Action }]
    for (const uri of ['spiffe://spire.test/mesh/web', 'spiffe://spire.test/other/thing', 'spiffe://partner.test/anything'])
      expect([uri, admitsId(allow, uri, all('deny'), knows())]).toEqual([uri, false])
    expect(admitsId(deny, 'spiffe://spire.test/mesh/web', all('allow'), knows())).toBe(true)
    expect(admitsId(deny, 'spiffe://spire.test/other/thing', all('allow'), knows())).toBe(false)
  })

  test('* denies no workload that is named by its federation', () => {
    const sources = [
      { Name: '*', Action: 'deny' },
      { Name: '*', Peer: 'partner', Action: 'allow' },
    ]
    const partner = { trustDomain: 'partner.test', exportedPartition: 'default', idPattern: () => '^spiffe://partner\\.test/.+$' }
    const options = { ...allow, peers: new Map([['partner', partner]]) }
    expect(admitsId(options, 'spiffe://partner.test/billing', sources, knows())).toBe(true)
    expect(admitsId(options, 'spiffe://spire.test/other/thing', sources, knows())).toBe(false)
  })
})

describe('RBAC in Consul’s form', () => {
  test('default deny and no intentions: ALLOW without policies, which denies everything', () => {
    expect(json(entries(), deny)).toEqual({})
    expect(admits(entries(), deny, 'web')).toBe(false)
  })

  test('default allow and no intentions: DENY without policies, which allows everything', () => {
    expect(json(entries(), allow)).toEqual({ action: 'DENY' })
    expect(admits(entries(), allow, 'web')).toBe(true)
  })

  test('L4 sources share one policy', () => {
    const index = entries(intentions('api', { Name: 'web', Action: 'allow' }, { Name: 'batch', Action: 'allow' }))
    expect(json(index, tcp)).toEqual({
      policies: { 'consul-intentions-layer4': { permissions: [{ any: true }], principals: [id('batch'), id('web')] } },
    })
  })

  test('a wildcard is [^/]+, and the sources above it are subtracted', () => {
    const index = entries(
      intentions('api', { Name: '*', Action: 'allow' }, { Name: 'bad', Action: 'deny' }, { Name: 'web', Action: 'allow' }),
    )
    expect(json(index, tcp)).toEqual({
      policies: {
        'consul-intentions-layer4': {
          permissions: [{ any: true }],
          principals: [id('web'), { andIds: { ids: [id('[^/]+'), { notId: id('bad') }, { notId: id('web') }] } }],
        },
      },
    })
  })

  test('permissions: one policy a source, first match wins by subtraction', () => {
    const index = entries(
      l7(
        perm('deny', { PathExact: '/admin' }),
        perm('allow', { PathPrefix: '/', Methods: ['get', 'POST'] }),
        perm('allow', { PathExact: '/put' }),
      ),
      intentions('*', { Name: 'ops', Action: 'allow' }),
    )
    const first = { andRules: { rules: [path('prefix', '/'), method('GET|POST')] } }
    expect(json(index, deny)).toEqual({
      policies: {
        'consul-intentions-layer4': { permissions: [{ any: true }], principals: [id('ops')] },
        'consul-intentions-layer7-0': {
          principals: [id('web')],
          permissions: [
            { andRules: { rules: [first, { notRule: path('exact', '/admin') }] } },
            { andRules: { rules: [path('exact', '/put'), { notRule: path('exact', '/admin') }, { notRule: first }] } },
          ],
        },
      },
    })
  })

  test('header matchers of all kinds', () => {
    const Header = [
      { Name: 'X-Present', Present: true },
      { Name: 'x-e', Exact: 'E', IgnoreCase: true },
      { Name: 'x-p', Prefix: 'p' },
      { Name: 'x-s', Suffix: 's', Invert: true },
      { Name: 'x-c', Contains: 'c' },
      { Name: 'x-r', Regex: 'r.*' },
    ]
    const index = entries(l7(perm('allow', { PathRegex: '/v[0-9]+', Header })))
    expect(json(index, deny)).toMatchObject({
      policies: {
        'consul-intentions-layer7-0': {
          permissions: [
            {
              andRules: {
                rules: [
                  { urlPath: { path: { safeRegex: { regex: '/v[0-9]+' } } } },
                  { header: { name: 'x-present', presentMatch: true } },
                  { header: { name: 'x-e', stringMatch: { exact: 'E', ignoreCase: true } } },
                  { header: { name: 'x-p', stringMatch: { prefix: 'p' } } },
                  { header: { name: 'x-s', stringMatch: { suffix: 's' }, invertMatch: true } },
                  { header: { name: 'x-c', stringMatch: { contains: 'c' } } },
                  { header: { name: 'x-r', stringMatch: { safeRegex: { regex: 'r.*' } } } },
                ],
              },
            },
          ],
        },
      },
    })
  })

  test('an L7 intention on a tcp service denies its source, and only that', () => {
    const index = entries(l7(perm('allow', { PathPrefix: '/' })), intentions('*', { Name: '*', Action: 'allow' }))
    expect(admits(index, tcp, 'web')).toBe(false)
    expect(admits(index, tcp, 'batch')).toBe(true)
    expect(admits(index, { ...tcp, defaultAction: 'allow' }, 'web')).toBe(false)
    expect(JSON.stringify(json(index, tcp))).not.toContain('layer7')
  })

  test('another partition is /ap/<name>', () => {
    const source = { ...intentionsFor(entries(intentions('api', { Name: 'web', Action: 'allow' })), 'api')[0]!, sourcePartition: 'team.a' }
    const compiled = toJson(RBACSchema, toRbacProto(compileIntentions([source], tcp)))
    expect(JSON.stringify(compiled)).toContain(
      JSON.stringify('^spiffe://td\\.consul/ap/team\\.a/ns/default/dc/[^/]+/svc/web$').slice(1, -1),
    )
  })

  test('a peered source is known by its own trust domain, over http as over tcp', () => {
    const index = entries(intentions('api', { Name: 'web', Peer: 'east', Action: 'allow' }))
    const peers = new Map([['east', { trustDomain: 'east.consul', exportedPartition: 'default' }]])
    const regex = '^spiffe://east\\.consul/ns/default/dc/[^/]+/svc/web$'
    for (const options of [tcp, deny]) {
      expect(json(index, { ...options, peers })).toMatchObject({
        policies: { 'consul-intentions-layer4': { principals: [{ authenticated: { principalName: { safeRegex: { regex } } } }] } },
      })
      const asks = (uri: string) => rbacAllows(rbac(index, { ...options, peers }), { uri, headers: new Map() })
      expect(asks('spiffe://east.consul/ns/default/dc/dc9/svc/web')).toBe(true)
      expect(asks('spiffe://east.consul/ns/default/dc/dc9/svc/other')).toBe(false)
      expect(asks(spiffe('web'))).toBe(false)
    }
    // Nobody is known of a peer that has not told of itself.
    expect(json(index, deny)).toEqual({})
  })

  const claims = [{ Path: ['org', 'role'], Value: 'admin' }]
  const jwt = { Providers: [{ Name: 'okta', VerifyClaims: claims }, { Name: 'other' }] }
  const providers = [
    { Kind: 'jwt-provider', Name: 'okta', Issuer: 'https://okta', JSONWebKeySet: { Local: { Filename: '/k' } } },
    { Kind: 'jwt-provider', Name: 'other', JSONWebKeySet: { Local: { Filename: '/k' } } },
  ]

  test('a JWT requirement is metadata of the JWT filter, with the issuer', () => {
    const index = entries({ ...intentions('api', { Name: 'web', Action: 'allow' }), JWT: jwt }, ...providers)
    const metadata = (keys: string[], value: Record<string, unknown>) => ({
      metadata: { filter: 'envoy.filters.http.jwt_authn', path: keys.map(key => ({ key })), value },
    })
    const okta = [
      metadata(['jwt_payload_okta', 'iss'], { stringMatch: { exact: 'https://okta' } }),
      metadata(['jwt_payload_okta', 'org', 'role'], { stringMatch: { exact: 'admin' } }),
    ]
    const either = { orIds: { ids: [{ andIds: { ids: okta } }, metadata(['jwt_payload_other'], { presentMatch: true })] } }
    expect(json(index, { ...deny, jwtIssuers: jwtIssuers(index) })).toEqual({
      policies: { 'consul-intentions-layer4': { permissions: [{ any: true }], principals: [{ andIds: { ids: [id('web'), either] } }] } },
    })
  })

  test.each(['deny', 'allow'] as const)('a JWT requirement is enforced under default %s, on entries and on permissions', defaultAction => {
    const onEntry = entries({ ...intentions('api', { Name: 'web', Action: 'allow' }), JWT: jwt }, ...providers)
    const onPermission = entries(l7({ ...perm('allow', { PathPrefix: '/a' }), JWT: jwt }, perm('allow', { PathPrefix: '/' })), ...providers)
    for (const index of [onEntry, onPermission]) {
      const message = rbac(index, { ...deny, defaultAction, jwtIssuers: jwtIssuers(index) })
      const wire = (at: string, payload?: unknown) =>
        rbacAllows(message, {
          uri: spiffe('web'),
          headers: new Map([[':path', at]]),
          jwt: payload === undefined ? new Map() : new Map([['jwt_payload_okta', payload]]),
        })
      expect(wire('/a', { iss: 'https://okta', org: { role: 'admin' } })).toBe(true)
      expect(wire('/a', { iss: 'https://okta', org: { role: 'user' } })).toBe(false)
      expect(wire('/a', { iss: 'https://evil', org: { role: 'admin' } })).toBe(false)
      // The permission that asks for a token decides; it does not fall through to the one after it.
      expect(wire('/a')).toBe(false)
      if (index === onPermission) expect(wire('/b')).toBe(true)
    }
  })

  test('over tcp a JWT requirement denies', () => {
    const index = entries({ ...intentions('api', { Name: 'web', Action: 'allow' }), JWT: jwt })
    expect(admits(index, tcp, 'web')).toBe(false)
    expect(admits(index, { ...tcp, defaultAction: 'allow' }, 'web')).toBe(false)
  })
})

describe('known holes', () => {
  test('CVE-2021-36213: default deny with a single L7 deny intention still denies the rest', () => {
    const index = entries(l7(perm('deny', { PathPrefix: '/admin' })))
    expect(json(index, deny)).toEqual({})
    expect(admits(index, deny, 'web', 'GET /')).toBe(false)
    expect(admits(index, deny, 'web', 'GET /admin')).toBe(false)
    expect(admits(index, allow, 'web', 'GET /')).toBe(true)
    expect(admits(index, allow, 'web', 'GET /admin')).toBe(false)
  })

  test('consul#23900: the dot in "web.api" does not match "web-api"', () => {
    const index = entries(intentions('api', { Name: 'web.api', Action: 'allow' }))
    expect(admits(index, tcp, 'web.api')).toBe(true)
    expect(admits(index, tcp, 'web-api')).toBe(false)
    expect(admits(index, tcp, 'webxapi')).toBe(false)
  })

  test.each([
    ['a|b', ['a', 'b', 'a|']],
    ['a+', ['a', 'aa']],
    ['[ab]', ['a', 'b']],
    ['a(b)', ['ab']],
    ['a{2}', ['aa']],
    ['a^b$', ['ab']],
    ['.+', ['a', 'web']],
  ])('consul#23900: the name %s matches only itself', (name, others) => {
    const index = entries(intentions('api', { Name: name, Action: 'allow' }))
    expect(admits(index, tcp, name)).toBe(true)
    for (const other of others) expect(admits(index, tcp, other), other).toBe(false)
  })

  test('the dots of the trust domain match only dots', () => {
    const message = rbac(entries(intentions('api', { Name: '*', Action: 'allow' })), tcp)
    expect(rbacAllows(message, { uri: 'spiffe://tdxconsul/ns/default/dc/dc1/svc/web', headers: new Map() })).toBe(false)
  })

  test('a name is one segment: neither a longer path nor a suffix matches', () => {
    const message = rbac(entries(intentions('api', { Name: '*', Action: 'allow' })), tcp)
    const uris = ['/ns/default/dc/dc1/svc/web/x', '/ns/default/dc/dc1/svc/', '/ns/other/dc/dc1/svc/web', '/ap/p/ns/default/dc/dc1/svc/web']
    for (const uri of uris) expect(rbacAllows(message, { uri: `spiffe://${TD}${uri}`, headers: new Map() }), uri).toBe(false)
  })

  test('consul#8466: L7 intentions met by a tcp listener compile to L4, without a throw', () => {
    const index = entries(l7(perm('allow', { PathPrefix: '/' })))
    expect(json(index, tcp)).toEqual({})
  })

  test('a wildcard source on the service stands above an exact source on the wildcard destination', () => {
    const index = entries(intentions('api', { Name: '*', Action: 'deny' }), intentions('*', { Name: 'web', Action: 'allow' }))
    expect(admits(index, tcp, 'web')).toBe(false)
    expect(admits(index, tcp, 'web', 'GET /', 'other')).toBe(true)
  })
})

test('10,000 intentions compile in linear work, each wildcard subtracting them once', () => {
  const Sources = Array.from({ length: 9999 }, (_, i) => ({ Name: `s${i}`, Action: i % 2 === 0 ? 'allow' : 'deny' }))
  const index = entries(intentions('api', { Name: '*', Action: 'allow' }, ...Sources))
  const compiled = compileIntentions(intentionsFor(index, 'api'), tcp)
  const last = compiled.policies[0]!.principals.at(-1)!
  expect(compiled.policies[0]!.principals).toHaveLength(5001)
  expect(last.kind === 'and' && last.ids).toHaveLength(10_000)
})

describe('compiled equals decided', () => {
  const names = ['web', 'api', 'web.api', 'web-api', 'a|b']
  const action = fc.constantFrom('allow', 'deny')
  const header = fc
    .tuple(
      fc.constantFrom('x-a', 'x-b'),
      fc.constantFrom('Present', 'Exact', 'Prefix', 'Suffix', 'Contains', 'Regex'),
      fc.constantFrom('1', '12', 'A'),
      fc.boolean(),
      fc.boolean(),
    )
    .map(([Name, kind, value, Invert, IgnoreCase]) => ({
      Name,
      [kind]: kind === 'Present' ? true : kind === 'Regex' ? `${value}.*` : value,
      ...(Invert && { Invert }),
      ...(IgnoreCase && kind !== 'Present' && kind !== 'Regex' && { IgnoreCase }),
    }))
  const paths = ['/', '/a', '/a/b', '/admin']
  const http = fc
    .record(
      {
        path: fc.tuple(fc.constantFrom('PathExact', 'PathPrefix', 'PathRegex'), fc.constantFrom(...paths)),
        Header: fc.array(header, { minLength: 1, maxLength: 2 }),
        Methods: fc.uniqueArray(fc.constantFrom('GET', 'POST', 'PUT'), { minLength: 1 }),
      },
      { requiredKeys: [] },
    )
    .filter(fields => Object.keys(fields).length > 0)
    .map(({ path: at, ...rest }) => ({ ...(at && { [at[0]]: at[1] }), ...rest }))
  const jwt = fc.option(
    fc.constantFrom({ Providers: [{ Name: 'p' }] }, { Providers: [{ Name: 'p', VerifyClaims: [{ Path: ['role'], Value: 'x' }] }] }),
    {
      nil: undefined,
      freq: 4,
    },
  )
  const permission = fc
    .record({ Action: action, HTTP: http, JWT: jwt })
    .map(({ JWT, ...rest }) => (JWT === undefined ? rest : { ...rest, JWT }))
  const source = (wildcardDestination: boolean) =>
    fc
      .record({
        Name: fc.constantFrom(...names, '*'),
        Namespace: fc.constant('default'),
        Action: action,
        Permissions: fc.option(fc.array(permission, { minLength: 1, maxLength: 3 }), { nil: undefined }),
      })
      .map(({ Action, Permissions, ...rest }) =>
        Permissions === undefined || wildcardDestination ? { ...rest, Action } : { ...rest, Permissions },
      )
  const intentionEntry = (Name: string) =>
    fc
      .record({
        Sources: fc.uniqueArray(source(Name === '*'), {
          selector: ({ Name: n, Namespace }) => `${Namespace}/${n}`,
          minLength: 1,
          maxLength: 4,
        }),
        JWT: jwt,
      })
      .map(({ Sources, JWT }) => entry({ Kind: 'service-intentions', Name, Sources, ...(JWT && { JWT }) }) as ServiceIntentions)
  const request = fc.record({
    service: fc.constantFrom(...names, 'unknown'),
    namespace: fc.constantFrom('default', 'default', 'default', 'other', 'third'),
    method: fc.constantFrom('GET', 'POST', 'DELETE'),
    path: fc.constantFrom(...paths, '/a?x=/admin', '/adminx', '/other'),
    a: fc.option(fc.constantFrom('1', '12', '21', 'a', 'x')),
    b: fc.option(fc.constantFrom('1', 'A', 'bA')),
    payload: fc.option(fc.constantFrom<Record<string, string>>({ iss: 'i' }, { iss: 'i', role: 'x' }, { iss: 'i', role: 'y' })),
  })
  const world = fc.record({
    own: fc.option(intentionEntry('dest')),
    wild: fc.option(intentionEntry('*')),
    defaultAction: fc.constantFrom('allow' as const, 'deny' as const),
    isHttp: fc.boolean(),
    requests: fc.array(request, { minLength: 5, maxLength: 10 }),
  })

  test('for random intentions and requests, with both defaults and overlapping precedences', () => {
    const seen = { allowed: 0, denied: 0 }
    fc.assert(
      fc.property(world, ({ own, wild, defaultAction, isHttp, requests }) => {
        const index: ConfigEntryIndex = {
          get: (kind, name) => (kind === 'service-intentions' ? ((name === '*' ? wild : own) ?? undefined) : undefined) as never,
          list: () => [],
        }
        const list = intentionsFor(index, 'dest')
        const options = { defaultAction, http: isHttp, trustDomain: TD, jwtIssuers: new Map([['p', 'i']]) }
        const message = toRbacProto(compileIntentions(list, options))
        const table = JSON.parse(JSON.stringify(intentionTable('dest', list, options)))
        for (const { service, namespace, method: verb, path: at, a, b, payload } of requests) {
          const headers = new Map<string, string>()
          if (a !== null) headers.set('x-a', a)
          if (b !== null) headers.set('x-b', b)
          const decision = decide(
            list,
            { source: { service, namespace }, method: verb, path: at, headers, jwt: new Map(payload === null ? [] : [['p', payload]]) },
            options,
          )
          const wire = rbacAllows(message, {
            uri: `spiffe://${TD}/ns/${namespace}/dc/dc1/svc/${service}`,
            headers: new Map([...headers, [':method', verb], [':path', at]]),
            jwt: new Map(payload === null ? [] : [['jwt_payload_p', payload]]),
          })
          expect(wire).toBe(decision.allowed)
          // The table knows of a token only whether there is one; without any all three agree.
          if (payload === null) {
            const from = namespace === 'default' ? service : `${namespace}/${service}`
            const explained = explainIntention(table, { source: from, method: verb, path: at, headers })
            expect(explained.allowed, explained.reason).toBe(decision.allowed)
            expect(explained.intention).toBe(decision.intention?.name)
          }
          seen[decision.allowed ? 'allowed' : 'denied']++
        }
      }),
      { seed: 20260101, numRuns: 800 },
    )
    // Both answers must have occurred often, or the property says little.
    expect(Math.min(seen.allowed, seen.denied)).toBeGreaterThan(500)
  })
})

test('the message survives the wire', () => {
  const Header = [{ Name: 'x-a', Contains: 'b', IgnoreCase: true, Invert: true }]
  const index = entries(l7(perm('deny', { PathRegex: '/a.*', Header }), perm('allow', { Methods: ['GET'] })))
  const message = rbac(index, deny)
  const back = fromBinary(RBACSchema, toBinary(RBACSchema, message))
  expect(equals(RBACSchema, back, message)).toBe(true)
  expect(Object.keys(back.policies)).toEqual(['consul-intentions-layer7-0'])
})
