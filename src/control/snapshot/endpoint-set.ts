// The endpoints of one target, and the assignments made of them: each is encoded once for all proxies that have the cluster, and, where the nearest
// come first, once for each zone that proxies are in. Made by build-snapshot.ts when a target is first looked up, dropped by it when the service
// changes; asked by endpoints.ts.
// Invariant: a set never changes, so what was encoded from it stays right for as long as the set is given out.
import { isIP } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { HealthStatus as EnvoyHealth } from '../../xds/gen/envoy/config/core/v3/health_check_pb.js'
import type { LbEndpointSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { ClusterLoadAssignmentSchema } from '../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { ENDPOINT_TYPE } from '../../xds/type-urls.js'
import { type HealthStatus, isWell } from '../catalog/check-definition.js'
import { distance, type Locality } from '../catalog/locality.js'
import type { ServiceInstance } from '../catalog/service-definition.js'
import { type Init, pipeAddress, socketAddress } from './protobuf.js'

/** Envoy's limit on one endpoint's weight in Consul. */
const MAX_WEIGHT = 128
/** Percent: one healthy endpoint of a thousand keeps a priority in use, as Consul has it. Only then are those farther away asked. */
const STRICT_FAILOVER = 100_000

export interface TargetEndpoint {
  readonly instance: Pick<ServiceInstance, 'SocketPath' | 'Port' | 'Weights'>
  /** Where the instance listens, the node's address filled in. */
  readonly address: string
  readonly health: HealthStatus
  readonly locality?: Locality | undefined
}

/** The endpoints of a target in one order. */
export interface Assignments {
  /** `onlyPassing`: an instance with a check that warns is not used. */
  assignment(clusterName: string, onlyPassing: boolean): Resource
}

export class EndpointSet implements Assignments {
  private readonly endpoints: readonly TargetEndpoint[]
  private readonly whole: OrderedEndpoints
  private readonly ordered = new Map<string, OrderedEndpoints>()

  /** In order of instance ids. */
  constructor(endpoints: readonly TargetEndpoint[]) {
    this.endpoints = endpoints.filter(isReachable)
    this.whole = new OrderedEndpoints(groupsOf(this.endpoints, undefined))
  }

  /** Of each. */
  get localities(): readonly (Locality | undefined)[] {
    return this.endpoints.map(({ locality }) => locality)
  }

  assignment(clusterName: string, onlyPassing: boolean): Resource {
    return this.whole.assignment(clusterName, onlyPassing)
  }

  /** The instances of the same zone before those of the same region, and these before all others. */
  nearestFirst(from: Locality): Assignments {
    const key = JSON.stringify([from.Region, from.Zone])
    let ordered = this.ordered.get(key)
    if (ordered === undefined) this.ordered.set(key, (ordered = new OrderedEndpoints(groupsOf(this.endpoints, from))))
    return ordered
  }
}

class OrderedEndpoints implements Assignments {
  private readonly assignments = new Map<string, Resource>()

  constructor(private readonly groups: readonly Group[]) {}

  assignment(clusterName: string, onlyPassing: boolean): Resource {
    const key = `${onlyPassing} ${clusterName}`
    let resource = this.assignments.get(key)
    if (resource === undefined) {
      const isOrdered = this.groups.at(-1)!.priority > 0
      const message = create(ClusterLoadAssignmentSchema, {
        clusterName,
        endpoints: this.groups.map(({ priority, locality, members }) => ({
          priority,
          ...(locality && { locality: { region: locality.Region, zone: locality.Zone } }),
          lbEndpoints: members.map(endpoint => lbEndpoint(endpoint, onlyPassing)),
        })),
        ...(isOrdered ? { policy: { overprovisioningFactor: STRICT_FAILOVER } } : {}),
      })
      resource = makeResource(clusterName, ENDPOINT_TYPE, toBinary(ClusterLoadAssignmentSchema, message))
      this.assignments.set(key, resource)
    }
    return resource
  }
}

/** What EDS keeps together: one locality at one priority. */
interface Group {
  readonly priority: number
  readonly locality: Locality | undefined
  readonly members: TargetEndpoint[]
}

/** By priority, which counts from 0 without a gap, then by locality. One group at least. */
function groupsOf(endpoints: readonly TargetEndpoint[], from: Locality | undefined): Group[] {
  const groups = new Map<string, Group>()
  for (const endpoint of endpoints) {
    const { locality } = endpoint
    const priority = from === undefined ? 0 : distance(from, locality)
    const key = JSON.stringify([priority, locality?.Region ?? '', locality?.Zone ?? ''])
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = { priority, locality, members: [] }))
    group.members.push(endpoint)
  }
  if (groups.size === 0) return [{ priority: 0, locality: undefined, members: [] }]
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
  const used = [...new Set(sorted.map(({ priority }) => priority))]
  return sorted.map(group => ({ ...group, priority: used.indexOf(group.priority) }))
}

/** One that EDS has no words for would take every other of its cluster with it. */
function isReachable({ instance, address }: TargetEndpoint): boolean {
  return instance.SocketPath !== '' || (isIP(address) !== 0 && instance.Port !== 0)
}

function lbEndpoint({ instance, address, health }: TargetEndpoint, onlyPassing: boolean): Init<typeof LbEndpointSchema> {
  const { Passing, Warning } = instance.Weights
  let healthy = isWell(health, onlyPassing)
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
