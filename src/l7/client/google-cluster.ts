// A target of google_grpc -> the cluster that stands for it: HTTP/2, no checks, no limits of its own (gRPC's libraries have none), TLS that
// finds the target's name in the server's certificate. Made by grpc-targets.ts. A function of the config alone.

import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { BreakerThresholds, Cluster, DnsOptions } from '../../model/cluster.js'
import type { Endpoint } from '../../model/endpoint.js'
import type { GoogleSsl, GrpcService } from '../../model/grpc-service.js'
import type { UpstreamTls } from '../../model/tls.js'

const MIB = 1024 * 1024
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

const NO_LIMIT = 2 ** 32 - 1
const THRESHOLDS: BreakerThresholds = {
  maxConnections: NO_LIMIT,
  maxConnectionsPerHost: NO_LIMIT,
  maxPendingRequests: NO_LIMIT,
  maxRequests: NO_LIMIT,
  maxRetries: NO_LIMIT,
  retryBudget: null,
  trackRemaining: false,
  maxConnectionPools: NO_LIMIT,
}

/** `service`: one with a target. */
export function googleCluster(name: string, { google, ssl }: GrpcService): Cluster {
  const { endpoints, serverName, channelArgs } = google!
  const assignment = {
    clusterName: name,
    localities: [{ locality: { region: '', zone: '', subZone: '' }, weight: 0, priority: 0, endpoints: endpoints.map(endpointAt) }],
    overprovisioningFactor: 140,
    endpointStaleAfterMs: null,
    weightedPriorityHealth: false,
    dropPercentages: [],
  }
  const byName = endpoints.some(address => address.kind === 'socket' && isIP(address.host) === 0)
  const keepaliveMs = channelArgs['grpc.keepalive_time_ms']
  return {
    name,
    altStatName: '',
    discovery: byName ? { kind: 'strictDns', assignment, dns: DNS } : { kind: 'static', assignment },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    perConnectionBufferLimitBytes: MIB,
    lbPolicy: { kind: 'pickFirst' },
    subset: null,
    healthyPanicPercent: 50,
    localityWeighted: false,
    zoneAware: null,
    overrideHostStatus: [],
    ignoreNewHostsUntilFirstHealthCheck: false,
    closeConnectionsOnHostSetChange: false,
    ignoreHealthOnHostRemoval: false,
    breakers: { default: THRESHOLDS, high: THRESHOLDS },
    outlier: null,
    healthChecks: [],
    http: {
      protocol: 'http2',
      common: {
        idleTimeoutMs: 3_600_000,
        maxConnectionDurationMs: null,
        maxHeadersCount: 100,
        maxResponseHeadersKb: null,
        maxStreamDurationMs: null,
        headersWithUnderscoresAction: 'ALLOW',
        maxRequestsPerConnection: null,
      },
      http1: {
        allowAbsoluteUrl: true,
        acceptHttp10: false,
        allowCustomMethods: false,
        defaultHostForHttp10: '',
        headerKeyFormat: 'default',
      },
      http2: {
        hpackTableSize: 4096,
        maxConcurrentStreams: 1024,
        initialStreamWindowSize: 16 * MIB,
        initialConnectionWindowSize: 24 * MIB,
        allowConnect: false,
        maxOutboundFrames: 10_000,
        maxOutboundControlFrames: 1000,
        maxConsecutiveInboundFramesWithEmptyPayload: 1,
        maxInboundPriorityFramesPerStream: 100,
        maxInboundWindowUpdateFramesPerDataFrameSent: 10,
        keepaliveIntervalMs: keepaliveMs === undefined ? null : Number(keepaliveMs),
        keepaliveTimeoutMs: Number(channelArgs['grpc.keepalive_timeout_ms'] ?? 20_000),
      },
      autoSni: false,
      autoSanValidation: false,
    },
    tls: ssl === undefined ? null : tlsOf(ssl, serverName),
    transportSocketMatches: [],
    tcpKeepalive: null,
    bindSource: null,
    metadata: new Map(),
    unsupported: [],
  }
}

function endpointAt(address: Endpoint['address']): Endpoint {
  return {
    address,
    hostname: '',
    health: 'UNKNOWN',
    weight: 1,
    metadata: new Map(),
    healthCheckPort: null,
    healthCheckHostname: '',
    disableActiveHealthCheck: false,
  }
}

function tlsOf({ rootCerts, privateKey, certChain }: GoogleSsl, serverName: string): UpstreamTls {
  const isAddress = isIP(serverName) !== 0
  const own = certChain !== null && privateKey !== null
  return {
    common: {
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      cipherSuites: [],
      ecdhCurves: [],
      signatureAlgorithms: [],
      alpnProtocols: ['h2'],
      certificates: own ? [{ certificateChain: certChain, privateKey, password: null }] : [],
      certificateSds: [],
      validation: {
        trustedCa: rootCerts ?? { kind: 'inline', text: rootCertificates.join('\n') },
        crl: null,
        sanMatchers: isAddress ? [{ sanType: 'IP_ADDRESS', matcher: { kind: 'exact', value: serverName, ignoreCase: false } }] : [],
        verifyCertificateSpki: [],
        verifyCertificateHash: [],
        allowExpiredCertificate: false,
        trustChainVerification: 'VERIFY_TRUST_CHAIN',
        onlyVerifyLeafCertCrl: false,
        maxVerifyDepth: null,
        spiffeTrustDomains: null,
        outsideMesh: true,
      },
      validationSds: null,
    },
    sni: isAddress ? '' : serverName,
    autoHostSni: false,
    autoSniSanValidation: !isAddress,
    allowRenegotiation: false,
    maxSessionKeys: 1,
  }
}
