// Consul's Envoy extensions: what they make of the resources of the service's sidecar, and how wrong ones are refused.
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { beforeEach, describe, expect, it } from 'vitest'
import { meetsConstraint } from '../../../../src/control/snapshot/extensions/version-constraint.js'
import { ClusterSchema } from '../../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { OpenTelemetryAccessLogConfigSchema } from '../../../../src/xds/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js'
import { ExtAuthzSchema } from '../../../../src/xds/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import { LocalRateLimitSchema } from '../../../../src/xds/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import { HttpConnectionManagerSchema } from '../../../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { TcpProxySchema } from '../../../../src/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from '../../../../src/xds/type-urls.js'
import { SnapshotFixture } from '../snapshot-fixture.js'

const PUBLIC = 'public_listener:0.0.0.0:21000'
let mesh: SnapshotFixture
beforeEach(async () => {
  mesh = await SnapshotFixture.open()
  const Upstreams = [{ DestinationName: 'api', LocalBindPort: 9191 }]
  await mesh.register({ Name: 'web', Port: 8080, Connect: { SidecarService: { Proxy: { Upstreams } } } })
})

async function errorsWith(Protocol: string, ...EnvoyExtensions: object[]): Promise<string[]> {
  const result = await mesh.entries.put({ Kind: 'service-defaults', Name: 'web', Protocol, EnvoyExtensions })
  return result.ok ? [] : 'errors' in result ? result.errors.map(({ path, reason }) => `${path}: ${reason}`) : ['conflict']
}

function resource<S extends DescMessage>(schema: S, typeUrl: string, name: string): MessageShape<S> {
  return fromBinary(schema, mesh.build('web-sidecar-proxy').snapshot.get(typeUrl)!.get(name)!.any.value)
}

const typed = ({ configType }: { readonly configType: { readonly value?: unknown } }): Any => configType.value as Any
const publicHcm = () =>
  fromBinary(HttpConnectionManagerSchema, typed(resource(ListenerSchema, LISTENER_TYPE, PUBLIC).filterChains[0]!.filters.at(-1)!).value)

describe('builtin/http/localratelimit', () => {
  const limit = (more: object = {}): object => ({
    Name: 'builtin/http/localratelimit',
    Arguments: { ProxyType: 'connect-proxy', MaxTokens: 5, FillInterval: 2, FilterEnabled: 100, FilterEnforced: 50, ...more },
  })

  it('stands before all filters of the public listener', async () => {
    expect(await errorsWith('http', limit())).toEqual([])
    const [first] = publicHcm().httpFilters
    expect(first!.name).toBe('envoy.filters.http.local_ratelimit')
    const config = fromBinary(LocalRateLimitSchema, typed(first!).value)
    expect(config.tokenBucket).toMatchObject({ maxTokens: 5, fillInterval: { seconds: 2n } })
    expect(config.filterEnforced!.defaultValue!.numerator).toBe(50)
  })

  it.each([
    [{ MaxTokens: undefined }, /MaxTokens: missing/],
    [{ FillInterval: 0 }, /FillInterval: must be an integer from 1/],
    [{ ProxyType: 'api-gateway' }, /ProxyType: must be connect-proxy/],
    [{ Nobody: 1 }, /Nobody: unknown field/],
  ])('refuses %j by the entry’s field', async (more, reason) => {
    expect(await errorsWith('http', limit(more))).toEqual([expect.stringMatching(reason)])
  })
})

describe('builtin/ext-authz', () => {
  const authz = (Config: object, more: object = {}): object => ({ Name: 'builtin/ext-authz', Arguments: { Config }, ...more })

  it('asks a service beside the proxy over HTTP, after the intentions', async () => {
    const HttpService = {
      Target: { URI: 'localhost:9191', Timeout: '2s' },
      PathPrefix: '/authz',
      AuthorizationRequest: { AllowedHeaders: [{ Prefix: 'x-', IgnoreCase: true }], HeadersToAdd: [{ Key: 'a', Value: 'b' }] },
    }
    expect(await errorsWith('http', authz({ HttpService, StatusOnError: 503 }, { Required: true }))).toEqual([])
    const names = publicHcm().httpFilters.map(({ name }) => name)
    expect(names.slice(-2)).toEqual(['envoy.filters.http.ext_authz', 'envoy.filters.http.router'])
    expect(names.indexOf('envoy.filters.http.rbac')).toBeLessThan(names.indexOf('envoy.filters.http.ext_authz'))
    const config = fromBinary(ExtAuthzSchema, typed(publicHcm().httpFilters.at(-2)!).value)
    expect(config).toMatchObject({ failureModeAllow: false, statusOnError: { code: 503 } })
    expect(config.services.value).toMatchObject({ pathPrefix: '/authz', serverUri: { httpUpstreamType: { value: 'local_ext_authz' } } })
    expect(resource(ClusterSchema, CLUSTER_TYPE, 'local_ext_authz').connectTimeout!.seconds).toBe(2n)
  })

  it('asks an upstream over gRPC for a TCP service, and lets connections pass when it can’t be asked unless it is required', async () => {
    expect(await errorsWith('tcp', authz({ GrpcService: { Target: { Service: { Name: 'api' } } } }))).toEqual([])
    const { filters } = resource(ListenerSchema, LISTENER_TYPE, PUBLIC).filterChains[0]!
    expect(filters.map(({ name }) => name)).toEqual([
      'envoy.filters.network.rbac',
      'envoy.filters.network.ext_authz',
      'envoy.filters.network.tcp_proxy',
    ])
  })

  it('a target that is no upstream is reported, and holds the proxy back where it is required', async () => {
    const nobody = { GrpcService: { Target: { Service: { Name: 'nobody' } } } }
    expect(await errorsWith('tcp', authz(nobody))).toEqual([])
    const { settled } = mesh.build('web-sidecar-proxy')
    expect(settled.problems).toEqual([{ path: 'EnvoyExtensions', reason: expect.stringMatching(/nobody is no upstream of this proxy/) }])
    expect(await errorsWith('tcp', authz(nobody, { Required: true }))).toEqual([])
    expect(() => mesh.build('web-sidecar-proxy')).toThrow(/nobody is no upstream/)
  })

  it.each([
    [{}, /exactly one of GrpcService and HttpService/],
    [{ GrpcService: {} }, /GrpcService\.Target: is required/],
    [{ GrpcService: { Target: { URI: 'example.com:80' } } }, /URI: must be a port of localhost/],
    [{ GrpcService: { Target: { URI: 'localhost:80', Timeout: 'soon' } } }, /Timeout: "soon" is no duration/],
    [{ GrpcService: { Target: { URI: 'localhost:80' } }, Nobody: 1 }, /Nobody: unknown field/],
  ])('refuses %j', async (config, reason) => {
    expect(await errorsWith('http', authz(config))).toEqual([expect.stringMatching(reason)])
  })
})

describe('builtin/property-override', () => {
  const override = (...Patches: object[]): object => ({
    Name: 'builtin/property-override',
    Arguments: { ProxyType: 'connect-proxy', Patches },
  })
  const filter = (ResourceType: string, TrafficDirection: string, more: object = {}): object => ({
    ResourceFilter: { ResourceType, TrafficDirection, ...more },
  })

  it('sets and clears fields by path, of the resources that its filter names', async () => {
    await mesh.register({ Name: 'api', Port: 9000, Connect: { SidecarService: {} } })
    const patches = [
      {
        ...filter('cluster', 'outbound', { Services: [{ Name: 'api' }] }),
        Op: 'add',
        Path: '/outlier_detection/max_ejection_percent',
        Value: 33,
      },
      { ...filter('cluster', 'outbound'), Op: 'remove', Path: '/circuit_breakers' },
      { ...filter('cluster', 'inbound'), Op: 'add', Path: '/upstream_connection_options', Value: { tcp_keepalive: { keepalive_time: 9 } } },
      { ...filter('cluster-load-assignment', 'outbound'), Op: 'add', Path: '/policy/overprovisioning_factor', Value: 200 },
      { ...filter('listener', 'inbound'), Op: 'add', Path: '/stat_prefix', Value: 'mine' },
      { ...filter('route', 'inbound'), Op: 'add', Path: '/most_specific_header_mutations_wins', Value: true },
    ]
    expect(await errorsWith('http', override(...patches))).toEqual([])
    const outbound = resource(ClusterSchema, CLUSTER_TYPE, mesh.cluster('api'))
    expect(outbound.outlierDetection!.maxEjectionPercent).toBe(33)
    expect(outbound.circuitBreakers).toBeUndefined()
    const local = resource(ClusterSchema, CLUSTER_TYPE, 'local_app')
    expect(local.upstreamConnectionOptions!.tcpKeepalive!.keepaliveTime).toBe(9)
    expect(local.outlierDetection).toBeUndefined()
    expect(resource(ClusterLoadAssignmentSchema, ENDPOINT_TYPE, mesh.cluster('api')).policy!.overprovisioningFactor).toBe(200)
    expect(resource(ListenerSchema, LISTENER_TYPE, PUBLIC).statPrefix).toBe('mine')
    expect(resource(ListenerSchema, LISTENER_TYPE, 'api:127.0.0.1:9191').statPrefix).toBe('')
    const { routeSpecifier } = publicHcm()
    expect(routeSpecifier.value).toMatchObject({ mostSpecificHeaderMutationsWins: true })
  })

  it.each([
    [[], /at least one patch/],
    [[{ ...filter('cluster', 'outbound'), Op: 'add', Path: '/nobody', Value: 1 }], /has no field "nobody"/],
    [[{ ...filter('cluster', 'outbound'), Op: 'add', Path: '/name/x', Value: 1 }], /name has no fields/],
    [[{ ...filter('cluster', 'outbound'), Op: 'add', Path: '/connect_timeout', Value: 'soon' }], /Value: connect_timeout/],
    [[{ ...filter('cluster', 'outbound'), Op: 'add', Path: '/connect_timeout' }], /Value: is required/],
    [
      [{ ...filter('cluster', 'inbound', { Services: [{ Name: 'a' }] }), Op: 'remove', Path: '/name' }],
      /Services: needs TrafficDirection outbound/,
    ],
    [[{ ...filter('secret', 'inbound'), Op: 'remove', Path: '/name' }], /ResourceType: must be one of/],
    [[{ ...filter('cluster', 'outbound'), Op: 'add', Path: '/lb_policy', Value: 'CLUSTER_PROVIDED' }], /sidecars would refuse it/],
  ])('refuses %j', async (patches, reason) => {
    expect(await errorsWith('http', override(...patches))).toEqual([expect.stringMatching(reason)])
  })
})

describe('builtin/otel-access-logging', () => {
  const logging = (more: object = {}, config: object = {}): object => ({
    Name: 'builtin/otel-access-logging',
    Arguments: {
      ProxyType: 'connect-proxy',
      ...more,
      Config: {
        LogName: 'requests',
        GrpcService: { Target: { URI: '127.0.0.1:4317', Timeout: '1s' } },
        BufferFlushInterval: '2s',
        Body: '%REQ(:PATH)%',
        Attributes: { code: '%RESPONSE_CODE%', more: { list: ['a', 1] } },
        ...config,
      },
    },
  })
  const logsOf = (hcm: ReturnType<typeof publicHcm>) =>
    hcm.accessLog.map(log => fromBinary(OpenTelemetryAccessLogConfigSchema, typed(log).value))

  it('adds a log to the public listener, and a cluster for a collector of this machine', async () => {
    expect(await errorsWith('http', logging())).toEqual([])
    expect(logsOf(publicHcm())).toMatchObject([
      {
        logName: 'requests',
        bufferFlushInterval: { seconds: 2n },
        grpcService: { targetSpecifier: { value: { clusterName: 'local_access_log' } }, timeout: { seconds: 1n } },
        body: { value: { case: 'stringValue', value: '%REQ(:PATH)%' } },
        attributes: { values: [{ key: 'code' }, { key: 'more', value: { value: { case: 'kvlistValue' } } }] },
      },
    ])
    expect(resource(ClusterSchema, CLUSTER_TYPE, 'local_access_log').typedExtensionProtocolOptions).not.toEqual({})
    expect(mesh.build('web-sidecar-proxy').settled.problems).toEqual([])
  })

  it('outbound: on the listeners of upstreams, and of TCP services too', async () => {
    expect(await errorsWith('http', logging({ ListenerType: 'outbound' }))).toEqual([])
    expect(publicHcm().accessLog).toEqual([])
    const listeners = mesh.build('web-sidecar-proxy').snapshot.get(LISTENER_TYPE)!
    const upstream = [...listeners.values()].find(({ name }) => name.startsWith('api:'))!
    const [filter] = fromBinary(ListenerSchema, upstream.any.value).filterChains[0]!.filters
    expect(fromBinary(TcpProxySchema, typed(filter!).value).accessLog).toHaveLength(1)
  })

  it.each([
    [logging({ ListenerType: 'both' }), /ListenerType: must be inbound or outbound/],
    [logging({}, { GrpcService: undefined }), /Config.GrpcService: is required/],
    [logging({}, { BufferFlushInterval: 'soon' }), /BufferFlushInterval: "soon" is no duration/],
    [logging({}, { Body: '%NOPE%' }), /NOPE/],
    [logging({}, { Nobody: 1 }), /Config.Nobody: unknown field/],
  ])('refuses %j', async (extension, reason) => {
    expect(await errorsWith('http', extension)).toEqual([expect.stringMatching(reason)])
  })
})

describe('extensions', () => {
  const LIMIT = { Name: 'builtin/http/localratelimit', Arguments: { ProxyType: 'connect-proxy', MaxTokens: 5, FillInterval: 2 } }

  it.each(['builtin/lua', 'builtin/wasm', 'builtin/aws/lambda', 'builtin/ext-proc', 'mine'])('refuses %s by name', async Name => {
    expect(await errorsWith('http', { Name })).toEqual([expect.stringMatching(`extension "${Name}" is not supported`)])
  })

  it('are left out, and said, for a version that they are not for; a required one is refused then', async () => {
    expect(await errorsWith('http', { ...LIMIT, EnvoyVersion: '< 1.0' })).toEqual([])
    expect(publicHcm().httpFilters[0]!.name).toBe('envoy.filters.http.rbac')
    expect(mesh.build('web-sidecar-proxy').settled.problems).toMatchObject([{ path: 'EnvoyExtensions[0].EnvoyVersion' }])
    expect(await errorsWith('http', { ...LIMIT, Required: true, ConsulVersion: '~> 1.2.3' })).toEqual([
      expect.stringMatching(/is required, but not for/),
    ])
    expect(await errorsWith('http', { ...LIMIT, ConsulVersion: 'new' })).toEqual([expect.stringMatching(/"new" is no version constraint/)])
  })

  it('of proxy-defaults come before those of the service', async () => {
    await mesh.write({
      Kind: 'proxy-defaults',
      Name: 'global',
      EnvoyExtensions: [{ ...LIMIT, Arguments: { ...LIMIT.Arguments, MaxTokens: 1 } }],
    })
    expect(await errorsWith('http', LIMIT)).toEqual([])
    const limits = publicHcm().httpFilters.slice(0, 2)
    // Each inserts itself first.
    expect(limits.map(each => fromBinary(LocalRateLimitSchema, typed(each).value).tokenBucket!.maxTokens)).toEqual([5, 1])
  })
})

describe('meetsConstraint', () => {
  it.each([
    ['1.22.0', '>= 1.16', true],
    ['1.22.0', '>= 1.16, < 1.22', false],
    ['1.22.0', '~> 1.22', true],
    ['1.22.5', '~> 1.22.0', true],
    ['1.23.0', '~> 1.22.0', false],
    ['2.0.0', '~> 1.22', false],
    ['1.22.0', '1.22.0', true],
    ['1.22.0', '!= 1.22.0', false],
    ['1.22.0', '> 1', true],
    ['1.22.0', 'new', undefined],
  ])('%s %s', (version, constraint, meets) => {
    expect(meetsConstraint(version, constraint)).toBe(meets)
  })
})
