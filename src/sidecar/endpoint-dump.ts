// A cluster's hosts as they are now, as the ClusterLoadAssignment that Envoy's /config_dump?include_eds prints: with every default said, and
// health as it was found, not as it was sent. Called by config-dump.ts.

import { create, type JsonObject, toBinary } from '@bufbuild/protobuf'
import type { Address } from '../model/address.js'
import type { UpstreamCluster } from '../upstream/cluster/cluster.js'
import type { Host } from '../upstream/host/host.js'
import type { HostSet, LocalityHosts } from '../upstream/host/host-set.js'
import { type Address as AddressMessage, AddressSchema } from '../xds/gen/envoy/config/core/v3/address_pb.js'
import { LocalitySchema, MetadataSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'
import { HealthStatus } from '../xds/gen/envoy/config/core/v3/health_check_pb.js'
import {
  type LbEndpoint,
  LbEndpointSchema,
  type LocalityLbEndpoints,
  LocalityLbEndpointsSchema,
} from '../xds/gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { ClusterLoadAssignmentSchema } from '../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'

const HEALTH = { healthy: HealthStatus.HEALTHY, degraded: HealthStatus.DEGRADED, unhealthy: HealthStatus.UNHEALTHY } as const

export function endpointsOf(cluster: UpstreamCluster): Uint8Array {
  const { discovery } = cluster.config
  const message = create(ClusterLoadAssignmentSchema, {
    clusterName: (discovery.kind === 'eds' && discovery.serviceName) || cluster.name,
    policy: { overprovisioningFactor: cluster.hostSets[0]!.overprovisioningFactor },
    endpoints: cluster.hostSets.flatMap(set =>
      set.localities.filter(({ hosts }) => hosts.length > 0).map(each => localityOf(cluster, set, each)),
    ),
  })
  return toBinary(ClusterLoadAssignmentSchema, message)
}

function localityOf(cluster: UpstreamCluster, { priority }: HostSet, { locality, hosts }: LocalityHosts): LocalityLbEndpoints {
  return create(LocalityLbEndpointsSchema, {
    locality: create(LocalitySchema, locality),
    priority,
    loadBalancingWeight: cluster.localityWeight(priority, locality),
    lbEndpoints: hosts.map(endpointOf),
  })
}

function endpointOf(host: Host): LbEndpoint {
  const { healthCheckPort, healthCheckHostname, metadata } = host.endpoint
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        address: addressOf(host.address),
        hostname: host.hostname,
        healthCheckConfig: { portValue: healthCheckPort ?? 0, hostname: healthCheckHostname },
      },
    },
    healthStatus: HEALTH[host.health],
    ...(metadata.size === 0
      ? {}
      : { metadata: create(MetadataSchema, { filterMetadata: Object.fromEntries(metadata) as Record<string, JsonObject> }) }),
    loadBalancingWeight: host.weight,
  })
}

function addressOf(address: Address): AddressMessage {
  if (address.kind === 'pipe') return create(AddressSchema, { address: { case: 'pipe', value: { path: address.path } } })
  const port = { case: 'portValue', value: address.port } as const
  return create(AddressSchema, { address: { case: 'socketAddress', value: { address: address.host, portSpecifier: port } } })
}
