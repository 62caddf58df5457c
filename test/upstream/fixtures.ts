// What the tests of src/upstream share: a clock moved by hand, seeded random numbers, configs and registries in few words.

import { connect } from 'node:net'
import { clusterStats } from '../../src/metrics/stat-names.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import type { Cluster, HealthCheck, LbPolicy } from '../../src/model/cluster.js'
import { BREAKER_DEFAULTS, CLUSTER_DEFAULTS, ENDPOINT_DEFAULTS, newAssignment, OUTLIER_DEFAULTS } from '../../src/model/defaults.js'
import type { Endpoint, EndpointAssignment, HealthStatus, LocalityEndpoints } from '../../src/model/endpoint.js'
import type { JsonObject, Metadata } from '../../src/model/metadata.js'
import type { LbContext } from '../../src/upstream/balance/load-balancer.js'
import { ClusterRegistry, type ClusterRegistryOptions } from '../../src/upstream/cluster/cluster-registry.js'
import type { NameResolver } from '../../src/upstream/dns/dns-resolver.js'
import type { HealthCheckDial } from '../../src/upstream/health/health-check-transport.js'
import type { Host, HostPool } from '../../src/upstream/host/host.js'
import { ManualClock } from '../support/manual-clock.js'

/** mulberry32: uniform in [0, 1), the same sequence for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function context(random: () => number, more: Partial<LbContext> = {}): LbContext {
  return { hash: null, metadataMatch: null, shouldSkip: () => false, maxAttempts: 1, random, ...more }
}

export interface EndpointSpec {
  weight?: number
  health?: HealthStatus
  lb?: JsonObject
  hostname?: string
}

export function endpoint(host: string, port: number, spec: EndpointSpec = {}): Endpoint {
  return {
    ...ENDPOINT_DEFAULTS,
    address: { kind: 'socket', host, port },
    hostname: spec.hostname ?? '',
    health: spec.health ?? 'UNKNOWN',
    weight: spec.weight ?? 1,
    metadata: spec.lb === undefined ? new Map() : lbMetadata(spec.lb),
  }
}

export function lbMetadata(fields: JsonObject): Metadata {
  return new Map([['envoy.lb', fields]])
}

export function locality(
  endpoints: Endpoint[],
  more: Partial<Omit<LocalityEndpoints, 'endpoints'>> & { zone?: string } = {},
): LocalityEndpoints {
  const { zone, ...rest } = more
  return { locality: { region: zone === undefined ? '' : 'r', zone: zone ?? '', subZone: '' }, weight: 0, priority: 0, ...rest, endpoints }
}

export function assignment(
  clusterName: string,
  localities: LocalityEndpoints[],
  more: Partial<EndpointAssignment> = {},
): EndpointAssignment {
  return { ...newAssignment(clusterName, localities), ...more }
}

/** `count` endpoints 10.x.y.z:80, all in one locality. */
export function manyEndpoints(count: number, spec: (i: number) => EndpointSpec = () => ({})): Endpoint[] {
  return Array.from({ length: count }, (_, i) => endpoint(`10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`, 80, spec(i)))
}

export const thresholds = BREAKER_DEFAULTS

export const roundRobin: LbPolicy = { kind: 'roundRobin', slowStart: null }
export const leastRequest: LbPolicy = { kind: 'leastRequest', choiceCount: 2, activeRequestBias: 1, fullScan: false, slowStart: null }
export const ringHash: LbPolicy = {
  kind: 'ringHash',
  minRingSize: 1024,
  maxRingSize: 8_388_608,
  hashFunction: 'XX_HASH',
  useHostnameForHashing: false,
  hashBalanceFactor: 0,
}
export const maglev: LbPolicy = { kind: 'maglev', tableSize: 65537, useHostnameForHashing: false, hashBalanceFactor: 0 }

export const outlierDefaults = OUTLIER_DEFAULTS

export function healthCheck(check: HealthCheck['check'], more: Partial<HealthCheck> = {}): HealthCheck {
  return {
    timeoutMs: 1_000,
    intervalMs: 10_000,
    initialJitterMs: 0,
    intervalJitterMs: 0,
    intervalJitterPercent: 0,
    unhealthyThreshold: 3,
    healthyThreshold: 2,
    altPort: null,
    reuseConnection: true,
    noTrafficIntervalMs: 60_000,
    noTrafficHealthyIntervalMs: null,
    unhealthyIntervalMs: 5_000,
    unhealthyEdgeIntervalMs: 2_000,
    healthyEdgeIntervalMs: 1_000,
    check,
    ...more,
  }
}

export function cluster(name: string, more: Partial<Cluster> = {}): Cluster {
  return {
    ...CLUSTER_DEFAULTS,
    name,
    discovery: { kind: 'eds', serviceName: '', source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 },
    zoneAware: null,
    ...more,
  }
}

/** A cluster config with fixed endpoints. */
export function staticCluster(name: string, localities: LocalityEndpoints[], more: Partial<Cluster> = {}): Cluster {
  return cluster(name, { discovery: { kind: 'static', assignment: assignment(name, localities) }, ...more })
}

export const noResolver: NameResolver = {
  resolve: (_hostname, _family, _servers, done) => done({ ok: false, reason: 'no resolver in this test' }),
  close: () => {},
}

export interface TestRegistry {
  registry: ClusterRegistry
  clock: ManualClock
  store: StatsStore
  logs: string[]
  /** Runs put-off steps (table builds) to the end. */
  settle(): void
}

export function testRegistry(options: Partial<ClusterRegistryOptions> = {}): TestRegistry {
  const clock = new ManualClock()
  const store = new StatsStore()
  const logs: string[] = []
  const steps: (() => void)[] = []
  const registry = new ClusterRegistry({
    clock,
    random: seeded(1),
    defer: step => steps.push(step),
    log: (_level, message) => logs.push(message),
    statsOf: name => clusterStats(store, name),
    resolver: noResolver,
    healthCheckTransport: null,
    healthCheckDial: plainHealthCheckDial,
    localLocality: null,
    localClusterName: null,
    isReferenced: () => false,
    ...options,
  })
  const settle = (): void => {
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) step()
  }
  return { registry, clock, store, logs, settle }
}

/** A pool that only tells how it is closed. */
export function pool(close: (graceful: boolean) => void): HostPool {
  return { close, closeIdle: () => false }
}

/** How often each host was picked, by key. */
export function histogram(pick: () => Host | null, times: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < times; i++) {
    const key = pick()?.key ?? 'none'
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** Pearson's statistic of observed counts against expected shares (which sum up to 1). */
export function chiSquare(counts: Map<string, number>, shares: Map<string, number>, total: number): number {
  let sum = 0
  for (const [key, share] of shares) {
    const expected = share * total
    sum += ((counts.get(key) ?? 0) - expected) ** 2 / expected
  }
  return sum
}

/** 99.9 % quantile of the chi-square distribution (Wilson and Hilferty). */
export function chiSquareLimit(degrees: number): number {
  const z = 3.09
  return degrees * (1 - 2 / (9 * degrees) + z * Math.sqrt(2 / (9 * degrees))) ** 3
}

/** TCP checks without TLS. */
const plainHealthCheckDial: HealthCheckDial = (_host, address, listener) => {
  const socket = address.kind === 'pipe' ? connect({ path: address.path }) : connect({ host: address.host, port: address.port })
  const onError = (error: Error): void => listener.onFailure(error.message)
  socket.once('error', onError)
  socket.once('connect', () => {
    socket.off('error', onError)
    listener.onReady(socket)
  })
  return {
    cancel: () => {
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
    },
  }
}
