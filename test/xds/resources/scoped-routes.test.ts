import { describe, expect, it } from 'vitest'
import { VirtualHostSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { ScopedRouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/scoped_route_pb.js'
import { decodeRouteConfiguration, decodeScopedRoute, decodeVirtualHost } from '../../../src/xds/resources/decode.js'
import { decoded, decodeListenerJson, errorsOf, hcm, type Json, listenerJson, message } from './messages.js'

const ads = { ads: {}, resource_api_version: 'V3' }
const extractor = (config: Json = { index: 0 }): Json => ({ header_value_extractor: { name: 'X-Scope', ...config } })
const scope = (name: string, key: string, more: Json = { route_configuration_name: `r-${name}` }): Json => ({
  name,
  key: { fragments: [{ string_key: key }] },
  ...more,
})
const scoped = (changes: Json = {}, fragments: Json[] = [extractor()]): Json => ({
  name: 'scopes',
  scope_key_builder: { fragments },
  rds_config_source: ads,
  scoped_rds: { scoped_rds_config_source: { ...ads, initial_fetch_timeout: '3s' } },
  ...changes,
})
const list = (...scopes: Json[]): Json => ({
  scoped_rds: undefined,
  scoped_route_configurations_list: { scoped_route_configurations: scopes },
})
const decodedListener = (routes: Json) =>
  decodeListenerJson(listenerJson({ filters: [hcm({ route_config: null, scoped_routes: JSON.parse(JSON.stringify(routes)) })] }))
const at = 'filter_chains[0].filters[0].typed_config.scoped_routes'

function managerOf(routes: Json) {
  const [filter] = decoded(decodedListener(routes)).filterChains[0]!.filters
  return filter?.kind === 'httpConnectionManager' ? filter.hcm : null
}

describe('scoped_routes of a connection manager', () => {
  it('takes scopes from SRDS and waits as long as its source says', () => {
    expect(managerOf(scoped())).toMatchObject({
      routeTable: null,
      rdsName: null,
      rdsInitialFetchTimeoutMs: 3000,
      scopedRoutes: {
        name: 'scopes',
        keyBuilder: [{ header: 'x-scope', separator: '', extract: { kind: 'index', index: 0 } }],
        rdsSource: { kind: 'ads' },
        scopes: { kind: 'dynamic', source: { kind: 'ads' } },
      },
    })
  })

  it('takes scopes in place with their tables', () => {
    const inline = (name: string, key: string): Json =>
      scope(name, key, { route_configuration: { name: `own-${name}`, virtual_hosts: [] } })
    const element = { element_separator: ';', element: { key: 'vip', separator: '=' } }
    expect(
      managerOf(scoped({ ...list(inline('a', '1'), inline('b', '2')), rds_config_source: undefined }, [extractor(element)]))?.scopedRoutes,
    ).toMatchObject({
      keyBuilder: [{ header: 'x-scope', separator: ';', extract: { kind: 'element', key: 'vip', separator: '=' } }],
      scopes: {
        kind: 'inline',
        list: [
          { name: 'a', key: ['1'], routes: { kind: 'inline', table: { name: 'own-a' } } },
          { name: 'b', key: ['2'], routes: { kind: 'inline', table: { name: 'own-b' } } },
        ],
      },
    })
  })

  it('asks for tables where the scopes come from, when no other source is set', () => {
    expect(managerOf(scoped({ rds_config_source: undefined }))?.scopedRoutes?.rdsSource).toEqual({ kind: 'ads' })
  })

  it.each([
    ['a key twice', scoped(list(scope('a', '1'), scope('b', '1'))), /scoped_route_configurations\[1\]\.key: scope key conflict.*'a'.*'b'/],
    ['an index without a separator', scoped({}, [extractor({ index: 1 })]), /fragments\[0\]\.header_value_extractor\.index: must be 0/],
    ['no extraction', scoped({}, [extractor({})]), /header_value_extractor: value is required/],
    ['no fragments', scoped({}, []), /scope_key_builder\.fragments/],
    ['a scope without routes', scoped(list(scope('a', '1', {}))), /route_configuration_name: exactly one/],
    ['a scope without a name', scoped(list(scope('', '1'))), /scoped_route_configurations\[0\]\.name/],
    [
      'a scope in place that names a table',
      scoped(list(scope('a', '1'))),
      /configurations\[0\]\.route_configuration_name: inline scopes have/,
    ],
    ['no scopes', scoped({ scoped_rds: undefined }), /config_specifier|scoped_rds/],
  ])('refuses %s', (_name, routes, expected) => {
    const errors = errorsOf(decodedListener(routes))
    expect(
      errors.some(error => error.startsWith(at) && expected.test(error)),
      errors.join('\n'),
    ).toBe(true)
  })
})

describe('a scope by SRDS', () => {
  it('is decoded like one in place', () => {
    expect(decoded(decodeScopedRoute(message(ScopedRouteConfigurationSchema, scope('a', '1'))))).toEqual({
      name: 'a',
      key: ['1'],
      onDemand: false,
      routes: { kind: 'rds', name: 'r-a' },
    })
  })

  it('is refused without a key', () => {
    const scopeWithout = message(ScopedRouteConfigurationSchema, { name: 'a', route_configuration_name: 'r' })
    expect(errorsOf(decodeScopedRoute(scopeWithout))).toEqual([expect.stringMatching(/^key/)])
  })
})

describe('VHDS', () => {
  const table = (source: Json): Json => ({ name: 'r', vhds: { config_source: source } })
  const api = (type: string): Json => ({
    api_config_source: { api_type: type, transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'x' } }] },
  })
  const decodeTable = (source: Json) => decodeRouteConfiguration(message(RouteConfigurationSchema, table(source)))

  it('comes from ADS or a delta stream', () => {
    expect(decoded(decodeTable(ads)).vhds).toEqual({ kind: 'ads' })
    expect(decoded(decodeTable(api('DELTA_GRPC'))).vhds).toMatchObject({ kind: 'api', api: { apiType: 'DELTA_GRPC' } })
  })

  it('has no state-of-the-world form', () => {
    expect(errorsOf(decodeTable(api('GRPC')))).toEqual([expect.stringMatching(/^vhds\.config_source: .*DELTA_GRPC/)])
  })

  it('is refused in a table that stands in its connection manager', () => {
    const errors = errorsOf(
      decodeListenerJson(listenerJson({ filters: [hcm({ route_config: { name: 'r', vhds: { config_source: ads } } })] })),
    )
    expect(errors).toEqual([expect.stringMatching(/route_config\.vhds.*only a table that comes over RDS/)])
  })

  it('brings virtual hosts one by one', () => {
    const host = { name: 'r/a', domains: ['A.example'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }] }
    expect(decoded(decodeVirtualHost(message(VirtualHostSchema, host)))).toMatchObject({ name: 'r/a', domains: ['a.example'] })
    expect(errorsOf(decodeVirtualHost(message(VirtualHostSchema, { ...host, domains: [] })))).toEqual([expect.stringMatching(/^domains/)])
  })
})
