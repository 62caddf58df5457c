// What an Envoy extension of Consul (`EnvoyExtensions` of proxy-defaults and service-defaults) is to the snapshot: changes to the messages
// that the builders have made for the proxy of the service. Implemented by one file an extension beside this one; applied by
// apply-extensions.ts, chosen by read-extensions.ts.
// Invariant: an extension is read once a view, every wrong argument refused then; what can only be seen while it is applied is an error there.
import type { Cluster } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import type { ClusterLoadAssignment } from '../../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import type { Listener } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import type { RouteConfiguration } from '../../../xds/gen/envoy/config/route/v3/route_pb.js'

/** Where a message stands in the proxy. */
export interface Place {
  readonly direction: 'inbound' | 'outbound'
  /** Outbound: the services that it leads to, as dialled and as the discovery chain resolves them. */
  readonly services: readonly string[]
  /** The public listener, and what stands in it. */
  readonly isPublic: boolean
}

/** What of the proxy an extension may look at. */
export interface ExtensionView {
  readonly protocol: string
  /** The cluster that an upstream's requests go to, by the service's name; undefined: it is none of the proxy's. */
  clusterOf(service: string): string | undefined
}

/** Each method changes the message in place. Throws `ExtensionError` when it cannot be applied to this proxy. */
export interface EnvoyExtension {
  cluster?(cluster: Cluster, place: Place): void
  endpoints?(assignment: ClusterLoadAssignment, place: Place): void
  listener?(listener: Listener, place: Place, view: ExtensionView): void
  routes?(table: RouteConfiguration, place: Place): void
  /** Clusters that the proxy has besides its own. */
  clusters?(): readonly Cluster[]
}

export interface NamedExtension {
  readonly name: string
  /** What it can't be applied to is not sent. */
  readonly required: boolean
  readonly extension: EnvoyExtension
}

export class ExtensionError extends Error {}
