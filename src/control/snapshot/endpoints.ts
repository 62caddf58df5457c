// Endpoints of every EDS cluster of a proxy: the connect instances (sidecars) of the target's service that its subset's filter takes,
// with health and weight. An assignment is sent for every known cluster, with no endpoints when there is none:
// a missing one would keep the cluster, and with it the listener, waiting for ever.
import { isIP } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { HealthStatus as EnvoyHealth } from '../../xds/gen/envoy/config/core/v3/health_check_pb.js'
import type { LbEndpointSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { ClusterLoadAssignmentSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { ENDPOINT_TYPE } from '../../xds/type-urls.js'
import type { HealthStatus } from '../catalog/check-definition.js'
import type { ServiceInstance } from '../catalog/service-definition.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import { type Init, pipeAddress, socketAddress } from './protobuf.js'
import { chainClusters, type ProxyView } from './proxy-view.js'

/** Envoy's limit on one endpoint's weight in Consul. */
const MAX_WEIGHT = 128

export interface TargetEndpoint {
  readonly instance: ServiceInstance
  /** Where the instance listens, the node's address filled in. */
  readonly address: string
  readonly health: HealthStatus
}

/** Endpoints of a target, subset applied, in order of instance ids. */
export type EndpointLookup = (target: DiscoveryTarget) => readonly TargetEndpoint[]

export function buildEndpoints(view: ProxyView, lookup: EndpointLookup): Resource[] {
  const assignments = new Map<string, Resource>()
  for (const { chain } of view.upstreams) {
    for (const resolver of chainClusters(chain)) {
      for (const { name, target } of resolver.targets) {
        if (assignments.has(name)) continue
        const onlyPassing = target.Subset.OnlyPassing === true
        const assignment = create(ClusterLoadAssignmentSchema, {
          clusterName: name,
          endpoints: [
            {
              lbEndpoints: lookup(target)
                .filter(isReachable)
                .map(endpoint => lbEndpoint(endpoint, onlyPassing)),
            },
          ],
        })
        assignments.set(name, makeResource(name, ENDPOINT_TYPE, toBinary(ClusterLoadAssignmentSchema, assignment)))
      }
    }
  }
  return [...assignments.values()]
}

/** One that EDS has no words for would take every other of its cluster with it. */
function isReachable({ instance, address }: TargetEndpoint): boolean {
  return instance.SocketPath !== '' || (isIP(address) !== 0 && instance.Port !== 0)
}

function lbEndpoint({ instance, address, health }: TargetEndpoint, onlyPassing: boolean): Init<typeof LbEndpointSchema> {
  const { Passing, Warning } = instance.Weights
  let healthy = health === 'passing' || (health === 'warning' && !onlyPassing)
  let weight = health === 'warning' ? Warning : Passing
  if (weight < 1) {
    healthy = false
    weight = 1
  }
  return {
    hostIdentifier: {
      case: 'endpoint',
      value: { address: instance.SocketPath === '' ? socketAddress(address, instance.Port) : pipeAddress(instance.SocketPath) },
    },
    healthStatus: healthy ? EnvoyHealth.HEALTHY : EnvoyHealth.UNHEALTHY,
    loadBalancingWeight: Math.min(weight, MAX_WEIGHT),
  }
}
