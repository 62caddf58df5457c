// `builtin/ext-authz`: asks an authorization service, over gRPC or HTTP, before a request (or, of a TCP service, a connection) reaches the
// application. The service is one of the proxy's upstreams, or one beside it on this machine, which gets a cluster of its own.
// A service that can't be asked lets requests pass unless the extension is `Required` (Consul's rule).
import { ApiVersion } from '../../../xds/gen/envoy/config/core/v3/config_source_pb.js'
import type { GrpcServiceSchema } from '../../../xds/gen/envoy/config/core/v3/grpc_service_pb.js'
import {
  type AuthorizationRequestSchema,
  type AuthorizationResponseSchema,
  ExtAuthzSchema as HttpExtAuthzSchema,
  type HttpServiceSchema,
} from '../../../xds/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import { ExtAuthzSchema as NetworkExtAuthzSchema } from '../../../xds/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js'
import type { ListStringMatcherSchema } from '../../../xds/gen/envoy/type/matcher/v3/string_pb.js'
import type { FieldReader } from '../../config-entries/field-reader.js'
import { isHttpLike } from '../../discovery-chain/service-protocol.js'
import { duration, type Init, pack } from '../protobuf.js'
import { type EnvoyExtension, ExtensionError } from './envoy-extension.js'
import { localCluster, MAX_ITEMS, readMetadata, readTarget, type Target, targetCluster } from './extension-target.js'
import { type InsertOptions, insertFilter, LOCATIONS } from './insert-filter.js'

const LOCAL_CLUSTER = 'local_ext_authz'
const DEFAULT_STAT_PREFIX = 'response'

interface Config {
  readonly target: Target
  readonly statPrefix: string
  readonly isGrpc: boolean
  readonly includePeerCertificate: boolean
  readonly failureModeAllow: boolean
  grpc(cluster: string): Init<typeof GrpcServiceSchema>
  http(cluster: string): Init<typeof HttpServiceSchema>
  readonly httpFields: Init<typeof HttpExtAuthzSchema>
}

export function readExtAuthz(args: FieldReader, required: boolean): EnvoyExtension {
  const proxyType = args.string('ProxyType', 'connect-proxy')
  if (proxyType !== 'connect-proxy') args.fail('ProxyType', `must be connect-proxy, not "${proxyType}"`)
  const insert = readInsertOptions(args)
  const config = readConfig(args, required)
  return {
    listener(listener, place, view) {
      if (!place.isPublic) return
      const cluster = targetCluster(config.target, LOCAL_CLUSTER, view)
      const isHttp = isHttpLike(view.protocol)
      const options = insert ?? {
        Location: 'BeforeFirstMatch',
        FilterName: isHttp ? 'envoy.filters.http.router' : 'envoy.filters.network.tcp_proxy',
      }
      if (isHttp) insertFilter(listener, 'http', { name: 'envoy.filters.http.ext_authz', config: httpFilter(config, cluster) }, options)
      else insertFilter(listener, 'network', { name: 'envoy.filters.network.ext_authz', config: networkFilter(config, cluster) }, options)
    },
    clusters: () => (config.target.local === undefined ? [] : [localCluster(LOCAL_CLUSTER, config.target, config.isGrpc)]),
  }
}

function httpFilter(config: Config, cluster: string) {
  return pack(HttpExtAuthzSchema, {
    ...config.httpFields,
    statPrefix: config.statPrefix,
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: config.failureModeAllow,
    includePeerCertificate: config.includePeerCertificate,
    services: config.isGrpc ? { case: 'grpcService', value: config.grpc(cluster) } : { case: 'httpService', value: config.http(cluster) },
  })
}

function networkFilter(config: Config, cluster: string) {
  if (!config.isGrpc) throw new ExtensionError('HttpService: a TCP service can ask over gRPC only')
  return pack(NetworkExtAuthzSchema, {
    statPrefix: config.statPrefix,
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: config.failureModeAllow,
    includePeerCertificate: config.includePeerCertificate,
    grpcService: config.grpc(cluster),
  })
}

function readInsertOptions(args: FieldReader): InsertOptions | undefined {
  const options = args.object('InsertOptions')
  if (options === undefined) return undefined
  const location = options.string('Location')
  const FilterName = options.string('FilterName')
  options.refuseUnknown()
  if (location === '') return undefined
  const Location = LOCATIONS.find(candidate => candidate === location)
  if (Location === undefined) {
    options.fail('Location', `must be one of ${LOCATIONS.join(', ')}`)
    return undefined
  }
  if (Location.endsWith('Match') && FilterName === '') options.fail('FilterName', 'is required')
  return { Location, FilterName }
}

function readConfig(args: FieldReader, required: boolean): Config {
  const fields = args.object('Config') ?? args.absent('Config')
  const grpc = fields.object('GrpcService')
  const http = fields.object('HttpService')
  if ((grpc === undefined) === (http === undefined)) fields.fail('', 'exactly one of GrpcService and HttpService must be set')
  const service = grpc ?? http ?? fields.absent('GrpcService')
  const target = readTarget(service)
  const timeout = target.timeoutMs === undefined ? {} : { timeout: duration(target.timeoutMs) }
  const authority = grpc?.string('Authority') ?? ''
  const initialMetadata = readMetadata(grpc, 'InitialMetadata')
  const pathPrefix = http?.string('PathPrefix') ?? ''
  const request = http && readRequest(http)
  const response = http && readResponse(http)
  const version = fields.string('TransportApiVersion')
  if (version !== '' && version.toUpperCase() !== 'V3') fields.fail('TransportApiVersion', 'must be V3')
  const status = fields.has('StatusOnError') ? fields.integer('StatusOnError', 100, 599, 403) : undefined
  const body = fields.object('WithRequestBody')
  const config: Config = {
    target,
    isGrpc: grpc !== undefined,
    statPrefix: fields.string('StatPrefix') || DEFAULT_STAT_PREFIX,
    includePeerCertificate: fields.boolean('IncludePeerCertificate'),
    failureModeAllow: !required,
    grpc: clusterName => ({ targetSpecifier: { case: 'envoyGrpc', value: { clusterName, authority } }, ...timeout, initialMetadata }),
    http: cluster => ({
      serverUri: { uri: cluster, httpUpstreamType: { case: 'cluster', value: cluster }, ...timeout },
      pathPrefix,
      ...(request === undefined ? {} : { authorizationRequest: request }),
      ...(response === undefined ? {} : { authorizationResponse: response }),
    }),
    httpFields: {
      clearRouteCache: fields.boolean('ClearRouteCache'),
      metadataContextNamespaces: fields.strings('MetadataContextNamespaces'),
      bootstrapMetadataLabelsKey: fields.string('BootstrapMetadataLabelsKey'),
      ...(status === undefined ? {} : { statusOnError: { code: status } }),
      ...(body === undefined
        ? {}
        : {
            withRequestBody: {
              maxRequestBytes: body.integer('MaxRequestBytes', 1, 2 ** 31 - 1, 1),
              allowPartialMessage: body.boolean('AllowPartialMessage'),
              packAsBytes: body.boolean('PackAsBytes'),
            },
          }),
    },
  }
  for (const reader of [fields, service, body]) reader?.refuseUnknown()
  return config
}

function readRequest(http: FieldReader): Init<typeof AuthorizationRequestSchema> | undefined {
  const fields = http.object('AuthorizationRequest')
  if (fields === undefined) return undefined
  const request = { ...matchers(fields, 'AllowedHeaders', 'allowedHeaders'), headersToAdd: readMetadata(fields, 'HeadersToAdd') }
  fields.refuseUnknown()
  return request
}

function readResponse(http: FieldReader): Init<typeof AuthorizationResponseSchema> | undefined {
  const fields = http.object('AuthorizationResponse')
  if (fields === undefined) return undefined
  const response = {
    ...matchers(fields, 'AllowedUpstreamHeaders', 'allowedUpstreamHeaders'),
    ...matchers(fields, 'AllowedUpstreamHeadersToAppend', 'allowedUpstreamHeadersToAppend'),
    ...matchers(fields, 'AllowedClientHeaders', 'allowedClientHeaders'),
    ...matchers(fields, 'AllowedClientHeadersOnSuccess', 'allowedClientHeadersOnSuccess'),
    ...matchers(fields, 'DynamicMetadataFromHeaders', 'dynamicMetadataFromHeaders'),
  }
  fields.refuseUnknown()
  return response
}

function matchers<K extends string>(fields: FieldReader, name: string, key: K): { [key in K]?: Init<typeof ListStringMatcherSchema> } {
  const items = fields.objects(name, MAX_ITEMS)
  if (items.length === 0) return {}
  const patterns = items.map(item => {
    const ignoreCase = item.boolean('IgnoreCase')
    const given = (['Exact', 'Prefix', 'Suffix', 'Contains', 'SafeRegex'] as const).filter(kind => item.string(kind) !== '')
    if (given.length !== 1) item.fail('', 'needs exactly one of Exact, Prefix, Suffix, Contains and SafeRegex')
    item.refuseUnknown()
    const kind = given[0] ?? 'Exact'
    const value = item.string(kind)
    if (kind === 'SafeRegex') return { matchPattern: { case: 'safeRegex' as const, value: { regex: value } } }
    return { matchPattern: { case: kind.toLowerCase() as 'exact' | 'prefix' | 'suffix' | 'contains', value }, ignoreCase }
  })
  return { [key]: { patterns } } as { [key in K]?: Init<typeof ListStringMatcherSchema> }
}
