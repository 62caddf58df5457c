// What Envoy (1.40) takes where a config says nothing, by the model's types: decoders fill in from here, and what is made without a
// message (a cluster for a gRPC target, an empty assignment, the gRPC port's codec) starts from here. Values alone.

import type { BreakerThresholds, Cluster, OutlierDetection, UpstreamHttp } from './cluster.js'
import type { Endpoint, EndpointAssignment, LocalityEndpoints } from './endpoint.js'
import type { CommonHttpOptions, Http1Options, Http2Options } from './http-connection-manager.js'
import type { CommonTlsContext, UpstreamTls, ValidationContext } from './tls.js'

const MIB = 1024 * 1024
/** No limit: of pools, and of connections of one host. */
export const UNLIMITED = 0xffff_ffff

export const COMMON_HTTP_DEFAULTS: CommonHttpOptions = {
  idleTimeoutMs: 3_600_000,
  maxConnectionDurationMs: null,
  maxHeadersCount: 100,
  maxResponseHeadersKb: null,
  maxStreamDurationMs: null,
  headersWithUnderscoresAction: 'ALLOW',
  maxRequestsPerConnection: null,
}

export const HTTP1_DEFAULTS: Http1Options = {
  allowAbsoluteUrl: true,
  acceptHttp10: false,
  allowCustomMethods: false,
  defaultHostForHttp10: '',
  headerKeyFormat: 'default',
}

/** Of Envoy 1.36 and later: 1024 streams, 16 MiB stream and 24 MiB connection window. */
export const HTTP2_DEFAULTS: Http2Options = {
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
  keepaliveIntervalMs: null,
  keepaliveTimeoutMs: 10_000,
}

export const UPSTREAM_HTTP_DEFAULTS: UpstreamHttp = {
  protocol: 'http1',
  common: COMMON_HTTP_DEFAULTS,
  http1: HTTP1_DEFAULTS,
  http2: HTTP2_DEFAULTS,
  autoSni: false,
  autoSanValidation: false,
}

export const BREAKER_DEFAULTS: BreakerThresholds = {
  maxConnections: 1024,
  maxConnectionsPerHost: UNLIMITED,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: null,
  trackRemaining: false,
  maxConnectionPools: UNLIMITED,
}

/** Of an outlier_detection that is there and says nothing. */
export const OUTLIER_DEFAULTS: OutlierDetection = {
  consecutive5xx: 5,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 10,
  alwaysEjectOneHost: false,
  enforcingConsecutive5xx: 100,
  enforcingSuccessRate: 100,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
  consecutiveGatewayFailure: 5,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 5,
  enforcingConsecutiveLocalOriginFailure: 100,
  enforcingLocalOriginSuccessRate: 100,
  failurePercentageThreshold: 85,
  enforcingFailurePercentage: 0,
  enforcingFailurePercentageLocalOrigin: 0,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  successfulActiveHealthCheckUnejectHost: true,
}

/** Envoy routes by zone wherever the local cluster is known, even if nothing is configured. */
export const ZONE_AWARE_DEFAULTS: NonNullable<Cluster['zoneAware']> = {
  routingEnabledPercent: 100,
  minClusterSize: 6,
  failTrafficOnPanic: false,
  forceLocalMinSize: null,
  byWeight: false,
}

export const CLUSTER_DEFAULTS: Omit<Cluster, 'name' | 'discovery'> = {
  altStatName: '',
  connectTimeoutMs: 5_000,
  perConnectionBufferLimitBytes: MIB,
  lbPolicy: { kind: 'roundRobin', slowStart: null },
  subset: null,
  healthyPanicPercent: 50,
  localityWeighted: false,
  zoneAware: ZONE_AWARE_DEFAULTS,
  overrideHostStatus: ['UNKNOWN', 'HEALTHY', 'DEGRADED'],
  ignoreNewHostsUntilFirstHealthCheck: false,
  closeConnectionsOnHostSetChange: false,
  ignoreHealthOnHostRemoval: false,
  breakers: { default: BREAKER_DEFAULTS, high: BREAKER_DEFAULTS },
  outlier: null,
  healthChecks: [],
  http: UPSTREAM_HTTP_DEFAULTS,
  tls: null,
  transportSocketMatches: [],
  tcpKeepalive: null,
  bindSource: null,
  metadata: new Map(),
  unsupported: [],
}

export const ENDPOINT_DEFAULTS: Omit<Endpoint, 'address'> = {
  hostname: '',
  health: 'UNKNOWN',
  weight: 1,
  metadata: new Map(),
  healthCheckPort: null,
  healthCheckHostname: '',
  disableActiveHealthCheck: false,
}

export const NO_LOCALITY: LocalityEndpoints['locality'] = { region: '', zone: '', subZone: '' }

export function newAssignment(clusterName: string, localities: readonly LocalityEndpoints[] = []): EndpointAssignment {
  return {
    clusterName,
    localities,
    overprovisioningFactor: 140,
    endpointStaleAfterMs: null,
    weightedPriorityHealth: false,
    dropPercentages: [],
  }
}

export const VALIDATION_DEFAULTS: ValidationContext = {
  trustedCa: null,
  crl: null,
  sanMatchers: [],
  verifyCertificateSpki: [],
  verifyCertificateHash: [],
  allowExpiredCertificate: false,
  trustChainVerification: 'VERIFY_TRUST_CHAIN',
  onlyVerifyLeafCertCrl: false,
  maxVerifyDepth: null,
  spiffeTrustDomains: null,
}

export const TLS_DEFAULTS: CommonTlsContext = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  cipherSuites: [],
  ecdhCurves: [],
  signatureAlgorithms: [],
  alpnProtocols: [],
  certificates: [],
  certificateSds: [],
  validation: null,
  validationSds: null,
}

export const UPSTREAM_TLS_DEFAULTS: Omit<UpstreamTls, 'common'> = {
  sni: '',
  autoHostSni: false,
  autoSniSanValidation: false,
  allowRenegotiation: false,
  maxSessionKeys: 1,
}
