// The entry points: one resource of each type, as bytes of an Any or as a message, -> Checked model. Called by the xDS client's owner
// (cli) for every resource of a response, and by tests. A result with errors is the NACK of that resource.

import { type DescMessage, isMessage, type Message, type MessageShape } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { Steps } from '../../io/slices.js'
import type { RuntimeValue } from '../../model/bootstrap.js'
import type { Cluster } from '../../model/cluster.js'
import type { EndpointAssignment } from '../../model/endpoint.js'
import type { ExtensionConfig } from '../../model/extension-config.js'
import type { Listener } from '../../model/listener.js'
import type { RouteTable, VirtualHost } from '../../model/route.js'
import type { RouteScope } from '../../model/scoped-routes.js'
import type { Secret } from '../../model/tls.js'
import { type Cluster as ClusterMessage, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from '../gen/envoy/config/core/v3/extension_pb.js'
import { type ClusterLoadAssignment, ClusterLoadAssignmentSchema } from '../gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { type Listener as ListenerMessage, ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.js'
import { type VirtualHost as VirtualHostMessage, VirtualHostSchema } from '../gen/envoy/config/route/v3/route_components_pb.js'
import { type RouteConfiguration, RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.js'
import { type ScopedRouteConfiguration, ScopedRouteConfigurationSchema } from '../gen/envoy/config/route/v3/scoped_route_pb.js'
import { type Secret as SecretMessage, SecretSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { type Runtime as RuntimeMessage, RuntimeSchema } from '../gen/envoy/service/runtime/v3/rtds_pb.js'
import { parseBytes, typeNameOf } from './any.js'
import { decodeClusterMessage } from './cluster.js'
import { decodeAssignment } from './endpoint.js'
import { decodeExtensionConfigMessage } from './extension-config.js'
import { Ctx, type Decoded, type DecodeOptions, ErrorCollector } from './field-path.js'
import { decodeListenerMessage } from './listener.js'
import { checkMessage } from './message-check.js'
import { decodeRouteTable, decodeRouteTableInSteps, decodeVirtualHostMessage } from './route.js'
import { routeConfigurationParts, UnparsedMessage } from './route-message.js'
import { decodeRuntimeMessage } from './runtime.js'
import { decodeRouteScope } from './scoped-routes.js'
import { decodeSecretMessage } from './secret.js'

/** What a decoder takes: serialised bytes, an Any that holds them, or the message itself. */
export type Resource<M extends Message> = Uint8Array | Any | M

const DYNAMIC: DecodeOptions = { unknownFields: 'count' }

/** `decode` returns null only after it recorded an error. */
function decodeResource<D extends DescMessage, T>(
  desc: D,
  resource: Resource<MessageShape<D>>,
  options: DecodeOptions,
  decode: (message: MessageShape<D>, ctx: Ctx) => T | null,
): Decoded<T> {
  const sink = new ErrorCollector({ ...DYNAMIC, ...options })
  const ctx = new Ctx(sink)
  const message = resourceMessage(desc, resource, ctx)
  if (message === null) return sink.failure()
  checkMessage(desc, message, ctx)
  return sink.result(decode(message, ctx) as T)
}

function resourceMessage<D extends DescMessage>(desc: D, resource: Resource<MessageShape<D>>, ctx: Ctx): MessageShape<D> | null {
  if (resource instanceof Uint8Array) return parseBytes(desc, resource, ctx)
  if (isMessage(resource, desc)) return resource
  const any = resource as Any
  if (typeNameOf(any.typeUrl) === desc.typeName) return parseBytes(desc, any.value, ctx)
  ctx.error(`expected a resource of type ${desc.typeName}, got ${any.typeUrl || 'no type'}`)
  return null
}

export function decodeListener(resource: Resource<ListenerMessage>, options: DecodeOptions = {}): Decoded<Listener> {
  return decodeResource(ListenerSchema, resource, options, (message, ctx) => decodeListenerMessage(message, ctx, false))
}

export function decodeRouteConfiguration(resource: Resource<RouteConfiguration>, options: DecodeOptions = {}): Decoded<RouteTable> {
  return decodeResource(RouteConfigurationSchema, resource, options, (message, ctx) => decodeRouteTable(message, ctx, true))
}

/** RDS: the same with pauses, a route at a time, for a table of thousands. */
export function* decodeRouteConfigurationInSteps(bytes: Uint8Array, options: DecodeOptions = {}): Steps<Decoded<RouteTable>> {
  const sink = new ErrorCollector({ ...DYNAMIC, ...options })
  const ctx = new Ctx(sink)
  try {
    const { config, hosts } = yield* routeConfigurationParts(bytes, ctx)
    return sink.result(yield* decodeRouteTableInSteps(config, hosts, ctx, true))
  } catch (error) {
    if (!(error instanceof UnparsedMessage)) throw error
    ctx.error(error.message)
    return sink.failure()
  }
}

/** VHDS. */
export function decodeVirtualHost(resource: Resource<VirtualHostMessage>, options: DecodeOptions = {}): Decoded<VirtualHost> {
  return decodeResource(VirtualHostSchema, resource, options, decodeVirtualHostMessage)
}

/** SRDS. */
export function decodeScopedRoute(resource: Resource<ScopedRouteConfiguration>, options: DecodeOptions = {}): Decoded<RouteScope> {
  return decodeResource(ScopedRouteConfigurationSchema, resource, options, decodeRouteScope)
}

export function decodeCluster(resource: Resource<ClusterMessage>, options: DecodeOptions = {}): Decoded<Cluster> {
  return decodeResource(ClusterSchema, resource, options, decodeClusterMessage)
}

/** ECDS. */
export function decodeExtensionConfig(resource: Resource<TypedExtensionConfig>, options: DecodeOptions = {}): Decoded<ExtensionConfig> {
  return decodeResource(TypedExtensionConfigSchema, resource, options, decodeExtensionConfigMessage)
}

/** EDS: endpoints must be IP literals or pipes. */
export function decodeEndpointAssignment(
  resource: Resource<ClusterLoadAssignment>,
  options: DecodeOptions = {},
): Decoded<EndpointAssignment> {
  return decodeResource(ClusterLoadAssignmentSchema, resource, options, (message, ctx) => decodeAssignment(message, ctx, 'ip'))
}

/** RTDS: flat keys and values. */
export function decodeRuntime(resource: Resource<RuntimeMessage>, options: DecodeOptions = {}): Decoded<ReadonlyMap<string, RuntimeValue>> {
  return decodeResource(RuntimeSchema, resource, options, decodeRuntimeMessage)
}

export function decodeSecret(resource: Resource<SecretMessage>, options: DecodeOptions = {}): Decoded<Secret> {
  return decodeResource(SecretSchema, resource, options, decodeSecretMessage)
}
