// A target of google_grpc -> the cluster that stands for it: HTTP/2, no checks, no limits of its own (gRPC's libraries have none), TLS that
// finds the target's name in the server's certificate. Made by grpc-targets.ts. A function of the config alone.

import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { BreakerThresholds, Cluster, DnsOptions } from '../../model/cluster.js'
import {
  BREAKER_DEFAULTS,
  CLUSTER_DEFAULTS,
  ENDPOINT_DEFAULTS,
  HTTP2_DEFAULTS,
  NO_LOCALITY,
  newAssignment,
  TLS_DEFAULTS,
  UNLIMITED,
  UPSTREAM_HTTP_DEFAULTS,
  UPSTREAM_TLS_DEFAULTS,
  VALIDATION_DEFAULTS,
} from '../../model/defaults.js'
import type { GoogleSsl, GrpcService } from '../../model/grpc-service.js'
import type { UpstreamTls } from '../../model/tls.js'

/** gRPC's: the least that a connection is given. */
const CONNECT_TIMEOUT_MS = 20_000

const DNS: DnsOptions = {
  refreshMs: 30_000,
  failureRefreshBaseMs: 1000,
  failureRefreshMaxMs: 30_000,
  respectTtl: false,
  jitterMs: 0,
  family: 'ALL',
  minRefreshMs: 0,
  resolver: null,
}

const NO_LIMITS: BreakerThresholds = {
  ...BREAKER_DEFAULTS,
  maxConnections: UNLIMITED,
  maxPendingRequests: UNLIMITED,
  maxRequests: UNLIMITED,
  maxRetries: UNLIMITED,
}

/** `service`: one with a target. */
export function googleCluster(name: string, { google, ssl }: GrpcService): Cluster {
  const { endpoints, serverName, channelArgs } = google!
  const assignment = newAssignment(name, [
    { locality: NO_LOCALITY, weight: 0, priority: 0, endpoints: endpoints.map(address => ({ ...ENDPOINT_DEFAULTS, address })) },
  ])
  const byName = endpoints.some(address => address.kind === 'socket' && isIP(address.host) === 0)
  const keepaliveMs = channelArgs['grpc.keepalive_time_ms']
  return {
    ...CLUSTER_DEFAULTS,
    name,
    discovery: byName ? { kind: 'strictDns', assignment, dns: DNS } : { kind: 'static', assignment },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    lbPolicy: { kind: 'pickFirst' },
    zoneAware: null,
    breakers: { default: NO_LIMITS, high: NO_LIMITS },
    http: {
      ...UPSTREAM_HTTP_DEFAULTS,
      protocol: 'http2',
      http2: {
        ...HTTP2_DEFAULTS,
        keepaliveIntervalMs: keepaliveMs === undefined ? null : Number(keepaliveMs),
        keepaliveTimeoutMs: Number(channelArgs['grpc.keepalive_timeout_ms'] ?? 20_000),
      },
    },
    tls: ssl === undefined ? null : tlsOf(ssl, serverName),
  }
}

function tlsOf({ rootCerts, privateKey, certChain }: GoogleSsl, serverName: string): UpstreamTls {
  const isAddress = isIP(serverName) !== 0
  const own = certChain !== null && privateKey !== null
  return {
    ...UPSTREAM_TLS_DEFAULTS,
    common: {
      ...TLS_DEFAULTS,
      alpnProtocols: ['h2'],
      certificates: own ? [{ certificateChain: certChain, privateKey, password: null }] : [],
      validation: {
        ...VALIDATION_DEFAULTS,
        trustedCa: rootCerts ?? { kind: 'inline', text: rootCertificates.join('\n') },
        sanMatchers: isAddress ? [{ sanType: 'IP_ADDRESS', matcher: { kind: 'exact', value: serverName, ignoreCase: false } }] : [],
        outsideMesh: true,
      },
    },
    sni: isAddress ? '' : serverName,
    autoSniSanValidation: !isAddress,
  }
}
