// The endpoints of one target, and the assignments made of them: each is encoded once for all proxies that have the cluster. Made by
// build-snapshot.ts when a target is first looked up, dropped by it when the service changes; asked by endpoints.ts.
// Invariant: a set never changes, so what was encoded from it stays right for as long as the set is given out.
import { isIP } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { HealthStatus as EnvoyHealth } from '../../xds/gen/envoy/config/core/v3/health_check_pb.js'
import type { LbEndpointSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { ClusterLoadAssignmentSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { ENDPOINT_TYPE } from '../../xds/type-urls.js'
import type { HealthStatus } from '../catalog/check-definition.js'
import type { ServiceInstance } from '../catalog/service-definition.js'
import { type Init, pipeAddress, socketAddress } from './protobuf.js'

/** Envoy's limit on one endpoint's weight in Consul. */
const MAX_WEIGHT = 128

export interface TargetEndpoint {
  readonly instance: Pick<ServiceInstance, 'SocketPath' | 'Port' | 'Weights'>
  /** Where the instance listens, the node's address filled in. */
  readonly address: string
  readonly health: HealthStatus
}

export class EndpointSet {
  private readonly endpoints: readonly TargetEndpoint[]
  private readonly assignments = new Map<string, Resource>()

  /** In order of instance ids. */
  constructor(endpoints: readonly TargetEndpoint[]) {
    this.endpoints = endpoints.filter(isReachable)
  }

  /** `onlyPassing`: an instance with a check that warns is not used. */
  assignment(clusterName: string, onlyPassing: boolean): Resource {
    const key = `${onlyPassing} ${clusterName}`
    let resource = this.assignments.get(key)
    if (resource === undefined) {
      const message = create(ClusterLoadAssignmentSchema, {
        clusterName,
        endpoints: [{ lbEndpoints: this.endpoints.map(endpoint => lbEndpoint(endpoint, onlyPassing)) }],
      })
      resource = makeResource(clusterName, ENDPOINT_TYPE, toBinary(ClusterLoadAssignmentSchema, message))
      this.assignments.set(key, resource)
    }
    return resource
  }
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
