import { describe, expect, it } from 'vitest'
import { EMPTY_RUNTIME } from '../../../src/l7/match/runtime-fraction.js'
import { type CompiledRouteTable, compileRouteTable } from '../../../src/l7/route/route-table.js'
import type { Route, RouteTable } from '../../../src/model/route.js'
import { connection, forwardAction, head, info, peer, route, routeTable, tls, virtualHost } from '../request-fixtures.js'

const never = () => {
  throw new Error('random was not to be asked')
}
const compiled = (model: RouteTable) => compileRouteTable(model, { runtime: EMPTY_RUNTIME })

function routed(table: CompiledRouteTable, request = head(), of = info(request), random: () => number = never): string {
  const result = table.match(request, of, random)
  return result.kind === 'route' ? result.route.model.name : result.kind
}

const hosts = (domains: Record<string, string[]>, fields: Partial<RouteTable> = {}) =>
  compiled(
    routeTable(
      Object.entries(domains).map(([name, list]) => virtualHost(name, list, [route(name)])),
      fields,
    ),
  )

describe('domains', () => {
  const table = hosts({
    exact: ['api.example.com', 'port.example.com:8080'],
    suffix: ['*.example.com'],
    longSuffix: ['*-x.example.com'],
    prefix: ['api.*'],
    any: ['*'],
  })
  it.each([
    ['api.example.com', 'exact'],
    ['API.Example.COM', 'exact'],
    ['b.example.com', 'suffix'],
    ['b-x.example.com', 'longSuffix'],
    ['api.other', 'prefix'],
    ['.example.com', 'any'],
    ['port.example.com:8080', 'exact'],
    ['other', 'any'],
  ])('%s -> %s', (authority, name) => {
    expect(routed(table, head('/', { authority }))).toBe(name)
  })

  it('matches a host in any case, with more than a hundred of them too (CVE-2026-27588)', () => {
    const many = hosts(Object.fromEntries(Array.from({ length: 150 }, (_unused, i) => [`h${i}`, [`host${i}.example.com`]])))
    expect(routed(many, head('/', { authority: 'HOST149.EXAMPLE.com' }))).toBe('h149')
  })

  it('takes the host as sent, port and trailing dot included, as Envoy does (envoyproxy/envoy#3515)', () => {
    const only = hosts({ a: ['a.com'], b: ['*.b.com'] })
    for (const authority of ['a.com:80', 'a.com.', 'a.com.:80', 'x.b.com:443'])
      expect(routed(only, head('/', { authority }))).toBe('no-virtual-host')
    const withPort = hosts({ a: ['a.com', 'a.com:*'] })
    expect(routed(withPort, head('/', { authority: 'a.com:80' }))).toBe('a')
  })

  it('ignores the port where the table says so', () => {
    const table2 = hosts({ a: ['a.com'], any: ['*'] }, { ignorePortInHostMatching: true })
    expect(routed(table2, head('/', { authority: 'a.com:1234' }))).toBe('a')
    const six = hosts({ six: ['[::1]'] }, { ignorePortInHostMatching: true })
    expect(routed(six, head('/', { authority: '[::1]:80' }))).toBe('six')
  })

  it('takes a table with * only for requests without a host', () => {
    expect(routed(hosts({ any: ['*'] }), head('/', { authority: '' }))).toBe('any')
    expect(routed(hosts({ a: ['a.com'] }), head('/', { authority: '' }))).toBe('no-virtual-host')
  })
})

describe('routes of a virtual host', () => {
  const one = (...routes: Parameters<typeof virtualHost>[2]) => compiled(routeTable([virtualHost('all', ['*'], routes)]))

  it('are tried in order, the first match wins, none is named', () => {
    const table = one(
      route('a', { path: { kind: 'prefix', value: '/a', caseSensitive: true } }),
      route('ab', { path: { kind: 'prefix', value: '/ab', caseSensitive: true } }),
    )
    expect(routed(table, head('/ab'))).toBe('a')
    expect(table.match(head('/x'), info(), never)).toEqual({ kind: 'no-route', virtualHost: 'all' })
  })

  it.each([
    [{ kind: 'path', value: '/a', caseSensitive: true }, '/a?q', true],
    [{ kind: 'path', value: '/a', caseSensitive: true }, '/a/', false],
    [{ kind: 'path', value: '/A', caseSensitive: false }, '/a', true],
    [{ kind: 'prefix', value: '/A', caseSensitive: false }, '/abc', true],
    [{ kind: 'prefix', value: '/a?b', caseSensitive: true }, '/a?b', false],
    [{ kind: 'pathSeparatedPrefix', value: '/api', caseSensitive: true }, '/api', true],
    [{ kind: 'pathSeparatedPrefix', value: '/api', caseSensitive: true }, '/api/x?y', true],
    [{ kind: 'pathSeparatedPrefix', value: '/api', caseSensitive: true }, '/apix', false],
    [{ kind: 'pathSeparatedPrefix', value: '/API', caseSensitive: false }, '/api/x', true],
    [{ kind: 'regex', value: '/[a-z]+' }, '/abc?1', true],
    [{ kind: 'regex', value: '/[a-z]+' }, '/abc/', false],
  ] as const)('path %j against %s: %s', (path, target, expected) => {
    expect(routed(one(route('r', { path })), head(target))).toBe(expected ? 'r' : 'no-route')
  })

  it('match CONNECT by its own matcher, and only that without a path', () => {
    const table = one(route('prefix'), route('connect', { path: { kind: 'connect' } }))
    expect(routed(table, head('', { method: 'CONNECT' }))).toBe('connect')
    expect(routed(table, head('/x', { method: 'GET' }))).toBe('prefix')
    expect(routed(one(route('connect', { path: { kind: 'connect' } })), head('/x'))).toBe('no-route')
  })

  it('match headers, query, gRPC, TLS and dynamic metadata', () => {
    const grpc = one(route('grpc', { grpc: true }), route('rest'))
    expect(routed(grpc, head('/s/m', {}, [['content-type', 'application/grpc+proto']]))).toBe('grpc')
    expect(routed(grpc, head('/s/m', {}, [['content-type', 'application/grpc-web']]))).toBe('rest')

    const secure = one(
      route('mtls', { tlsContext: { presented: true, validated: true } }),
      route('plain', { tlsContext: { presented: false, validated: null } }),
    )
    expect(routed(secure, head(), info(head(), connection({ tls: tls({ peer: peer() }) })))).toBe('mtls')
    expect(routed(secure, head(), info(head(), connection({ tls: tls({ peer: peer({ validated: false }) }) })))).toBe('no-route')
    expect(routed(secure)).toBe('plain')

    const metadata = one(
      route('m', { dynamicMetadata: [{ namespace: 'ns', path: ['k'], value: { kind: 'bool', value: true }, invert: false }] }),
    )
    const marked = info()
    marked.setDynamicMetadata('ns', 'k', true)
    expect(routed(metadata, head(), marked)).toBe('m')
    expect(routed(metadata)).toBe('no-route')

    const query = one(route('q', { queryParameters: [{ name: 'v', matcher: { kind: 'exact', value: '1', ignoreCase: false } }] }))
    expect(routed(query, head('/?v=1'))).toBe('q')
    expect(routed(query, head('/?v=2'))).toBe('no-route')
  })

  it('share one random number per request for runtime fractions', () => {
    const half = { numerator: 50, denominator: 100, runtimeKey: '' }
    const table = one(route('half', { runtimeFraction: half }), route('other', { runtimeFraction: half }), route('rest'))
    let calls = 0
    const random = () => {
      calls++
      return 0.7
    }
    expect(routed(table, head(), info(), random)).toBe('rest')
    expect(calls).toBe(1)
  })

  it('ignore path parameters of each segment where the table says so (CVE-2026-73511)', () => {
    const model = routeTable([
      virtualHost('v', ['*'], [route('r', { path: { kind: 'path', value: '/admin/action', caseSensitive: true } })]),
    ])
    expect(routed(compiled(model), head('/admin;x=y/action'))).toBe('no-route')
    expect(routed(compiled({ ...model, ignorePathParametersInPathMatching: true }), head('/admin;x=y/action;z?q'))).toBe('r')
  })

  it('name the virtual cluster', () => {
    const table = compiled(
      routeTable([
        virtualHost('v', ['*'], [route('r')], {
          virtualClusters: [
            {
              name: 'writes',
              headers: [
                {
                  name: ':method',
                  match: { kind: 'string', matcher: { kind: 'exact', value: 'POST', ignoreCase: false } },
                  invert: false,
                  treatMissingAsEmpty: false,
                },
              ],
            },
          ],
        }),
      ]),
    )
    const of = (method: string) => {
      const result = table.match(head('/', { method }), info(), never)
      return result.kind === 'route' ? result.route.virtualHost.virtualClusterOf(head('/', { method }), info())?.name : undefined
    }
    expect([of('POST'), of('GET')]).toEqual(['writes', ''])
  })
})

describe('require_tls', () => {
  const table = (requireTls: 'ALL' | 'EXTERNAL_ONLY') => compiled(routeTable([virtualHost('v', ['*'], [route('r')], { requireTls })]))
  const answer = (request: ReturnType<typeof head>, requireTls: 'ALL' | 'EXTERNAL_ONLY') => {
    const result = table(requireTls).match(request, info(request), never)
    return result.kind === 'route' && result.route.forward === null ? 'redirect' : 'route'
  }
  it('redirects what did not come over https', () => {
    expect(answer(head('/', {}, [['x-forwarded-proto', 'http']]), 'ALL')).toBe('redirect')
    expect(answer(head('/', {}, [['x-forwarded-proto', 'https']]), 'ALL')).toBe('route')
    expect(answer(head('/', { scheme: 'https' }), 'ALL')).toBe('route')
  })
  it('spares internal requests with EXTERNAL_ONLY', () => {
    expect(answer(head('/', {}, [['x-envoy-internal', 'true']]), 'EXTERNAL_ONLY')).toBe('route')
    expect(answer(head('/', {}, [['x-envoy-internal', 'true']]), 'ALL')).toBe('redirect')
    expect(answer(head(), 'EXTERNAL_ONLY')).toBe('redirect')
  })
})

it('knows every cluster that it names', () => {
  const split = forwardAction({
    cluster: {
      kind: 'weighted',
      clusters: ['a', 'b'].map(name => ({
        name,
        clusterHeader: '',
        weight: 1,
        mutations: { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] },
        metadataMatch: null,
        hostRewrite: '',
        overrides: new Map(),
      })),
      totalWeight: 2,
      randomValueHeader: '',
      useHashPolicy: false,
    },
    mirrors: [{ cluster: 'shadow', clusterHeader: '', fraction: null, disableShadowHostSuffix: false }],
  })
  const table = compiled(
    routeTable([
      virtualHost(
        'v',
        ['*'],
        [route('s', {}, split), route('c'), route('h', {}, forwardAction({ cluster: { kind: 'clusterHeader', header: 'x' } }))],
      ),
    ]),
  )
  expect([...table.clusterNames].sort()).toEqual(['a', 'api', 'b', 'shadow'])
})

describe('cookies', () => {
  it('choose a route by their value; one that is not there matches only an inverted matcher', () => {
    const match = (cookies: Route['match']['cookies']): Route['match'] => ({ ...route('').match, cookies })
    const exact = (value: string, invert = false) => [{ name: 'v', matcher: { kind: 'exact', value, ignoreCase: false } as const, invert }]
    const table = compiled(
      routeTable([
        virtualHost(
          'all',
          ['*'],
          [{ ...route('two'), match: match(exact('2')) }, { ...route('not-three'), match: match(exact('3', true)) }, route('rest')],
        ),
      ]),
    )
    const withCookie = (...cookies: string[]) =>
      routed(
        table,
        head(
          '/',
          {},
          cookies.map(value => ['cookie', value] as const),
        ),
      )
    expect(withCookie('a=1; v=2')).toBe('two')
    expect(withCookie('a=1', 'v=2')).toBe('two')
    expect(withCookie('v=4')).toBe('not-three')
    expect(withCookie()).toBe('not-three')
    expect(withCookie('v=3')).toBe('rest')
  })
})
