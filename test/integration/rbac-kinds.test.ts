// The HTTP RBAC filter through the real proxy: every kind of principal and permission, over mTLS, by a per-route override each; actions,
// shadow rules and what a rule set without a policy means.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ask, Front, Lettered, perFilter, to } from '../support/front-proxy.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { httpRbac, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const ca = new AnyCa()
const apps = new Lettered(1)
const identities = { web: ca.service('web'), batch: ca.service('batch') }
let front: Front

const as = (service: 'web' | 'batch', headers: Record<string, string> = {}, servername = 'api.test'): Ask => ({
  headers,
  secure: { ...clientOptions(identities[service], ca.pem), servername },
})

const any = [{ any: true }]
const permission = (...permissions: object[]): object => ({ permissions, principals: any })
const principal = (...principals: object[]): object => ({ permissions: any, principals })
const header = (name: string, exact: string): object => ({ header: { name, string_match: { exact } } })
const metadata = { filter: 'test', path: [{ key: 'role' }], value: { string_match: { prefix: 'adm' } } }
const cidr = (address_prefix: string, prefix_len: number): object => ({ address_prefix, prefix_len })
const sent = (role: string): Ask => as('web', { 'x-role': role })

/** [path after the case's prefix, request] */
type Asked = readonly [string, Ask]

interface Case {
  readonly name: string
  readonly policy: (port: number) => object
  readonly passes: readonly Asked[]
  readonly refused: readonly Asked[]
}

const web = as('web')
const batch = as('batch')
const kind = (name: string, policy: Case['policy'] | object, passes: Case['passes'], refused: Case['refused']): Case => ({
  name,
  policy: typeof policy === 'function' ? (policy as Case['policy']) : () => policy,
  passes,
  refused,
})

const cases: readonly Case[] = [
  kind('any', permission({ any: true }), [['', web]], []),
  kind(
    'header',
    permission(header('x-role', 'reader')),
    [['', sent('reader')]],
    [
      ['', web],
      ['', sent('READER')],
    ],
  ),
  kind('header-present', permission({ header: { name: 'x-role', present_match: true } }), [['', sent('anything')]], [['', web]]),
  kind(
    'header-invert',
    permission({ header: { name: 'x-role', string_match: { exact: 'reader' }, invert_match: true } }),
    [['', sent('writer')]],
    [['', sent('reader')]],
  ),
  kind('header-range', permission({ header: { name: 'x-role', range_match: { start: 1, end: 5 } } }), [['', sent('4')]], [['', sent('5')]]),
  kind('method', permission(header(':method', 'POST')), [['', { ...web, method: 'POST', body: 'x' }]], [['', web]]),
  kind(
    'url-path',
    permission({ url_path: { path: { safe_regex: { regex: '/url-path/v[0-9]+' } } } }),
    [
      ['/v12', web],
      ['/v1?admin=1', web],
    ],
    [
      ['/v1/x', web],
      ['/x?/url-path/v1', web],
    ],
  ),
  kind('url-path-prefix', permission({ url_path: { path: { prefix: '/url-path-prefix/a' } } }), [['/a/b', web]], [['/a/../b', web]]),
  kind('url-exact', permission({ url_path: { path: { exact: '/url-exact/A', ignore_case: true } } }), [['/a', web]], [['/b', web]]),
  kind('destination-ip', permission({ destination_ip: cidr('127.0.0.0', 8) }), [['', web]], []),
  kind('destination-ip-other', permission({ destination_ip: cidr('10.0.0.0', 8) }), [], [['', web]]),
  kind('destination-port', port => permission({ destination_port: port }), [['', web]], []),
  kind('destination-port-other', port => permission({ destination_port: port + 1 }), [], [['', web]]),
  kind('port-range', port => permission({ destination_port_range: { start: port, end: port + 1 } }), [['', web]], []),
  kind('port-range-end', port => permission({ destination_port_range: { start: port - 1, end: port } }), [], [['', web]]),
  kind(
    'metadata',
    permission({ metadata }),
    [['', sent('admin')]],
    [
      ['', sent('user')],
      ['', web],
    ],
  ),
  kind('metadata-invert', permission({ metadata: { ...metadata, invert: true } }), [['', web]], [['', sent('admin')]]),
  kind('not-rule', permission({ not_rule: header('x-role', 'reader') }), [['', web]], [['', sent('reader')]]),
  kind(
    'and-rules',
    permission({ and_rules: { rules: [header('x-role', 'reader'), { requested_server_name: { exact: 'api.test' } }] } }),
    [['', sent('reader')]],
    [
      ['', web],
      ['', as('web', { 'x-role': 'reader' }, 'other.test')],
    ],
  ),
  kind(
    'or-rules',
    permission({ or_rules: { rules: [header('x-role', 'a'), header('x-role', 'b')] } }),
    [
      ['', sent('a')],
      ['', sent('b')],
    ],
    [['', sent('c')]],
  ),
  kind('any-of-several', permission(header('x-role', 'a'), header('x-role', 'b')), [['', sent('b')]], [['', sent('c')]]),
  kind('server-name', permission({ requested_server_name: { suffix: '.test' } }), [['', web]], [['', as('web', {}, 'api.example')]]),
  kind('authenticated', principal({ authenticated: { principal_name: { exact: spiffe('web') } } }), [['', web]], [['', batch]]),
  kind(
    'authenticated-any',
    principal({ authenticated: {} }),
    [
      ['', web],
      ['', batch],
    ],
    [],
  ),
  kind(
    'authenticated-regex',
    principal({ authenticated: { principal_name: { safe_regex: { regex: `${spiffe('web').slice(0, -3)}(api|batch)` } } } }),
    [['', batch]],
    [['', web]],
  ),
  kind('authenticated-contains', principal({ authenticated: { principal_name: { contains: '/svc/bat' } } }), [['', batch]], [['', web]]),
  kind('source-ip', principal({ source_ip: cidr('127.0.0.1', 32) }), [['', web]], []),
  kind('direct-remote-ip', principal({ direct_remote_ip: cidr('10.1.0.0', 16) }), [], [['', as('web', { 'x-forwarded-for': '10.1.2.3' })]]),
  kind(
    'remote-ip',
    principal({ remote_ip: cidr('10.1.0.0', 16) }),
    [['', as('web', { 'x-forwarded-for': '10.1.2.3' })]],
    [
      ['', web],
      ['', as('web', { 'x-forwarded-for': '10.1.2.3, 10.2.0.1' })],
    ],
  ),
  kind('principal-header', principal(header('x-role', 'reader')), [['', sent('reader')]], [['', web]]),
  kind('principal-url', principal({ url_path: { path: { prefix: '/principal-url/open' } } }), [['/open', web]], [['/shut', web]]),
  kind('principal-metadata', principal({ metadata }), [['', sent('admin')]], [['', web]]),
  kind('not-id', principal({ not_id: { authenticated: { principal_name: { exact: spiffe('web') } } } }), [['', batch]], [['', web]]),
  kind(
    'and-ids',
    principal({ and_ids: { ids: [{ authenticated: { principal_name: { prefix: 'spiffe://' } } }, header('x-role', 'a')] } }),
    [['', sent('a')]],
    [['', web]],
  ),
  kind(
    'or-ids',
    principal({ or_ids: { ids: [{ authenticated: { principal_name: { exact: spiffe('batch') } } }, header('x-role', 'a')] } }),
    [
      ['', sent('a')],
      ['', batch],
    ],
    [['', web]],
  ),
  kind(
    'both',
    { permissions: [header('x-role', 'a')], principals: [{ authenticated: { principal_name: { exact: spiffe('web') } } }] },
    [['', sent('a')]],
    [
      ['', web],
      ['', as('batch', { 'x-role': 'a' })],
    ],
  ),
]

beforeAll(async () => {
  await apps.listen()
  const override = (config: object): object => perFilter('rbac', 'rbac.v3.RBACPerRoute', config)
  const ruled = (prefix: string, rules: object, more: object = {}): object =>
    to(`/${prefix}/`, 'app', {}, { typed_per_filter_config: override({ rbac: { rules, ...more } }) })
  const marked = { marked: permission(header('x-role', 'marked')) }
  front = await Front.start({
    routes: port => [
      ...cases.map(({ name, policy }) => ruled(name, { action: 'ALLOW', policies: { [name]: policy(port) } })),
      ruled('deny', { action: 'DENY', policies: marked }),
      ruled('log', { action: 'LOG', policies: marked }),
      ruled('empty', {}),
      ruled('empty-deny', { action: 'DENY' }),
      ruled('shadow', { action: 'DENY' }, { shadow_rules: { action: 'ALLOW', policies: marked } }),
      to('/lifted/', 'app', {}, { typed_per_filter_config: override({}) }),
      to('/', 'app'),
    ],
    clusters: [staticCluster('app', apps.ports[0]!)],
    filters: [
      typed('envoy.filters.http.header_to_metadata', 'filters.http.header_to_metadata.v3.Config', {
        request_rules: [{ header: 'x-role', on_header_present: { metadata_namespace: 'test', key: 'role' } }],
      }),
      httpRbac({ action: 'ALLOW', policies: { base: permission(header('x-role', 'base')) } }),
    ],
    chain: { transport_socket: downstreamTls(ca.service('api'), ca.pem) },
    manager: { normalize_path: true },
    listener: { listener_filters: [typed('envoy.filters.listener.tls_inspector', 'filters.listener.tls_inspector.v3.TlsInspector')] },
  })
})

afterAll(async () => {
  await stopAll()
  await apps.close()
})

const statuses = async (name: string, asks: readonly Asked[]): Promise<unknown[]> => {
  const found: unknown[] = []
  for (const [path, ask] of asks) found.push([path, ask.headers, await front.status(`/${name}${path || '/'}`, ask)])
  return found
}
const expected = (asks: readonly Asked[], status: number): unknown[] => asks.map(([path, ask]) => [path, ask.headers, status])

it.each(cases)('$name', async ({ name, passes, refused }) => {
  expect(await statuses(name, passes)).toEqual(expected(passes, 200))
  expect(await statuses(name, refused)).toEqual(expected(refused, 403))
})

describe('actions and overrides', () => {
  it.each([
    ['deny', 'marked', 403],
    ['deny', 'other', 200],
    ['log', 'marked', 200],
    ['log', 'other', 200],
    ['empty', 'base', 403],
    ['empty-deny', 'marked', 200],
    ['lifted', 'other', 200],
    ['of-the-listener', 'base', 200],
    ['of-the-listener', 'other', 403],
  ])('/%s/ with role %s: %i', async (prefix, role, status) => {
    expect(await front.status(`/${prefix}/`, sent(role))).toBe(status)
  })

  it('a refusal names the policy in the details, is counted, and reaches nobody', async () => {
    apps.reset()
    const before = await front.proxy.stat('http.ingress.rbac.denied')
    expect((await front.ask('/deny/counted', sent('marked'))).body).toMatch(/RBAC: access denied/)
    await front.logged('/deny/counted', '403 - rbac_access_denied_matched_policy[marked]')
    expect(await front.proxy.stat('http.ingress.rbac.denied')).toBe(before + 1)
    expect(apps.origins[0]!.requests).toHaveLength(0)
  })

  it('shadow rules are counted and decide nothing', async () => {
    expect(await front.status('/shadow/', sent('marked'))).toBe(200)
    expect(await front.status('/shadow/', sent('other'))).toBe(200)
    const stats = await front.proxy.stats()
    expect([stats.get('http.ingress.rbac.shadow_allowed'), stats.get('http.ingress.rbac.shadow_denied')]).toEqual([1, 1])
  })
})
