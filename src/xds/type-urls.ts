// The resource types of xDS v3: their type URLs, the gRPC services that carry one type alone, and the order in which types are
// subscribed to and pushed. Used by the ADS client and server, the control plane and the decoders. Every type here has its resource
// name in field 1 of its message, which is what lets the transport read names without knowing the message.

const PREFIX = 'type.googleapis.com/'

export const CLUSTER_TYPE = `${PREFIX}envoy.config.cluster.v3.Cluster`
export const ENDPOINT_TYPE = `${PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment`
export const LISTENER_TYPE = `${PREFIX}envoy.config.listener.v3.Listener`
export const ROUTE_TYPE = `${PREFIX}envoy.config.route.v3.RouteConfiguration`
export const SCOPED_ROUTE_TYPE = `${PREFIX}envoy.config.route.v3.ScopedRouteConfiguration`
export const VIRTUAL_HOST_TYPE = `${PREFIX}envoy.config.route.v3.VirtualHost`
export const SECRET_TYPE = `${PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`
export const RUNTIME_TYPE = `${PREFIX}envoy.service.runtime.v3.Runtime`
export const EXTENSION_CONFIG_TYPE = `${PREFIX}envoy.config.core.v3.TypedExtensionConfig`

/** The wrapper that gives a state-of-the-world resource a name, a version or a TTL of its own. */
export const WRAPPED_RESOURCE_TYPE = `${PREFIX}envoy.service.discovery.v3.Resource`

const SUBSCRIPTION_ORDER: readonly string[] = [
  RUNTIME_TYPE,
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  SECRET_TYPE,
  LISTENER_TYPE,
  SCOPED_ROUTE_TYPE,
  ROUTE_TYPE,
  VIRTUAL_HOST_TYPE,
  EXTENSION_CONFIG_TYPE,
]

/** Compares two type URLs by the order in which a client asks for them: what is depended upon first (CDS, EDS, LDS, RDS). */
export function compareTypes(a: string, b: string): number {
  const rankA = SUBSCRIPTION_ORDER.indexOf(a)
  const rankB = SUBSCRIPTION_ORDER.indexOf(b)
  return (rankA < 0 ? SUBSCRIPTION_ORDER.length : rankA) - (rankB < 0 ? SUBSCRIPTION_ORDER.length : rankB)
}

const FULL_STATE_TYPES: ReadonlySet<string> = new Set([CLUSTER_TYPE, LISTENER_TYPE, SCOPED_ROUTE_TYPE])

/** Whether a state-of-the-world response of this type is the whole state, so that what it does not name is removed (xDS protocol, "Deleting resources"). */
export function isFullStateType(typeUrl: string): boolean {
  return FULL_STATE_TYPES.has(typeUrl)
}

/** Full gRPC method paths of one discovery service, in both forms. */
export interface DiscoveryMethods {
  readonly service: string
  readonly stateOfTheWorld: string
  readonly delta: string
}

function methods(service: string, stateOfTheWorld: string, delta: string): DiscoveryMethods {
  return { service, stateOfTheWorld: `/${service}/${stateOfTheWorld}`, delta: `/${service}/${delta}` }
}

export const ADS_METHODS = methods(
  'envoy.service.discovery.v3.AggregatedDiscoveryService',
  'StreamAggregatedResources',
  'DeltaAggregatedResources',
)

const PER_TYPE: ReadonlyMap<string, DiscoveryMethods> = new Map([
  [CLUSTER_TYPE, methods('envoy.service.cluster.v3.ClusterDiscoveryService', 'StreamClusters', 'DeltaClusters')],
  [ENDPOINT_TYPE, methods('envoy.service.endpoint.v3.EndpointDiscoveryService', 'StreamEndpoints', 'DeltaEndpoints')],
  [LISTENER_TYPE, methods('envoy.service.listener.v3.ListenerDiscoveryService', 'StreamListeners', 'DeltaListeners')],
  [ROUTE_TYPE, methods('envoy.service.route.v3.RouteDiscoveryService', 'StreamRoutes', 'DeltaRoutes')],
  [SCOPED_ROUTE_TYPE, methods('envoy.service.route.v3.ScopedRoutesDiscoveryService', 'StreamScopedRoutes', 'DeltaScopedRoutes')],
  [SECRET_TYPE, methods('envoy.service.secret.v3.SecretDiscoveryService', 'StreamSecrets', 'DeltaSecrets')],
  [RUNTIME_TYPE, methods('envoy.service.runtime.v3.RuntimeDiscoveryService', 'StreamRuntime', 'DeltaRuntime')],
  [
    EXTENSION_CONFIG_TYPE,
    methods('envoy.service.extension.v3.ExtensionConfigDiscoveryService', 'StreamExtensionConfigs', 'DeltaExtensionConfigs'),
  ],
])

/** Its only form is delta, so its users are refused any other source. */
const VIRTUAL_HOST_METHODS = methods('envoy.service.route.v3.VirtualHostDiscoveryService', 'DeltaVirtualHosts', 'DeltaVirtualHosts')

/** The service that carries this type alone (`api_config_source` instead of `ads`), or undefined if there is none. */
export function methodsForType(typeUrl: string): DiscoveryMethods | undefined {
  return typeUrl === VIRTUAL_HOST_TYPE ? VIRTUAL_HOST_METHODS : PER_TYPE.get(typeUrl)
}

const REST_PATHS: ReadonlyMap<string, string> = new Map([
  [CLUSTER_TYPE, '/v3/discovery:clusters'],
  [ENDPOINT_TYPE, '/v3/discovery:endpoints'],
  [LISTENER_TYPE, '/v3/discovery:listeners'],
  [ROUTE_TYPE, '/v3/discovery:routes'],
  [SCOPED_ROUTE_TYPE, '/v3/discovery:scoped-routes'],
  [SECRET_TYPE, '/v3/discovery:secrets'],
  [RUNTIME_TYPE, '/v3/discovery:runtime'],
  [EXTENSION_CONFIG_TYPE, '/v3/discovery:extension_configs'],
])

/** Where a type is polled over REST, or undefined: virtual hosts come by delta streams alone. */
export function restPathOf(typeUrl: string): string | undefined {
  return REST_PATHS.get(typeUrl)
}
