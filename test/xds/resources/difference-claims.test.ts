// Fields whose reading docs/differences.md names, and no other test.
import { expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
import { CHANNEL_DEFAULTS } from '../../../src/xds/client/client-options.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { decodeCluster, decodeListener } from '../../../src/xds/resources/decode.js'
import { clusterJson, hcm, httpFilter, type Json, listenerJson, message, router, TYPE } from './messages.js'

it('a config source `self` is the ADS stream', () => {
  const filter = hcm({ route_config: null, rds: { route_config_name: 'r', config_source: { self: {} } } })
  const decoded = decodeListener(message(ListenerSchema, listenerJson({ filters: [filter] })))
  expect(JSON.stringify(decoded)).toContain('{"kind":"ads"')
})

it('xdstp:// collections are refused by name', () => {
  const text = JSON.stringify({ dynamic_resources: { cds_resources_locator: 'xdstp://a/b', lds_resources_locator: 'xdstp://a/c' } })
  const parsed = parseBootstrap([text], { unknownFields: 'refuse' })
  expect(parsed.ok ? [] : parsed.errors.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['dynamic_resources.lds_resources_locator', 'dynamic_resources.cds_resources_locator']),
  )
})

it('an ADS message may have 50 MiB, and an idle stream is pinged every 330 s', () => {
  expect(CHANNEL_DEFAULTS['grpc.max_receive_message_length']).toBe(50 * 1024 * 1024)
  expect(CHANNEL_DEFAULTS['grpc.keepalive_time_ms']).toBe(330_000)
})

const errorsIn = (json: Json): string[] => {
  const decoded = decodeListener(message(ListenerSchema, json))
  return decoded.ok ? [] : decoded.errors.map(({ path, reason }) => `${path.split('typed_config.').at(-1)}: ${reason}`)
}
const managerErrors = (changes: Json): string[] => errorsIn(listenerJson({ filters: [hcm(changes)] }))
const filterErrors = (type: string, config: Json): string[] => managerErrors({ http_filters: [httpFilter(type, config), router()] })
const actionErrors = (action: Json): string[] =>
  managerErrors({
    route_config: {
      virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c', ...action } }] }],
    },
  })

it.each([
  ['x-a', 'b', []],
  ['x-bin', 'YQ==', []],
  ['X-A', '100%%', []],
  ['x a', 'b', [expect.stringContaining("'x a' is no key")]],
  [':path', 'b', [expect.stringContaining("':path' is no key")]],
  ['x-a', 'ü', [expect.stringContaining('printable ASCII')]],
  ['x-a', '%START_TIME%', [expect.stringContaining('no %COMMAND%')]],
])('initial_metadata is what gRPC has: %s: %s', (key, value, expected) => {
  const service = { envoy_grpc: { cluster_name: 'c' }, initial_metadata: [{ key, value }] }
  const reasons = filterErrors('ext_authz.v3.ExtAuthz', { transport_api_version: 'V3', grpc_service: service })
  expect(reasons).toEqual(expected)
})

it('header names that no message has are refused where they are removed or read', () => {
  expect(
    filterErrors('header_mutation.v3.HeaderMutation', { mutations: { request_mutations: [{ remove: 'a b' }, { remove: ':path' }] } }),
  ).toHaveLength(2)
  expect(filterErrors('basic_auth.v3.BasicAuth', { users: { inline_string: '' }, authentication_header: 'a b' })).toContainEqual(
    expect.stringContaining("'a b' is not a valid header name"),
  )
})

it('constraints hold in extensions too', () => {
  const policy = {
    typed_config: { '@type': `${TYPE}envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest`, choice_count: 1 },
  }
  const decoded = decodeCluster(
    message(ClusterSchema, clusterJson({ load_balancing_policy: { policies: [{ typed_extension_config: { name: 'l', ...policy } }] } })),
  )
  expect(decoded.ok ? [] : decoded.errors.map(({ reason }) => reason)).toEqual(['value must be greater than or equal to 2'])
})

it('what has no service or no filters is refused', () => {
  expect(filterErrors('ext_authz.v3.ExtAuthz', { transport_api_version: 'V3' })).toEqual([
    expect.stringContaining('one of grpc_service, http_service is required'),
  ])
  expect(managerErrors({ http_filters: [] })).toEqual([expect.stringContaining('needs a router')])
})

it('a large regex, and the rate limit action dynamic_metadata, are taken', () => {
  const metadata = { descriptor_key: 'a', metadata_key: { key: 'a', path: [{ key: 'b' }] } }
  expect(actionErrors({ rate_limits: [{ actions: [{ dynamic_metadata: metadata }] }] })).toEqual([])
  expect(actionErrors({ regex_rewrite: { pattern: { regex: 'x'.repeat(300) }, substitution: '' } })).toEqual([])
})

it.each([
  [false, ['b', 'a']],
  [true, ['a', 'b']],
])('keys of a JSON format are in the order of the configuration, unless sort_properties: %s', (sort_properties, keys) => {
  const log_format = { json_format: { b: '1', a: '2' }, json_format_options: { sort_properties } }
  const log = { name: 'a', typed_config: { '@type': `${TYPE}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`, log_format } }
  const decoded = decodeListener(message(ListenerSchema, listenerJson({ filters: [hcm({ access_log: [log] })] })))
  const [filter] = decoded.ok ? decoded.value.filterChains[0]!.filters : []
  const format = filter?.kind === 'httpConnectionManager' ? filter.hcm.accessLogs[0]?.format : undefined
  expect(Object.keys(format?.json ?? {})).toEqual(keys)
})
