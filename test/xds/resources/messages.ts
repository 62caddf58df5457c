// Builders for the tests of this folder: messages from ProtoJSON, a small valid configuration to vary, and short views of a result.

import { createRegistry, type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf'
import type { Checked } from '../../../src/model/config-error.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { SecretSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  decodeCluster,
  decodeEndpointAssignment,
  decodeListener,
  decodeRouteConfiguration,
  decodeSecret,
} from '../../../src/xds/resources/decode.js'
import { knownSchemas } from '../../../src/xds/resources/schemas.js'

const registry = createRegistry(...knownSchemas())

export type Json = { [key: string]: unknown }

export const TYPE = 'type.googleapis.com/'

export function message<D extends DescMessage>(desc: D, json: Json): MessageShape<D> {
  return fromJson(desc, json as JsonValue, { registry })
}

export const httpFilter = (type: string, config: Json = {}, name = type.split('.')[0]!): Json => ({
  name,
  typed_config: { '@type': `${TYPE}envoy.extensions.filters.http.${type}`, ...config },
})
export const networkFilter = (type: string, config: Json = {}, name = type.split('.')[0]!): Json => ({
  name,
  typed_config: { '@type': `${TYPE}envoy.extensions.filters.network.${type}`, ...config },
})
export const router = (): Json => httpFilter('router.v3.Router', {}, 'r')
export const tls = (side: 'Upstream' | 'Downstream', config: Json = {}): Json => ({
  name: 'tls',
  typed_config: { '@type': `${TYPE}envoy.extensions.transport_sockets.tls.v3.${side}TlsContext`, ...config },
})

/** Drops keys whose value is null, so that a default can be taken away. */
function without(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null))
}

export const hcm = (changes: Json = {}): Json =>
  networkFilter(
    'http_connection_manager.v3.HttpConnectionManager',
    without({
      stat_prefix: 'a',
      route_config: { virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }] }] },
      http_filters: [router()],
      ...changes,
    }),
    'hcm',
  )

export const listenerJson = (chain: Json = { filters: [hcm()] }, changes: Json = {}): Json =>
  without({
    name: 'l',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [chain],
    ...changes,
  })

export const endpointJson = (host = '127.0.0.1', port = 1): Json => ({
  endpoint: { address: { socket_address: { address: host, port_value: port } } },
})

export const clusterJson = (changes: Json = {}): Json =>
  without({ name: 'c', load_assignment: { cluster_name: 'c', endpoints: [{ lb_endpoints: [endpointJson()] }] }, ...changes })

export const bootstrapJson = (listener: Json = listenerJson(), cluster: Json = clusterJson(), changes: Json = {}): Json => ({
  static_resources: { listeners: [listener], clusters: [cluster] },
  ...changes,
})

export const routeJson = (changes: Json = {}, host: Json = {}, table: Json = {}): Json => ({
  name: 'rt',
  virtual_hosts: [
    { name: 'a', domains: ['*'], routes: [without({ match: { prefix: '/' }, route: { cluster: 'c' }, ...changes })], ...host },
  ],
  ...table,
})

export const decodeListenerJson = (json: Json) => decodeListener(message(ListenerSchema, json))
export const decodeClusterJson = (json: Json) => decodeCluster(message(ClusterSchema, json))
export const decodeRouteJson = (json: Json) => decodeRouteConfiguration(message(RouteConfigurationSchema, json))
export const decodeEndpointsJson = (json: Json) => decodeEndpointAssignment(message(ClusterLoadAssignmentSchema, json))
export const decodeSecretJson = (json: Json) => decodeSecret(message(SecretSchema, json))

/** The value, or a failure that shows the errors. */
export function decoded<T>(result: Checked<T>): T {
  if (!result.ok) throw new Error(result.errors.map(error => `${error.path}: ${error.reason}`).join('\n'))
  return result.value
}

/** `path: reason` of every error; empty when there is none. */
export function errorsOf(result: Checked<unknown>): string[] {
  return result.ok ? [] : result.errors.map(error => `${error.path}: ${error.reason}`)
}

export function pathsOf(result: Checked<unknown>): string[] {
  return result.ok ? [] : result.errors.map(error => error.path)
}
