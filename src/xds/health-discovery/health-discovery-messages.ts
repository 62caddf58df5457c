// Health discovery as messages of envoy.service.health.v3: who we are, the server's specifier and our reports, for sidecar/health-discovery.
// Loaded with the first stream, so that a proxy without hds_config does not carry these types. Fields as Envoy 1.40 fills them; what a
// specifier asks for is judged as a cluster of CDS would be.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Cluster } from '../../model/cluster.js'
import type { ConfigError } from '../../model/config-error.js'
import { addressMessage } from '../address-message.js'
import { type Cluster as ClusterMessage, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js'
import { HealthStatus } from '../gen/envoy/config/core/v3/health_check_pb.js'
import {
  Capability_Protocol,
  type ClusterHealthCheck,
  EndpointHealthSchema,
  type HealthCheckRequestOrEndpointHealthResponse,
  HealthCheckRequestOrEndpointHealthResponseSchema,
  type HealthCheckSpecifier,
  HealthCheckSpecifierSchema,
} from '../gen/envoy/service/health/v3/hds_pb.js'
import { decodeCluster } from '../resources/decode.js'
import { durationMs } from '../resources/values.js'
import type { ClusterHealth, HealthOrders, ReportedHealth } from './health-report.js'

/** Envoy's: of connections for checks. */
const CONNECT_TIMEOUT_S = 1n
const BUFFER_LIMIT_BYTES = 32 * 1024
/** Envoy's, where the server names none. */
const DEFAULT_INTERVAL_MS = 1000
/** A report takes time of its own. */
const MIN_INTERVAL_MS = 10

export type ReadOrders =
  | { readonly ok: true; readonly orders: HealthOrders }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

/** All of it, or why nothing of it. */
export function readSpecifier(bytes: Uint8Array): ReadOrders {
  let specifier: HealthCheckSpecifier
  try {
    specifier = fromBinary(HealthCheckSpecifierSchema, bytes)
  } catch {
    return refused('', 'it is no HealthCheckSpecifier')
  }
  const intervalMs = specifier.interval === undefined ? DEFAULT_INTERVAL_MS : durationMs(specifier.interval)
  if (intervalMs < MIN_INTERVAL_MS) return refused('interval', `${intervalMs} ms is shorter than ${MIN_INTERVAL_MS} ms`)
  const clusters: Cluster[] = []
  const errors: ConfigError[] = []
  const names = new Set<string>()
  specifier.clusterHealthChecks.forEach((check, i) => {
    const at = `cluster_health_checks[${i}]`
    const decoded = decodeCluster(clusterOf(check))
    if (!decoded.ok) errors.push(...decoded.errors.map(({ path, reason }) => ({ path: `${at}.${path}`, reason })))
    else clusters.push(decoded.value)
    if (names.has(check.clusterName)) errors.push({ path: `${at}.cluster_name`, reason: `'${check.clusterName}' is there already` })
    names.add(check.clusterName)
  })
  return errors.length > 0 ? { ok: false, errors } : { ok: true, orders: { clusters, intervalMs } }
}

function refused(path: string, reason: string): ReadOrders {
  return { ok: false, errors: [{ path, reason }] }
}

function clusterOf(check: ClusterHealthCheck): ClusterMessage {
  const { clusterName: name, healthChecks, localityEndpoints, transportSocketMatches, upstreamBindConfig } = check
  return create(ClusterSchema, {
    name,
    connectTimeout: { seconds: CONNECT_TIMEOUT_S },
    perConnectionBufferLimitBytes: BUFFER_LIMIT_BYTES,
    loadAssignment: {
      clusterName: name,
      endpoints: localityEndpoints.map(({ locality, endpoints }) => ({
        ...(locality === undefined ? {} : { locality }),
        lbEndpoints: endpoints.map(value => ({ hostIdentifier: { case: 'endpoint' as const, value } })),
      })),
    },
    healthChecks,
    transportSocketMatches,
    ...(upstreamBindConfig === undefined ? {} : { upstreamBindConfig }),
  })
}

/** The first message of a stream. */
export function writeRequest(node: Node): Buffer {
  const value = { node, capability: { healthCheckProtocols: [Capability_Protocol.HTTP, Capability_Protocol.TCP] } }
  return encoded(create(HealthCheckRequestOrEndpointHealthResponseSchema, { requestType: { case: 'healthCheckRequest', value } }))
}

const STATUSES: Readonly<Record<ReportedHealth, HealthStatus>> = {
  HEALTHY: HealthStatus.HEALTHY,
  UNHEALTHY: HealthStatus.UNHEALTHY,
  TIMEOUT: HealthStatus.TIMEOUT,
}

/** By cluster and locality, and once more as one list for servers that know no more. */
export function writeReport(clusters: readonly ClusterHealth[]): Buffer {
  const clusterEndpointsHealth = clusters.map(({ name, localities }) => ({
    clusterName: name,
    localityEndpointsHealth: localities.map(({ locality, hosts }) => ({
      locality,
      endpointsHealth: hosts.map(({ address, health }) =>
        create(EndpointHealthSchema, { endpoint: { address: addressMessage(address) }, healthStatus: STATUSES[health] }),
      ),
    })),
  }))
  const endpointsHealth = clusterEndpointsHealth.flatMap(({ localityEndpointsHealth }) =>
    localityEndpointsHealth.flatMap(locality => locality.endpointsHealth),
  )
  const value = { endpointsHealth, clusterEndpointsHealth }
  return encoded(create(HealthCheckRequestOrEndpointHealthResponseSchema, { requestType: { case: 'endpointHealthResponse', value } }))
}

function encoded(message: HealthCheckRequestOrEndpointHealthResponse): Buffer {
  return Buffer.from(toBinary(HealthCheckRequestOrEndpointHealthResponseSchema, message))
}
