// `hashicorp.consul.dataplane.DataplaneService`: what consul-dataplane asks before it starts a proxy. Called by `ControlPlane` when it opens
// the gRPC port. The proxy's configuration is proxy-defaults' with the registration's over it, as in the bootstraps of http-api/bootstrap.ts.
import { create, createRegistry, type JsonObject, toJsonString } from '@bufbuild/protobuf'
import { AccessLogSchema } from '../../xds/gen/envoy/config/accesslog/v3/accesslog_pb.js'
import { FileAccessLogSchema } from '../../xds/gen/envoy/extensions/access_loggers/file/v3/file_pb.js'
import { StderrAccessLogSchema, StdoutAccessLogSchema } from '../../xds/gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import {
  DataplaneFeatures,
  GetEnvoyBootstrapParamsRequestSchema,
  GetEnvoyBootstrapParamsResponseSchema,
  GetSupportedDataplaneFeaturesRequestSchema,
  GetSupportedDataplaneFeaturesResponseSchema,
} from '../../xds/gen/hashicorp/dataplane_pb.js'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { meshServiceOf } from '../catalog/catalog-types.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { filterAccessLogs } from '../snapshot/access-logs.js'
import type { CallerAccess } from './caller-access.js'
import { namedNode } from './caller-place.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'
import { GrpcError, unary } from './unary-method.js'

export interface DataplaneSources {
  readonly catalog: CatalogIndex
  readonly entries: ConfigEntryIndex
  readonly datacenter: string
  readonly access: CallerAccess
  readonly onProblem: (reason: string) => void
}

const SERVICE = '/hashicorp.consul.dataplane.DataplaneService'
const TENANCY = 'default'
const REGISTRY = createRegistry(FileAccessLogSchema, StdoutAccessLogSchema, StderrAccessLogSchema)

export function addDataplane(server: GrpcServer, sources: DataplaneSources): void {
  const { access, catalog, entries, datacenter, onProblem } = sources

  server.add(
    `${SERVICE}/GetSupportedDataplaneFeatures`,
    unary(GetSupportedDataplaneFeaturesRequestSchema, GetSupportedDataplaneFeaturesResponseSchema, onProblem, (_request, call) => {
      access.known(call)
      return {
        supportedDataplaneFeatures: [
          { featureName: DataplaneFeatures.WATCH_SERVERS, supported: true },
          { featureName: DataplaneFeatures.EDGE_CERTIFICATE_MANAGEMENT, supported: true },
          { featureName: DataplaneFeatures.ENVOY_BOOTSTRAP_CONFIGURATION, supported: true },
        ],
      }
    }),
  )

  server.add(
    `${SERVICE}/GetEnvoyBootstrapParams`,
    unary(GetEnvoyBootstrapParamsRequestSchema, GetEnvoyBootstrapParamsResponseSchema, onProblem, (request, call) => {
      for (const [field, value] of [
        ['partition', request.partition],
        ['namespace', request.namespace],
      ] as const)
        if (value !== '' && value !== TENANCY)
          throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, `${field} "${value}": is of Consul Enterprise`)
      const id = request.proxyId || request.serviceId
      const rights = access.known(call)
      const { case: by, value = '' } = request.nodeSpec
      const node = namedNode(catalog, by === 'nodeName' ? value : '', by === 'nodeId' ? value : '')
      const proxy = node && catalog.instanceOn(catalog.nodeKey(node.Node), id)
      if (node === undefined || proxy === undefined) throw new GrpcError(GrpcStatus.NOT_FOUND, 'Service not found')
      const service = meshServiceOf(proxy)
      rights?.need('service', service, 'write')
      const defaults = entries.get('proxy-defaults', 'global')
      return {
        service,
        identity: service,
        namespace: TENANCY,
        partition: TENANCY,
        datacenter,
        nodeName: node.Node,
        config: { ...defaults?.Config, ...proxy.Proxy?.Config } as JsonObject,
        accessLogs: filterAccessLogs(defaults?.AccessLogs).map(log =>
          toJsonString(AccessLogSchema, create(AccessLogSchema, log), { registry: REGISTRY, useProtoFieldName: true }),
        ),
      }
    }),
  )
}
