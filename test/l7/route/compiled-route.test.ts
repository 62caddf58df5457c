import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import type { CompiledRoute } from '../../../src/l7/route/compiled-route.js'
import { compileRouteTable } from '../../../src/l7/route/route-table.js'
import type { HeaderMutations, HeaderOption } from '../../../src/model/header-option.js'
import type { HttpFilterOverride } from '../../../src/model/http-filter.js'
import type { RedirectAction } from '../../../src/model/redirect-action.js'
import type { ForwardAction, HashPolicy, Route, RouteTable, VirtualHost, WeightedCluster } from '../../../src/model/route.js'
import { xxHash64 } from '../../../src/upstream/hash/xx-hash.js'
import { forwardAction, head, info, NO_MUTATIONS, route, routerHandles, routeTable, virtualHost } from '../request-fixtures.js'

function compiledRoute(model: Route, host: Partial<VirtualHost> = {}, table: Partial<RouteTable> = {}): CompiledRoute {
  const compiled = compileRouteTable(routeTable([virtualHost('v', ['*'], [model], host)], table), { runtime: EMPTY_RUNTIME })
  const path = model.match.path
  const result = compiled.match(head(path.kind === 'connect' || path.kind === 'regex' ? '/a1' : path.value), info(), () => 0)
  if (result.kind !== 'route') throw new Error(result.kind)
  return result.route
}
const forward = (action: Partial<ForwardAction>, match: Parameters<typeof route>[1] = {}) =>
  compiledRoute(route('r', match, forwardAction(action))).forward!

const weighted = (name: string, weight: number, fields: Partial<WeightedCluster> = {}): WeightedCluster => ({
  name,
  clusterHeader: '',
  weight,
  mutations: NO_MUTATIONS,
  metadataMatch: null,
  hostRewrite: '',
  overrides: new Map(),
  ...fields,
})
const split = (clusters: WeightedCluster[], fields: object = {}): ForwardAction['cluster'] => ({
  kind: 'weighted',
  clusters,
  totalWeight: clusters.reduce((sum, cluster) => sum + cluster.weight, 0),
  randomValueHeader: '',
  useHashPolicy: false,
  ...fields,
})
const add = (
  name: string,
  value: string,
  action: HeaderOption['action'] = 'APPEND_IF_EXISTS_OR_ADD',
  keepEmptyValue = false,
): HeaderOption => ({ name, value, action, keepEmptyValue })
const requestMutations = (requestAdd: HeaderOption[], requestRemove: string[] = []): HeaderMutations => ({
  ...NO_MUTATIONS,
  requestAdd,
  requestRemove,
})

describe('selectCluster', () => {
  it('splits by the actual sum of weights, in order', () => {
    const f = forward({ cluster: split([weighted('a', 3333), weighted('b', 3333), weighted('c', 3333)]) })
    const pick = (random: number) => f.selectCluster(head(), random, null).name
    expect([0, 0.3333, 0.3334, 0.6666, 0.6667, 0.99999].map(pick)).toEqual(['a', 'a', 'b', 'b', 'c', 'c'])
  })

  it('never picks a cluster of weight 0', () => {
    const f = forward({ cluster: split([weighted('off', 0), weighted('on', 1)]) })
    expect(f.selectCluster(head(), 0, null).name).toBe('on')
  })

  it('is sticky by hash, or by a header, where configured', () => {
    const byHash = forward({ cluster: split([weighted('a', 50), weighted('b', 50)], { useHashPolicy: true }) })
    expect(byHash.selectCluster(head(), 0, 149n).name).toBe('a')
    expect(byHash.selectCluster(head(), 0, 150n).name).toBe('b')
    expect(byHash.selectCluster(head(), 0.9, null).name).toBe('b')
    const byHeader = forward({ cluster: split([weighted('a', 50), weighted('b', 50)], { randomValueHeader: 'x-roll' }) })
    expect(byHeader.selectCluster(head('/', {}, [['x-roll', '175']]), 0, null).name).toBe('b')
    expect(byHeader.selectCluster(head('/', {}, [['x-roll', 'odd']]), 0, null).name).toBe('a')
  })

  it('reads cluster_header', () => {
    const f = forward({ cluster: { kind: 'clusterHeader', header: 'x-cluster' } })
    expect(f.selectCluster(head('/', {}, [['X-Cluster', 'blue']]), 0, null).name).toBe('blue')
    expect(f.selectCluster(head(), 0, null).name).toBe('')
  })

  it('merges subset criteria, the weighted cluster winning', () => {
    const lb = (object: object) => new Map([['envoy.lb', object as never]])
    const f = forward({ metadataMatch: lb({ stage: 'prod', v: 1 }), cluster: split([weighted('a', 1, { metadataMatch: lb({ v: 2 }) })]) })
    expect({ ...f.selectCluster(head(), 0, null).weighted!.metadataMatch!.get('envoy.lb') }).toEqual({ stage: 'prod', v: 2 })
  })
})

describe('rewrites', () => {
  const rewritten = (action: Partial<ForwardAction>, path: string, match: Parameters<typeof route>[1] = {}, request = head(path)) => {
    forward(action, match).rewrite(request, info(request))
    return { path: request.path, original: request.headers.get('x-envoy-original-path') }
  }
  it('replaces the matched prefix and keeps the query', () => {
    expect(rewritten({ prefixRewrite: '/v2' }, '/api/x?q=/api', { path: { kind: 'prefix', value: '/api', caseSensitive: true } })).toEqual({
      path: '/v2/x?q=/api',
      original: '/api/x?q=/api',
    })
    expect(rewritten({ prefixRewrite: '/' }, '/API/x', { path: { kind: 'prefix', value: '/api/', caseSensitive: false } }).path).toBe('/x')
    expect(rewritten({ prefixRewrite: '/new' }, '/old?q', { path: { kind: 'path', value: '/old', caseSensitive: true } }).path).toBe(
      '/new?q',
    )
    expect(rewritten({ prefixRewrite: '/new' }, '/a1?q', { path: { kind: 'regex', value: '/a.' } }).path).toBe('/new?q')
    expect(
      rewritten({ prefixRewrite: '/' }, '/api/x', { path: { kind: 'pathSeparatedPrefix', value: '/api', caseSensitive: true } }).path,
    ).toBe('//x')
  })

  it('rewrites by regex on the path only', () => {
    const regexRewrite = { pattern: '^/service/([^/]+)(/.*)$', substitution: '\\2/instance/\\1' }
    expect(rewritten({ regexRewrite }, '/service/foo/v1?x=/service/a/b').path).toBe('/v1/instance/foo?x=/service/a/b')
  })

  it('rewrites the host and can keep the old one', () => {
    const host = (hostRewrite: ForwardAction['hostRewrite'], request = head('/tenant-a/x'), appendXForwardedHost = true) => {
      forward({ hostRewrite, appendXForwardedHost }).rewrite(request, info(request))
      return [request.authority, request.headers.get('x-forwarded-host')]
    }
    expect(host({ kind: 'literal', value: 'new.example', regex: null })).toEqual(['new.example', 'api.example.com'])
    expect(host({ kind: 'header', value: 'x-host', regex: null }, head('/', {}, [['x-host', 'from.header']]))).toEqual([
      'from.header',
      'api.example.com',
    ])
    expect(host({ kind: 'header', value: 'x-host', regex: null })).toEqual(['api.example.com', undefined])
    expect(host({ kind: 'pathRegex', value: '', regex: { pattern: '^/([^/]+)/.*$', substitution: '\\1.example' } })).toEqual([
      'tenant-a.example',
      'api.example.com',
    ])
    expect(host({ kind: 'literal', value: 'n', regex: null }, head('/', {}, [['x-forwarded-host', 'a, api.example.com']]))).toEqual([
      'n',
      'a, api.example.com',
    ])
  })

  it('rewrites by a format of the request: the query stays, what no path may hold is encoded, what is no host is not taken', () => {
    const at = (value: string) => head('/old/x?q=1', {}, [['x-a', value]])
    const path = (pathFormat: string, value: string) => rewritten({ pathFormat }, '', {}, at(value)).path
    expect([path('/new/%REQ(x-a)%', 'A'), path('/new/%REQ(x-none)%', ''), path('/new%PATH(NQ)%', '')]).toEqual([
      '/new/A?q=1',
      '/new/?q=1',
      '/new/old/x?q=1',
    ])
    expect(path('/%REQ(x-a)%', 'a b#c\x80')).toBe('/a%20b%23c%80?q=1')
    const host = (value: string) => {
      const request = at(value)
      forward({ hostRewrite: { kind: 'format', value: '%REQ(x-a)%', regex: null } }).rewrite(request, info(request))
      return request.authority
    }
    expect([host('svc.internal:80'), host('[::1]:80'), host('two words'), host('a/b')]).toEqual([
      'svc.internal:80',
      '[::1]:80',
      'api.example.com',
      'api.example.com',
    ])
  })

  it('takes the endpoint’s name with auto_host_rewrite, on every try, and appends x-forwarded-host once', () => {
    const f = forward({ hostRewrite: { kind: 'auto', value: '', regex: null }, appendXForwardedHost: true })
    const request = head()
    f.rewrite(request, info(request))
    expect(request.authority).toBe('api.example.com')
    f.rewriteHostForEndpoint(request, 'one.internal')
    f.rewriteHostForEndpoint(request, 'two.internal')
    expect([request.authority, request.headers.getAll('x-forwarded-host')]).toEqual(['two.internal', ['api.example.com']])
    const other = head()
    forward({}).rewriteHostForEndpoint(other, 'one.internal')
    expect(other.authority).toBe('api.example.com')
  })
})

describe('header mutations', () => {
  it('removes, overwrites, then adds, by each action', () => {
    const mutations = requestMutations(
      [
        add('X-App', 'b'),
        add('x-set', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
        add('x-old', 'z', 'OVERWRITE_IF_EXISTS'),
        add('x-if', 'no', 'ADD_IF_ABSENT'),
        add('x-absent', 'y', 'ADD_IF_ABSENT'),
        add('x-gone', '', 'APPEND_IF_EXISTS_OR_ADD'),
        add('x-kept', '', 'APPEND_IF_EXISTS_OR_ADD', true),
      ],
      ['X-Drop', ':path', 'host'],
    )
    const request = head('/p', {}, [
      ['x-app', 'a'],
      ['x-set', '1'],
      ['x-set', '2'],
      ['x-if', 'yes'],
      ['x-drop', '1'],
    ])
    compiledRoute(route('r', {}, forwardAction(), { mutations })).applyRequestMutations(request, info(request), null)
    const seen = request.headers.lower.map((name, i) => `${name}=${request.headers.values[i]}`)
    expect(seen).toEqual(['x-app=a', 'x-set=new', 'x-if=yes', 'X-App=b'.toLowerCase(), 'x-absent=y', 'x-kept='])
    expect([request.path, request.authority]).toEqual(['/p', 'api.example.com'])
  })

  it('formats values, and leaves out what has none', () => {
    const mutations = requestMutations([
      add('x-client', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
      add('x-none', '%REQ(x-none)%'),
      add('x-percent', '100%%'),
    ])
    const request = head()
    compiledRoute(route('r', {}, forwardAction(), { mutations })).applyRequestMutations(request, info(request), null)
    expect([request.headers.get('x-client'), request.headers.get('x-none'), request.headers.get('x-percent')]).toEqual([
      '10.1.10.23',
      undefined,
      '100%',
    ])
  })

  it.each([
    [false, 'table'],
    [true, 'weighted'],
  ])('applies levels so that with most_specific_header_mutations_wins %s the %s wins', (wins, winner) => {
    const set = (level: string) => requestMutations([add('x-level', level, 'OVERWRITE_IF_EXISTS_OR_ADD'), add('x-all', level)])
    const cluster = split([weighted('a', 1, { mutations: set('weighted') })])
    const compiled = compiledRoute(
      route('r', {}, forwardAction({ cluster }), { mutations: set('route') }),
      { mutations: set('vhost') },
      { mutations: set('table'), mostSpecificHeaderMutationsWins: wins },
    )
    const request = head()
    compiled.applyRequestMutations(request, info(request), compiled.forward!.selectCluster(request, 0, null).weighted)
    expect(request.headers.get('x-level')).toBe(winner)
    const order = ['weighted', 'route', 'vhost', 'table']
    expect(request.headers.getAll('x-all')).toEqual(wins ? order.reverse() : order)
  })

  it('changes responses in the same way', () => {
    const mutations: HeaderMutations = { ...NO_MUTATIONS, responseRemove: ['server'], responseAdd: [add('x-code', '%RESPONSE_CODE%')] }
    const headers = HeaderList.of(['Server', 'x'])
    const of = info()
    of.responseCode = 204
    compiledRoute(route('r', {}, forwardAction(), { mutations })).applyResponseMutations(headers, of, null)
    expect([headers.has('server'), headers.get('x-code')]).toEqual([false, '204'])
  })
})

describe('overrides', () => {
  const cors: HttpFilterOverride = { disabled: false, kind: 'cors', config: {} as never }
  const off: HttpFilterOverride = { disabled: true, kind: 'generic' }
  it('are the most specific ones', () => {
    const plain = compiledRoute(route('r'))
    expect([plain.hasOverrides, plain.overrideFor('cors')]).toEqual([false, undefined])
    const nested = compiledRoute(
      route('r', {}, forwardAction(), { overrides: new Map([['rbac', off]]) }),
      {
        overrides: new Map([
          ['cors', cors],
          ['rbac', cors],
        ]),
      },
      { overrides: new Map([['jwt', off]]) },
    )
    expect([nested.overrideFor('rbac'), nested.overrideFor('cors'), nested.overrideFor('jwt'), nested.hasOverrides]).toEqual([
      off,
      cors,
      off,
      true,
    ])
  })
})

describe('hash policies', () => {
  const hash = (hashPolicy: HashPolicy[], request = head(), of = info(request)) => forward({ hashPolicy }).hash(request, of)
  it('hash headers, queries, cookies and the client address by xxHash64', () => {
    expect(hash([{ kind: 'header', name: 'x-user', regexRewrite: null, terminal: false }], head('/', {}, [['x-user', 'joe']])).hash).toBe(
      xxHash64('joe'),
    )
    expect(hash([{ kind: 'header', name: ':path', regexRewrite: null, terminal: false }], head('/p')).hash).toBe(xxHash64('/p'))
    expect(
      hash(
        [{ kind: 'header', name: 'x-user', regexRewrite: { pattern: '^(.).*$', substitution: '\\1' }, terminal: false }],
        head('/', {}, [['x-user', 'joe']]),
      ).hash,
    ).toBe(xxHash64('j'))
    expect(hash([{ kind: 'queryParameter', name: 'u', terminal: false }], head('/?u=joe')).hash).toBe(xxHash64('joe'))
    expect(hash([{ kind: 'sourceIp', terminal: false }]).hash).toBe(xxHash64('10.1.10.23'))
    expect(
      hash(
        [{ kind: 'cookie', name: 'id', path: '', ttlSeconds: null, attributes: [], terminal: false }],
        head('/', {}, [['cookie', 'a=b; id="42"']]),
      ).hash,
    ).toBe(xxHash64('42'))
  })

  it('have nothing without input, and combine by rotation', () => {
    const user: HashPolicy = { kind: 'header', name: 'x-user', regexRewrite: null, terminal: false }
    expect(hash([user])).toEqual({ hash: null, setCookie: null })
    const a = xxHash64('joe')
    const rotated = ((a << 1n) & 0xffff_ffff_ffff_ffffn) | (a >> 63n)
    const request = head('/', {}, [['x-user', 'joe']])
    expect(hash([user, user], request).hash).toBe(rotated ^ a)
    expect(hash([{ ...user, terminal: true }, user], request).hash).toBe(a)
    expect(hash([{ kind: 'queryParameter', name: 'none', terminal: true }, user], request).hash).toBe(a)
  })

  it('make a cookie where the policy has a ttl', () => {
    const policy: HashPolicy = { kind: 'cookie', name: 'id', path: '/x', ttlSeconds: 60, attributes: [], terminal: false }
    const made = hash([policy])
    const value = xxHash64('10.1.10.23:555510.0.0.1:443').toString(16).padStart(16, '0')
    expect(made).toEqual({ hash: xxHash64(value), setCookie: `id="${value}"; Max-Age=60; Path=/x; HttpOnly` })
    expect(hash([{ ...policy, ttlSeconds: 0, path: '' }]).setCookie).toBe(`id="${value}"; HttpOnly`)
  })
})

describe('answers', () => {
  const REDIRECT: RedirectAction = {
    kind: 'redirect',
    httpsRedirect: false,
    schemeRedirect: '',
    hostRedirect: '',
    portRedirect: 0,
    pathRedirect: '',
    prefixRewrite: '',
    regexRewrite: null,
    pathFormat: '',
    status: 301,
    stripQuery: false,
  }
  const answer = (model: Route, request: ReturnType<typeof head>) => {
    const replies: unknown[] = []
    const router = routerHandles()
    compiledRoute(model).answer({
      request,
      info: info(request),
      runtime: { router },
      sendReply: (status, body, details, flags, headers) => replies.push([status, body, details, flags, headers?.get('location')]),
    })
    return { reply: replies[0], redirects: router.rq_redirect.value, direct: router.rq_direct_response.value }
  }
  const location = (action: Partial<RedirectAction>, request: ReturnType<typeof head>, match: Parameters<typeof route>[1] = {}) =>
    (answer(route('r', match, { ...REDIRECT, ...action }), request).reply as string[])[4]

  it('redirect with location and details', () => {
    expect(answer(route('r', {}, { ...REDIRECT, httpsRedirect: true, status: 308 }), head('/x?y'))).toEqual({
      reply: [308, '', 'direct_response', 0, 'https://api.example.com/x?y'],
      redirects: 0,
      direct: 1,
    })
  })

  it('build every part of the location', () => {
    const request = () => head('/a/b?q=1', { authority: 'api.example.com:80' }, [['x-forwarded-proto', 'http']])
    expect(location({ httpsRedirect: true }, request())).toBe('https://api.example.com/a/b?q=1')
    expect(location({ schemeRedirect: 'ftp' }, head('/x', { authority: 'h:81' }))).toBe('ftp://h:81/x')
    expect(location({ hostRedirect: 'new.example' }, request())).toBe('http://new.example/a/b?q=1')
    expect(location({ portRedirect: 8443 }, request())).toBe('http://api.example.com:8443/a/b?q=1')
    expect(location({ pathRedirect: '/new' }, request())).toBe('http://api.example.com:80/new?q=1')
    expect(location({ pathRedirect: '/new?z=2' }, request())).toBe('http://api.example.com:80/new?z=2')
    expect(location({ stripQuery: true }, request())).toBe('http://api.example.com:80/a/b')
    expect(location({ pathRedirect: '/new', stripQuery: true }, request())).toBe('http://api.example.com:80/new')
    expect(location({ prefixRewrite: '/z' }, request(), { path: { kind: 'prefix', value: '/a', caseSensitive: true } })).toBe(
      'http://api.example.com:80/z/b?q=1',
    )
    expect(location({ regexRewrite: { pattern: '/b$', substitution: '/c' } }, request())).toBe('http://api.example.com:80/a/c?q=1')
    expect(location({ httpsRedirect: true }, head('/', { authority: '[::1]:80' }, [['x-forwarded-proto', 'http']]))).toBe('https://[::1]/')
  })

  it('respond directly', () => {
    expect(answer(route('r', {}, { kind: 'directResponse', status: 418, body: 'no' }), head())).toEqual({
      reply: [418, 'no', 'direct_response', 0, undefined],
      redirects: 0,
      direct: 1,
    })
  })
})

it('falls back to the virtual host for retries, hedging and mirrors, and reads retry_repick', () => {
  const mirror = {
    cluster: 'shadow',
    clusterHeader: '',
    fraction: { numerator: 50, denominator: 100, runtimeKey: '' },
    disableShadowHostSuffix: false,
  }
  const hedge = { hedgeOnPerTryTimeout: true }
  const { forward: f } = compiledRoute(route('r', {}, forwardAction(), { metadata: new Map([['outrigger', { retry_repick: true }]]) }), {
    mirrors: [mirror],
    hedge,
  })
  expect([f!.mirrors[0]!.wants(() => 0.4), f!.mirrors[0]!.wants(() => 0.6), f!.hedge, f!.retryRepick, f!.retry]).toEqual([
    true,
    false,
    hedge,
    true,
    null,
  ])
})
