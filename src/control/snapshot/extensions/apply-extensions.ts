// Applies a service's Envoy extensions to the resources that the builders made: decodes what an extension may change, lets each change it
// in order, and packs it again. Called by kinds/sidecar.ts for each type of resource; without extensions nothing is decoded.
// Invariant: one that fails leaves its resource as it was before; a required one holds back the whole snapshot.
import { clone, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { ClusterSchema } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../xds/gen/envoy/config/route/v3/route_pb.js'
import { makeResource, type Resource } from '../../../xds/server/snapshot.js'
import { CLUSTER_TYPE } from '../../../xds/type-urls.js'
import { SnapshotError } from '../kinds/proxy-kind.js'
import { virtualUpstreams } from '../outbound-listener.js'
import { chainClusters, type ProxyView } from '../proxy-view.js'
import { type EnvoyExtension, ExtensionError, type ExtensionView, type Place } from './envoy-extension.js'

type Change<M> = (extension: EnvoyExtension, message: M, place: Place, view: ExtensionView) => void

export function extendClusters(view: ProxyView, resources: Resource[]): Resource[] {
  const extended = extend(ClusterSchema, view, resources, (extension, message, place) => extension.cluster?.(message, place))
  const added = view.extensions.flatMap(({ extension }) => extension.clusters?.() ?? [])
  return [...extended, ...added.map(cluster => makeResource(cluster.name, CLUSTER_TYPE, toBinary(ClusterSchema, cluster)))]
}

export function extendEndpoints(view: ProxyView, resources: Resource[]): Resource[] {
  return extend(ClusterLoadAssignmentSchema, view, resources, (extension, message, place) => extension.endpoints?.(message, place))
}

export function extendListeners(view: ProxyView, resources: Resource[]): Resource[] {
  return extend(ListenerSchema, view, resources, (extension, message, place, of) => extension.listener?.(message, place, of))
}

export function extendRoutes(view: ProxyView, resources: Resource[]): Resource[] {
  return extend(RouteConfigurationSchema, view, resources, (extension, message, place) => extension.routes?.(message, place))
}

function extend<S extends DescMessage>(schema: S, view: ProxyView, resources: Resource[], change: Change<MessageShape<S>>): Resource[] {
  if (view.extensions.length === 0) return resources
  const seen: ExtensionView = {
    protocol: view.protocol,
    clusterOf: service => {
      const upstream = view.upstreams.find(candidate => candidate.upstream.DestinationName === service)
      return upstream && chainClusters(upstream.chain)[0]?.name
    },
  }
  return resources.map(resource => {
    const place = placeOf(view, resource.name)
    let message = fromBinary(schema, resource.any.value)
    for (const { name, required, extension } of view.extensions) {
      const changed = clone(schema, message)
      try {
        change(extension, changed, place, seen)
        message = changed
      } catch (error) {
        if (!(error instanceof ExtensionError)) throw error
        const reason = `extension "${name}" can't be applied to ${resource.name}: ${error.message}`
        if (required) throw new SnapshotError(reason)
        view.problems.push({ path: 'EnvoyExtensions', reason })
      }
    }
    return makeResource(resource.name, resource.any.typeUrl, toBinary(schema, message), resource.children)
  })
}

/** Clusters and assignments go by the names of clusters, listeners and route tables by the name of the upstream. */
function placeOf(view: ProxyView, name: string): Place {
  const services = new Set<string>()
  for (const { upstream, envoyId, chain } of view.upstreams) {
    if (name === envoyId || name.startsWith(`${envoyId}:`)) services.add(upstream.DestinationName)
    for (const { name: aggregate, targets } of chainClusters(chain)) {
      for (const target of targets)
        if (name === target.name || name === aggregate) services.add(upstream.DestinationName).add(target.target.Service)
    }
  }
  if (name.startsWith('outbound_listener:'))
    return { direction: 'outbound', services: virtualUpstreams(view).map(({ upstream }) => upstream.DestinationName), isPublic: false }
  const direction = services.size > 0 ? 'outbound' : 'inbound'
  return { direction, services: [...services], isPublic: name.startsWith('public_listener:') }
}
