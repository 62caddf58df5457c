// Escape hatches: listeners, clusters and tracing that a user has written as Envoy's own JSON (`envoy_public_listener_json`,
// `envoy_local_cluster_json`, `envoy_listener_json`, `envoy_cluster_json`, `envoy_listener_tracing_json`), read and made part of the mesh.
// Called by the listener, cluster and connection manager builders in place of what they would make themselves.
// Invariant: whatever is written there, the public listener keeps mesh TLS and the intentions, and a cluster of an upstream its mesh TLS.
import { create, type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { type Cluster, ClusterSchema } from '../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { TransportSocketSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { type FilterChain, FilterSchema } from '../../xds/gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener, ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import {
  type HttpConnectionManager_Tracing,
  HttpConnectionManager_TracingSchema,
  HttpConnectionManagerSchema,
  HttpFilterSchema,
} from '../../xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { Ctx, ErrorCollector } from '../../xds/resources/field-path.js'
import { messageFromJson } from '../../xds/resources/json-message.js'
import { schemaOf } from '../../xds/resources/schemas.js'
import { RefusedConfig } from './kinds/proxy-kind.js'
import { type Init, pack } from './protobuf.js'

const HCM_TYPE = `type.googleapis.com/${HttpConnectionManagerSchema.typeName}`

export function userListener(json: string, key: string): Listener {
  return message(ListenerSchema, json, key)
}

export function userCluster(json: string, key: string): Cluster {
  return message(ClusterSchema, json, key)
}

export function userTracing(json: string): HttpConnectionManager_Tracing {
  const key = 'envoy_listener_tracing_json'
  const tracing = message(HttpConnectionManager_TracingSchema, json, key)
  const config = tracing.provider?.configType
  // Without the message's own type its content could not be carried over.
  if (config?.case === 'typedConfig' && schemaOf(config.value.typeUrl.slice(config.value.typeUrl.lastIndexOf('/') + 1)) === undefined)
    throw new RefusedConfig(
      `${key}: provider: type ${config.value.typeUrl} is not known here (envoy_tracing_json of the bootstrap takes any)`,
    )
  return tracing
}

function message<S extends DescMessage>(schema: S, json: string, key: string): MessageShape<S> {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new RefusedConfig(`${key}: is not JSON`)
  }
  // Consul takes the message itself, or one that says its type.
  if (typeof value === 'object' && value !== null && '@type' in value) {
    const { '@type': type, ...rest } = value as { '@type': unknown }
    if (!String(type).endsWith(`/${schema.typeName}`))
      throw new RefusedConfig(`${key}: must be of type ${schema.typeName}, not ${String(type)}`)
    value = rest
  }
  const errors = new ErrorCollector({ unknownFields: 'refuse' })
  const read = messageFromJson(schema, value, new Ctx(errors)) as MessageShape<S>
  const [first] = errors.errors
  if (first !== undefined) throw new RefusedConfig(`${key}: ${first.path === '' ? '' : `${first.path}: `}${first.reason}`)
  return read
}

/** What no filter chain of a public listener may do without. */
export interface PublicGuard {
  readonly tls: Init<typeof TransportSocketSchema>
  /** Of a service that speaks HTTP: put before the filters of the connection manager. */
  readonly httpFilters: readonly Init<typeof HttpFilterSchema>[] | undefined
  /** Of one that does not: put before the filters of the chain. */
  readonly networkFilter: Init<typeof FilterSchema>
}

/** Sets TLS and authorisation on every filter chain of the user's public listener. */
export function guardChains(listener: Listener, guard: PublicGuard): void {
  const chains = [...listener.filterChains, ...(listener.defaultFilterChain === undefined ? [] : [listener.defaultFilterChain])]
  if (chains.length === 0) throw new RefusedConfig('envoy_public_listener_json: has no filter chain')
  for (const chain of chains) guardChain(chain, guard)
}

function guardChain(chain: FilterChain, { tls, httpFilters, networkFilter }: PublicGuard): void {
  chain.transportSocket = create(TransportSocketSchema, tls)
  if (httpFilters === undefined) {
    chain.filters.unshift(create(FilterSchema, networkFilter))
    return
  }
  const manager = chain.filters.find(({ configType }) => configType.case === 'typedConfig' && configType.value.typeUrl === HCM_TYPE)
  if (manager?.configType.case !== 'typedConfig')
    throw new RefusedConfig(
      'envoy_public_listener_json: each filter chain needs an http_connection_manager for the intentions, because the service speaks HTTP',
    )
  const hcm = fromBinary(HttpConnectionManagerSchema, manager.configType.value.value)
  hcm.httpFilters.unshift(...httpFilters.map(filter => create(HttpFilterSchema, filter)))
  manager.configType = { case: 'typedConfig', value: pack(HttpConnectionManagerSchema, hcm) }
}
