// envoy.config.endpoint.v3.ClusterLoadAssignment -> model. Called by decode.ts (EDS) and cluster.ts (load_assignment).
// Kept flat and cheap: an assignment may hold tens of thousands of endpoints.

import { ENDPOINT_DEFAULTS, NO_LOCALITY, newAssignment } from '../../model/defaults.js'
import type { Endpoint, EndpointAssignment, HealthStatus, LocalityEndpoints } from '../../model/endpoint.js'
import { HealthStatus as HealthStatusEnum } from '../gen/envoy/config/core/v3/health_check_pb.js'
import type { LbEndpoint, LocalityLbEndpoints } from '../gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import type { ClusterLoadAssignment } from '../gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { decodeAddress } from './address.js'
import type { Ctx } from './field-path.js'
import { decodeFraction, decodeMetadata, durationMsOr } from './values.js'

const MAX_UINT32 = 0xffff_ffff

const HEALTH: Record<HealthStatusEnum, HealthStatus> = {
  [HealthStatusEnum.UNKNOWN]: 'UNKNOWN',
  [HealthStatusEnum.HEALTHY]: 'HEALTHY',
  [HealthStatusEnum.UNHEALTHY]: 'UNHEALTHY',
  [HealthStatusEnum.DRAINING]: 'DRAINING',
  [HealthStatusEnum.TIMEOUT]: 'TIMEOUT',
  [HealthStatusEnum.DEGRADED]: 'DEGRADED',
}

/** `hosts`: whether endpoints may be DNS names (STRICT_DNS, LOGICAL_DNS) or must be IP literals. */
export function decodeAssignment(assignment: ClusterLoadAssignment, ctx: Ctx, hosts: 'ip' | 'host'): EndpointAssignment {
  const localities = assignment.endpoints.map((locality, i) => decodeLocality(locality, ctx.at('endpoints', i), hosts))
  checkLocalityWeights(localities, ctx)
  const policy = assignment.policy
  if (policy !== undefined && policy.dropOverloads.length > 1) ctx.at('policy').at('drop_overloads').error('there can only be one category')
  const empty = newAssignment(assignment.clusterName, localities)
  if (policy === undefined) return empty
  return {
    ...empty,
    overprovisioningFactor: policy.overprovisioningFactor ?? empty.overprovisioningFactor,
    endpointStaleAfterMs: durationMsOr(policy.endpointStaleAfter, null),
    weightedPriorityHealth: policy.weightedPriorityHealth,
    dropPercentages: policy.dropOverloads.map((drop, i) => {
      const { numerator, denominator } = decodeFraction(drop.dropPercentage, '', 0)
      if (numerator > denominator) ctx.at('policy').at('drop_overloads', i).at('drop_percentage').error('is more than all')
      return { category: drop.category, numerator, denominator }
    }),
  }
}

function decodeLocality(locality: LocalityLbEndpoints, ctx: Ctx, hosts: 'ip' | 'host'): LocalityEndpoints {
  const nested = locality.lbConfig.case === 'loadBalancerEndpoints' ? locality.lbConfig.value.lbEndpoints : null
  const endpointsCtx = nested === null ? ctx : ctx.at('load_balancer_endpoints')
  const endpoints: Endpoint[] = []
  let total = 0
  ;(nested ?? locality.lbEndpoints).forEach((endpoint, i) => {
    const decoded = decodeEndpoint(endpoint, endpointsCtx, i, hosts)
    total += decoded.weight
    endpoints.push(decoded)
  })
  if (total > MAX_UINT32) ctx.error(`the sum of weights of all endpoints in a locality exceeds ${MAX_UINT32}`)
  const { locality: place } = locality
  return {
    locality: place === undefined ? NO_LOCALITY : { region: place.region, zone: place.zone, subZone: place.subZone },
    weight: locality.loadBalancingWeight ?? 0,
    priority: locality.priority,
    endpoints,
  }
}

function decodeEndpoint(lb: LbEndpoint, localityCtx: Ctx, i: number, hosts: 'ip' | 'host'): Endpoint {
  const endpoint = lb.hostIdentifier.case === 'endpoint' ? lb.hostIdentifier.value : undefined
  const ctx = localityCtx.at('lb_endpoints', i)
  if (lb.hostIdentifier.case === undefined) ctx.error('one of endpoint, endpoint_name is required')
  const check = endpoint?.healthCheckConfig
  return {
    address: decodeAddress(endpoint?.address, ctx.at('endpoint').at('address'), hosts),
    hostname: endpoint?.hostname ?? '',
    health: HEALTH[lb.healthStatus] ?? 'UNKNOWN',
    weight: lb.loadBalancingWeight ?? ENDPOINT_DEFAULTS.weight,
    metadata: decodeMetadata(lb.metadata),
    healthCheckPort: check === undefined || check.portValue === 0 ? null : check.portValue,
    healthCheckHostname: check?.hostname ?? '',
    disableActiveHealthCheck: check?.disableActiveHealthCheck ?? false,
  }
}

/** Per priority, locality weights must fit 32 bits; a locality may stand only once in a priority. */
function checkLocalityWeights(localities: readonly LocalityEndpoints[], ctx: Ctx): void {
  const sums = new Map<number, number>()
  localities.forEach((locality, i) => {
    const sum = (sums.get(locality.priority) ?? 0) + locality.weight
    sums.set(locality.priority, sum)
    if (sum > MAX_UINT32) {
      ctx
        .at('endpoints', i)
        .at('load_balancing_weight')
        .error(`the sum of weights of all localities at the same priority exceeds ${MAX_UINT32}`)
    }
  })
}
