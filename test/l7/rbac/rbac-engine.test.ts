import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { identityPatternOf } from '../../../src/l7/rbac/identity-index.js'
import { compileRbac } from '../../../src/l7/rbac/rbac-engine.js'
import type { RbacInput } from '../../../src/l7/rbac/rbac-input.js'
import type { StringMatcher } from '../../../src/model/matcher.js'
import type { RbacPermission, RbacPolicy, RbacPrincipal, RbacRules } from '../../../src/model/rbac.js'
import { connection, head, info, mesh, peer, tls } from '../request-fixtures.js'

const TD = '11111111-2222-3333-4444-555555555555.consul'
const id = (service: string, dc = 'dc1', namespace = 'default') => `spiffe://${TD}/ns/${namespace}/dc/${dc}/svc/${service}`
const consulRegex = (service: string, namespace = 'default') =>
  `^spiffe://${TD.replaceAll('.', '\\.')}/ns/${namespace}/dc/[^/]+/svc/${service}$`
const regex = (value: string): StringMatcher => ({ kind: 'regex', value })
const authenticated = (matcher: StringMatcher | null): RbacPrincipal => ({ kind: 'authenticated', matcher })
const source = (service: string, namespace?: string) => authenticated(regex(consulRegex(service, namespace)))
const ANY: RbacPermission = { kind: 'any' }
const ANYONE: RbacPrincipal = { kind: 'any' }
const exact = (value: string): StringMatcher => ({ kind: 'exact', value, ignoreCase: false })

const policy = (name: string, principals: RbacPrincipal[], permissions: RbacPermission[] = [ANY]): RbacPolicy => ({
  name,
  principals,
  permissions,
})
const rules = (action: RbacRules['action'], ...policies: RbacPolicy[]): RbacRules => ({ action, policies })
const request = (of = connection(), path = '/', fields = {}, headers: readonly (readonly [string, string])[] = []): RbacInput => {
  const made = head(path, fields, headers)
  return { connection: of, head: made, info: info(made, of) }
}
const network = (of = connection()): RbacInput => ({ connection: of, head: null, info: null })
const decide = (of: RbacRules, input: RbacInput) => compileRbac(of).decide(input)

describe('actions', () => {
  it('fail closed without policies: ALLOW denies all, DENY allows all', () => {
    expect(decide(rules('ALLOW'), network())).toEqual({ allowed: false, policy: null })
    expect(decide(rules('DENY'), network())).toEqual({ allowed: true, policy: null })
  })

  it('name the first matching policy in the order of names', () => {
    const all = [policy('b', [ANYONE]), policy('a', [ANYONE]), policy('c', [ANYONE])]
    expect(decide(rules('ALLOW', ...all), network())).toEqual({ allowed: true, policy: 'a' })
    expect(decide(rules('DENY', ...all), network())).toEqual({ allowed: false, policy: 'a' })
    expect(decide(rules('LOG', ...all), network())).toEqual({ allowed: true, policy: 'a', logHint: true })
  })

  it('deny by default when the only intention is an L7 deny (CVE-2021-36213)', () => {
    // Consul compiles default deny with one deny permission to an ALLOW set whose permission is never met.
    const compiled = rules('ALLOW', policy('consul-intentions-layer7-0', [source('web')], [{ kind: 'not', rule: ANY }]))
    expect(decide(compiled, request(mesh(id('web')))).allowed).toBe(false)
    expect(decide(compiled, request(mesh(id('api')))).allowed).toBe(false)
  })
})

describe('identities', () => {
  const allowWeb = rules('ALLOW', policy('consul-intentions-layer4', [source('web')]))

  it('match Consul’s regexes, any datacenter', () => {
    expect(decide(allowWeb, network(mesh(id('web'))))).toEqual({ allowed: true, policy: 'consul-intentions-layer4' })
    expect(decide(allowWeb, network(mesh(id('web', 'dc2')))).allowed).toBe(true)
    for (const other of [
      id('web2'),
      id('we'),
      id('web', ''),
      id('web', 'dc1', 'other'),
      `${id('web')}/x`,
      id('web').replace(TD, 'other.consul'),
      '',
    ])
      expect({ other, allowed: decide(allowWeb, network(mesh(other))).allowed }).toEqual({ other, allowed: false })
  })

  it('keep names with regex characters apart (consul#23900)', () => {
    const dotted = rules('ALLOW', policy('p', [source('web\\.api')]))
    expect(decide(dotted, network(mesh(id('web.api')))).allowed).toBe(true)
    expect(decide(dotted, network(mesh(id('web-api')))).allowed).toBe(false)
    for (const name of ['a|b', 'a+b', 'a[b'])
      expect(decide(rules('ALLOW', policy('p', [source(name.replace(/[|+[]/g, '\\$&'))])), network(mesh(id(name)))).allowed).toBe(true)
  })

  it('need a validated certificate to allow, and any to deny', () => {
    const claimed = connection({ tls: tls({ peer: peer({ validated: false, uriSans: [id('web')] }) }) })
    expect(decide(allowWeb, network(claimed)).allowed).toBe(false)
    expect(decide(rules('DENY', policy('p', [source('web')])), network(claimed)).allowed).toBe(false)
    const notWeb = rules('ALLOW', policy('p', [{ kind: 'not', id: source('web') }]))
    expect(decide(notWeb, network(claimed)).allowed).toBe(false)
  })

  it('take no SPIFFE id out of a DNS SAN or the subject (CVE-2022-21656)', () => {
    const spelt = connection({ tls: tls({ peer: peer({ dnsSans: [id('web')], subject: id('web') }) }) })
    expect(decide(allowWeb, network(spelt)).allowed).toBe(false)
    expect(decide(rules('ALLOW', policy('p', [authenticated(exact(id('web')))])), network(spelt)).allowed).toBe(false)
  })

  it('take the id, whatever URIs of other schemes stand around it', () => {
    const kuma = connection({ tls: tls({ peer: peer({ uriSans: ['kuma://version/v1', id('web'), 'kuma://zone/east'] }) }) })
    expect(decide(allowWeb, network(kuma)).allowed).toBe(true)
    for (const matcher of [exact(id('web')), exact('kuma://zone/east'), regex('kuma://.*')])
      expect(decide(rules('ALLOW', policy('p', [authenticated(matcher)])), network(kuma)).allowed).toBe(true)
    expect(decide(rules('ALLOW', policy('p', [authenticated(exact(id('api')))])), network(kuma)).allowed).toBe(false)
  })

  it('fall through URI SANs, DNS SANs, subject for other names, as Envoy does', () => {
    const named = connection({ tls: tls({ peer: peer({ uriSans: ['https://x'], dnsSans: ['web.example.com'], subject: 'CN=web' }) }) })
    for (const matcher of [exact('https://x'), exact('web.example.com'), exact('CN=web'), regex('.*example.*')])
      expect(decide(rules('ALLOW', policy('p', [authenticated(matcher)])), network(named)).allowed).toBe(true)
    expect(decide(rules('ALLOW', policy('p', [authenticated(exact('CN=api'))])), network(named)).allowed).toBe(false)
    expect(decide(rules('ALLOW', policy('p', [authenticated(null)])), network(named)).allowed).toBe(true)
    expect(decide(rules('ALLOW', policy('p', [authenticated(null)])), network()).allowed).toBe(false)
  })

  it('are recognised where the table says what the regex says, and only there', () => {
    expect(identityPatternOf(regex('^spiffe://td\\.x/ns/default/dc/[^/]+/svc/web$'))).toEqual([
      'spiffe:',
      '',
      'td.x',
      'ns',
      'default',
      'dc',
      null,
      'svc',
      'web',
    ])
    expect(identityPatternOf(exact('spiffe://td/ns/a'))).toEqual(['spiffe:', '', 'td', 'ns', 'a'])
    for (const value of [
      '^spiffe://td/.*$',
      '^spiffe://td/svc/(a|b)$',
      '^spiffe://td/svc/a.b$',
      '^spiffe://t$d/x$',
      'https://x',
      '^spiffe://td/a[^/]+$',
      '^spiffe://td/\\d$',
      'spiffe://a|b',
    ])
      expect({ value, pattern: identityPatternOf(regex(value)) }).toEqual({ value, pattern: null })
  })
})

describe('principals and permissions', () => {
  const allows = (principal: RbacPrincipal, input: RbacInput) => decide(rules('ALLOW', policy('p', [principal])), input).allowed
  const permits = (permission: RbacPermission, input: RbacInput) =>
    decide(rules('ALLOW', policy('p', [ANYONE], [permission])), input).allowed
  const range = { address: '10.1.0.0', prefixLength: 16 }

  it('combine', () => {
    const web = mesh(id('web'))
    expect(
      allows(
        { kind: 'and', ids: [source('[^/]+'), { kind: 'not', id: { kind: 'or', ids: [source('api'), source('db')] } }] },
        network(web),
      ),
    ).toBe(true)
    expect(
      allows(
        { kind: 'and', ids: [source('[^/]+'), { kind: 'not', id: { kind: 'or', ids: [source('api'), source('web')] } }] },
        network(web),
      ),
    ).toBe(false)
    expect(
      permits(
        { kind: 'and', rules: [ANY, { kind: 'not', rule: { kind: 'or', rules: [{ kind: 'destinationPort', port: 80 }] } }] },
        network(),
      ),
    ).toBe(true)
  })

  it('look at addresses and ports', () => {
    const proxied = connection({ remoteAddress: '10.1.0.1', directRemoteAddress: '192.168.0.1' })
    expect(allows({ kind: 'sourceIp', range }, network(proxied))).toBe(true)
    expect(allows({ kind: 'directRemoteIp', range }, network(proxied))).toBe(false)
    const forwarded = request(proxied)
    forwarded.info!.remoteAddress = '8.8.8.8'
    expect(allows({ kind: 'remoteIp', range }, forwarded)).toBe(false)
    expect(allows({ kind: 'remoteIp', range }, network(proxied))).toBe(true)
    expect(permits({ kind: 'destinationIp', range: { address: '10.0.0.1', prefixLength: 32 } }, network())).toBe(true)
    expect(permits({ kind: 'destinationPort', port: 443 }, network())).toBe(true)
    expect(permits({ kind: 'destinationPortRange', start: 400, end: 443 }, network())).toBe(false)
    expect(permits({ kind: 'destinationPortRange', start: 443, end: 444 }, network())).toBe(true)
    expect(permits({ kind: 'requestedServerName', matcher: exact('api') }, network(connection({ requestedServerName: 'api' })))).toBe(true)
  })

  it('look at paths without query and fragment, and at headers', () => {
    const path: RbacPermission = { kind: 'urlPath', matcher: exact('/admin') }
    expect(permits(path, request(undefined, '/admin?x'))).toBe(true)
    expect(permits(path, request(undefined, '/admin/'))).toBe(false)
    expect(permits(path, network())).toBe(false)
    expect(permits({ kind: 'not', rule: path }, network())).toBe(true)
    const method = {
      kind: 'header',
      header: { name: ':method', match: { kind: 'string', matcher: regex('GET|POST') }, invert: false, treatMissingAsEmpty: false },
    } as const
    expect(permits(method, request())).toBe(true)
    expect(permits(method, request(undefined, '/', { method: 'PUT' }))).toBe(false)
    expect(permits(method, network())).toBe(false)
  })

  it('do not crash on CONNECT without a path (CVE-2026-73547)', () => {
    expect(
      permits(
        { kind: 'urlPath', matcher: { kind: 'prefix', value: '/', ignoreCase: false } },
        request(undefined, '', { method: 'CONNECT' }),
      ),
    ).toBe(false)
  })

  it('look at JWT claims', () => {
    const claim: RbacPrincipal = {
      kind: 'metadata',
      matcher: {
        namespace: 'envoy.filters.http.jwt_authn',
        path: ['jwt_payload_p', 'iss'],
        value: { kind: 'string', matcher: exact('me') },
        invert: false,
      },
    }
    const input = request()
    expect(allows(claim, input)).toBe(false)
    input.info!.setDynamicMetadata('envoy.filters.http.jwt_authn', 'jwt_payload_p', { iss: 'me' })
    expect(allows(claim, input)).toBe(true)
    expect(allows(claim, network())).toBe(false)
  })

  it('look at metadata of the route', () => {
    const labelled: RbacPrincipal = {
      kind: 'routeMetadata',
      matcher: { namespace: 'labels', path: ['tier'], value: { kind: 'string', matcher: exact('gold') }, invert: false },
    }
    const input = request()
    input.info!.setDynamicMetadata('labels', 'tier', 'gold')
    expect(allows(labelled, input)).toBe(false)
    input.info!.routeMetadata = new Map([['labels', { tier: 'gold' }]])
    expect(allows(labelled, input)).toBe(true)
    expect(allows(labelled, network())).toBe(false)
    const rule = rules('ALLOW', policy('p', [ANYONE], [labelled as RbacPermission]))
    expect([decide(rule, input).allowed, decide(rule, request()).allowed]).toEqual([true, false])
  })

  it('evaluate all values of a header, deny winning (CVE-2020-25017, CVE-2024-10006, CVE-2026-26308)', () => {
    const role = (value: string) =>
      ({
        kind: 'header',
        header: { name: 'x-role', match: { kind: 'string', matcher: exact(value) }, invert: false, treatMissingAsEmpty: false },
      }) as const
    const twice = request(undefined, '/', {}, [
      ['X-Role', 'user'],
      ['x-role', 'admin'],
    ])
    expect(decide(rules('DENY', policy('p', [ANYONE], [role('admin')])), twice).allowed).toBe(false)
    expect(permits(role('admin'), twice)).toBe(true)
    expect(permits(role('user,admin'), twice)).toBe(false)
    expect(permits({ kind: 'not', rule: role('admin') }, twice)).toBe(false)
    expect(permits({ kind: 'not', rule: role('guest') }, twice)).toBe(true)
  })
})

it('decides the same with tables and without', () => {
  const service = fc.constantFrom('web', 'api', 'db', 'web\\.api', 'a\\|b', '[^/]+')
  const namespace = fc.constantFrom('default', 'ns1', '[^/]+')
  const leaf: fc.Arbitrary<RbacPrincipal> = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(service, namespace).map(([s, n]) => source(s, n)) },
    fc.constantFrom<RbacPrincipal>(ANYONE, authenticated(null), authenticated(exact(id('api'))), authenticated(regex('.*/svc/w.*')), {
      kind: 'sourceIp',
      range: { address: '10.0.0.0', prefixLength: 8 },
    }),
  )
  const { principal } = fc.letrec<{ principal: RbacPrincipal }>(tie => ({
    principal: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      leaf,
      fc.array(tie('principal'), { minLength: 1, maxLength: 3 }).map((ids): RbacPrincipal => ({ kind: 'and', ids })),
      fc.array(tie('principal'), { minLength: 1, maxLength: 3 }).map((ids): RbacPrincipal => ({ kind: 'or', ids })),
      tie('principal').map((inner): RbacPrincipal => ({ kind: 'not', id: inner })),
    ),
  }))
  const permission = fc.constantFrom<RbacPermission>(ANY, { kind: 'urlPath', matcher: exact('/a') }, { kind: 'destinationPort', port: 80 })
  const ruleSet = fc.record({
    action: fc.constantFrom('ALLOW' as const, 'DENY' as const),
    policies: fc
      .array(fc.tuple(fc.array(principal, { minLength: 1, maxLength: 4 }), permission), { maxLength: 5 })
      .map(list => list.map(([principals, allowed], i) => policy(`p${(i * 7) % 5}-${i}`, principals, [allowed]))),
  })
  const peers = [
    connection(),
    connection({ tls: tls() }),
    ...['web', 'api', 'db', 'web.api', 'a|b', 'other', ''].flatMap(name => [
      mesh(id(name)),
      mesh(id(name, 'dc2', 'ns1')),
      mesh(`${id(name)}/`),
    ]),
    mesh(id('web'), id('api')),
    connection({ remoteAddress: '10.9.9.9', tls: tls({ peer: peer({ validated: false, uriSans: [id('web')] }) }) }),
    connection({ tls: tls({ peer: peer({ dnsSans: [id('web')], subject: 'CN=x/svc/w' }) }) }),
  ]
  fc.assert(
    fc.property(ruleSet, set => {
      const fast = compileRbac(set)
      const slow = compileRbac(set, { tables: false })
      for (const of of peers)
        for (const path of ['/a', '/b']) {
          const input = request(of, path)
          expect(fast.decide(input)).toEqual(slow.decide(input))
          // Candidates are cached per peer: the second decision is the first.
          expect(fast.decide(input)).toEqual(slow.decide(input))
        }
    }),
    { seed: 5, numRuns: 300 },
  )
})
