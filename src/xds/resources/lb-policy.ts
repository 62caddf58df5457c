// Load balancing of a cluster -> model: the lb_policy enum with its lb_config, lb_subset_config and common_lb_config, and the newer
// load_balancing_policy extension list. Called by cluster.ts. Both forms end in the same LbDecision.

import type { Cluster as ClusterModel, LbPolicy, SlowStart, SubsetConfig } from '../../model/cluster.js'
import { CLUSTER_DEFAULTS, ZONE_AWARE_DEFAULTS } from '../../model/defaults.js'
import type { JsonValue } from '../../model/metadata.js'
import {
  type Cluster,
  Cluster_LbPolicy,
  Cluster_LbSubsetConfig_LbSubsetFallbackPolicySchema,
  Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicySchema,
  Cluster_RingHashLbConfig_HashFunction,
  type LoadBalancingPolicy,
} from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import {
  LocalityBasis,
  type LocalityLbConfig,
  type SlowStartConfig,
} from '../gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.js'
import {
  type LeastRequest,
  LeastRequest_SelectionMethod,
} from '../gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js'
import type { Maglev } from '../gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js'
import type { Random } from '../gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js'
import { type RingHash, RingHash_HashFunction } from '../gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js'
import type { RoundRobin } from '../gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js'
import {
  type Subset,
  Subset_LbSubsetFallbackPolicySchema,
  Subset_LbSubsetSelector_LbSubsetSelectorFallbackPolicySchema,
} from '../gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js'
import type { WrrLocality } from '../gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js'
import { unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { durationMsOr, enumName, plainJson } from './values.js'

type ZoneAware = ClusterModel['zoneAware']
export type LbDecision = Pick<ClusterModel, 'lbPolicy' | 'subset' | 'localityWeighted' | 'zoneAware'>

const MAX_RING = 8_388_608
const MAGLEV_TABLE = 65_537
/** A policy inside a policy inside a policy: subset, wrr_locality, leaf. */
const MAX_NESTED_POLICIES = 8

export function decodeLoadBalancing(cluster: Cluster, ctx: Ctx): LbDecision {
  if (cluster.loadBalancingPolicy !== undefined) return decodePolicyList(cluster.loadBalancingPolicy, ctx.at('load_balancing_policy'), 0)
  if (cluster.lbPolicy === Cluster_LbPolicy.LOAD_BALANCING_POLICY_CONFIG) {
    ctx.at('load_balancing_policy').error('value is required with lb_policy LOAD_BALANCING_POLICY_CONFIG')
  }
  const lbPolicy = decodeLegacyPolicy(cluster, ctx)
  const common = cluster.commonLbConfig
  const specifier = common?.localityConfigSpecifier
  const localityWeighted = specifier?.case === 'localityWeightedLbConfig'
  const subset = decodeLegacySubset(cluster, ctx)
  if (subset !== null && lbPolicy.kind === 'clusterProvided') {
    ctx.at('lb_subset_config').error('LB policy CLUSTER_PROVIDED cannot be combined with lb_subset_config')
  }
  return {
    lbPolicy,
    subset,
    localityWeighted,
    zoneAware: localityWeighted ? null : specifier?.case === 'zoneAwareLbConfig' ? decodeZoneAware(specifier.value) : ZONE_AWARE_DEFAULTS,
  }
}

function decodeZoneAware(config: {
  routingEnabled?: { value: number } | undefined
  minClusterSize?: bigint | undefined
  failTrafficOnPanic: boolean
  // Of the policy extensions alone.
  forceLocalityDirectRouting?: boolean
  forceLocalZone?: { minSize?: number | undefined } | undefined
  localityBasis?: LocalityBasis
}): NonNullable<ZoneAware> {
  return {
    routingEnabledPercent: config.routingEnabled?.value ?? 100,
    minClusterSize: Number(config.minClusterSize ?? 6n),
    failTrafficOnPanic: config.failTrafficOnPanic,
    // The newer field counts where both are given.
    forceLocalMinSize:
      config.forceLocalZone !== undefined ? (config.forceLocalZone.minSize ?? 1) : config.forceLocalityDirectRouting ? 1 : null,
    byWeight: config.localityBasis === LocalityBasis.HEALTHY_HOSTS_WEIGHT,
  }
}

function decodeSlowStart(
  config:
    | SlowStartConfig
    | {
        slowStartWindow?: SlowStartConfig['slowStartWindow']
        aggression?: { defaultValue: number } | undefined
        minWeightPercent?: { value: number } | undefined
      }
    | undefined,
): SlowStart | null {
  if (config === undefined) return null
  return {
    windowMs: durationMsOr(config.slowStartWindow, 0),
    aggression: config.aggression?.defaultValue ?? 1,
    minWeightPercent: config.minWeightPercent?.value ?? 10,
  }
}

function decodeLegacyPolicy(cluster: Cluster, ctx: Ctx): LbPolicy {
  const config = cluster.lbConfig
  const hashing = cluster.commonLbConfig?.consistentHashingLbConfig
  switch (cluster.lbPolicy) {
    case Cluster_LbPolicy.LEAST_REQUEST: {
      const least = config.case === 'leastRequestLbConfig' ? config.value : undefined
      return {
        kind: 'leastRequest',
        choiceCount: least?.choiceCount ?? 2,
        activeRequestBias: least?.activeRequestBias?.defaultValue ?? 1,
        fullScan: false,
        slowStart: decodeSlowStart(least?.slowStartConfig),
      }
    }
    case Cluster_LbPolicy.RANDOM:
      return { kind: 'random' }
    case Cluster_LbPolicy.RING_HASH: {
      const ring = config.case === 'ringHashLbConfig' ? config.value : undefined
      return decodeRing(
        ring,
        ring?.hashFunction === Cluster_RingHashLbConfig_HashFunction.MURMUR_HASH_2,
        hashing,
        ctx.at('ring_hash_lb_config'),
      )
    }
    case Cluster_LbPolicy.MAGLEV: {
      const maglev = config.case === 'maglevLbConfig' ? config.value : undefined
      return decodeMaglev(maglev?.tableSize, hashing, ctx.at('maglev_lb_config'))
    }
    case Cluster_LbPolicy.CLUSTER_PROVIDED:
      return { kind: 'clusterProvided' }
    default:
      return {
        kind: 'roundRobin',
        slowStart: decodeSlowStart(config.case === 'roundRobinLbConfig' ? config.value.slowStartConfig : undefined),
      }
  }
}

/** What the cluster's and the policies' own messages say alike. */
interface Hashing {
  readonly useHostnameForHashing: boolean
  readonly hashBalanceFactor?: number | undefined
}

function decodeRing(
  ring: { minimumRingSize?: bigint | undefined; maximumRingSize?: bigint | undefined } | undefined,
  murmur: boolean,
  hashing: Hashing | undefined,
  ctx: Ctx,
): LbPolicy {
  const minRingSize = Number(ring?.minimumRingSize ?? 1024n)
  const maxRingSize = Number(ring?.maximumRingSize ?? BigInt(MAX_RING))
  if (minRingSize > maxRingSize) {
    ctx.at('minimum_ring_size').error(`minimum_ring_size (${minRingSize}) is greater than maximum_ring_size (${maxRingSize})`)
  }
  return {
    kind: 'ringHash',
    minRingSize,
    maxRingSize,
    hashFunction: murmur ? 'MURMUR_HASH_2' : 'XX_HASH',
    useHostnameForHashing: hashing?.useHostnameForHashing ?? false,
    hashBalanceFactor: hashing?.hashBalanceFactor ?? 0,
  }
}

function decodeMaglev(size: bigint | undefined, hashing: Hashing | undefined, ctx: Ctx): LbPolicy {
  const tableSize = Number(size ?? BigInt(MAGLEV_TABLE))
  if (!isPrime(tableSize)) ctx.at('table_size').error(`the table size of maglev must be a prime number, not ${tableSize}`)
  return {
    kind: 'maglev',
    tableSize,
    useHostnameForHashing: hashing?.useHostnameForHashing ?? false,
    hashBalanceFactor: hashing?.hashBalanceFactor ?? 0,
  }
}

/** Only asked of numbers up to 5,000,011 (the constraint's bound): some 2,000 divisions. */
function isPrime(n: number): boolean {
  if (n < 2 || n > 5_000_011) return false
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false
  return true
}

function decodeLegacySubset(cluster: Cluster, ctx: Ctx): SubsetConfig | null {
  const config = cluster.lbSubsetConfig
  // Without selectors Envoy does not build a subset balancer at all.
  if (config === undefined || config.subsetSelectors.length === 0) return null
  if (config.localityWeightAware && cluster.commonLbConfig?.localityConfigSpecifier.case !== 'localityWeightedLbConfig')
    ctx.at('lb_subset_config').at('locality_weight_aware').error('needs a locality_weighted_lb_config')
  const fallback = enumName(Cluster_LbSubsetConfig_LbSubsetFallbackPolicySchema, config.fallbackPolicy)
  return subsetConfig(
    config,
    fallback,
    value => enumName(Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicySchema, value),
    ctx.at('lb_subset_config'),
  )
}

interface SubsetMessage {
  readonly defaultSubset?: object | undefined
  readonly subsetSelectors: readonly {
    readonly keys: readonly string[]
    readonly fallbackPolicy: number
    readonly fallbackKeysSubset: readonly string[]
    readonly singleHostPerSubset: boolean
  }[]
  readonly localityWeightAware: boolean
  readonly scaleLocalityWeight: boolean
  readonly panicModeAny: boolean
  readonly listAsAny: boolean
}

function subsetConfig(config: SubsetMessage, fallback: string, selectorFallback: (value: number) => string, ctx: Ctx): SubsetConfig {
  return {
    fallback: fallback as SubsetConfig['fallback'],
    defaultSubset: new Map<string, JsonValue>(Object.entries(config.defaultSubset ?? {}).map(([key, value]) => [key, plainJson(value)])),
    selectors: config.subsetSelectors.map((selector, i) => {
      const kind = selectorFallback(selector.fallbackPolicy) as SubsetConfig['selectors'][number]['fallback']
      const at = ctx.at('subset_selectors', i)
      if (kind === 'KEYS_SUBSET') {
        if (selector.fallbackKeysSubset.length === 0) at.at('fallback_keys_subset').error('value is required with KEYS_SUBSET')
        const foreign = selector.fallbackKeysSubset.find(key => !selector.keys.includes(key))
        if (foreign !== undefined) at.at('fallback_keys_subset').error(`'${foreign}' is not one of the selector's keys`)
        if (foreign === undefined && selector.fallbackKeysSubset.length === selector.keys.length) {
          at.at('fallback_keys_subset').error("must be fewer than the selector's keys")
        }
      } else if (selector.fallbackKeysSubset.length > 0) at.at('fallback_keys_subset').error('can only be set with KEYS_SUBSET')
      if (selector.singleHostPerSubset && selector.keys.length !== 1) at.at('single_host_per_subset').error('needs exactly one key')
      return {
        keys: [...selector.keys].sort(),
        fallback: kind,
        fallbackKeys: [...selector.fallbackKeysSubset].sort(),
        singleHostPerSubset: selector.singleHostPerSubset,
      }
    }),
    localityWeightAware: config.localityWeightAware,
    scaleLocalityWeight: config.scaleLocalityWeight,
    panicModeAny: config.panicModeAny,
    listAsAny: config.listAsAny,
  }
}

const PACKAGE = 'envoy.extensions.load_balancing_policies.'
const FALLBACK: LbDecision = {
  lbPolicy: CLUSTER_DEFAULTS.lbPolicy,
  subset: null,
  localityWeighted: false,
  zoneAware: ZONE_AWARE_DEFAULTS,
}

/** The first policy that we know is used, as the API says; the ones before it are skipped. */
function decodePolicyList(list: LoadBalancingPolicy, ctx: Ctx, depth: number): LbDecision {
  if (depth > MAX_NESTED_POLICIES) {
    ctx.error(`policies are nested deeper than ${MAX_NESTED_POLICIES} levels`)
    return FALLBACK
  }
  const names: string[] = []
  for (const [i, policy] of list.policies.entries()) {
    const extension = policy.typedExtensionConfig
    if (extension === undefined) continue
    const at = ctx.at('policies', i).at('typed_extension_config').at('typed_config')
    if (extension.typedConfig === undefined) {
      at.error(`load balancing policy '${extension.name}' has no typed_config`)
      return FALLBACK
    }
    const { typeName, message, known } = unpackAny(extension.typedConfig, at)
    if (message !== null) {
      const decision = decodePolicy(typeName, message, at, depth)
      if (decision !== null) return decision
    } else if (known) return FALLBACK
    names.push(extension.name)
  }
  ctx.error(`no known load balancing policy among: ${names.join(', ') || 'none given'}`)
  return FALLBACK
}

function withLocality(lbPolicy: LbPolicy, locality: LocalityLbConfig | undefined): LbDecision {
  const specifier = locality?.localityConfigSpecifier
  const localityWeighted = specifier?.case === 'localityWeightedLbConfig'
  return {
    lbPolicy,
    subset: null,
    localityWeighted,
    zoneAware: localityWeighted ? null : specifier?.case === 'zoneAwareLbConfig' ? decodeZoneAware(specifier.value) : ZONE_AWARE_DEFAULTS,
  }
}

function decodePolicy(typeName: string, message: unknown, ctx: Ctx, depth: number): LbDecision | null {
  switch (typeName.slice(PACKAGE.length)) {
    case 'round_robin.v3.RoundRobin': {
      const config = message as RoundRobin
      return withLocality({ kind: 'roundRobin', slowStart: decodeSlowStart(config.slowStartConfig) }, config.localityLbConfig)
    }
    case 'least_request.v3.LeastRequest': {
      const config = message as LeastRequest
      return withLocality(
        {
          kind: 'leastRequest',
          choiceCount: config.choiceCount ?? 2,
          activeRequestBias: config.activeRequestBias?.defaultValue ?? 1,
          fullScan: config.selectionMethod === LeastRequest_SelectionMethod.FULL_SCAN || (config.enableFullScan ?? false),
          slowStart: decodeSlowStart(config.slowStartConfig),
        },
        config.localityLbConfig,
      )
    }
    case 'random.v3.Random':
      return withLocality({ kind: 'random' }, (message as Random).localityLbConfig)
    case 'ring_hash.v3.RingHash': {
      const config = message as RingHash
      const hashing = config.consistentHashingLbConfig ?? config
      const policy = decodeRing(config, config.hashFunction === RingHash_HashFunction.MURMUR_HASH_2, hashing, ctx)
      return { ...withLocality(policy, undefined), localityWeighted: config.localityWeightedLbConfig !== undefined, zoneAware: null }
    }
    case 'maglev.v3.Maglev': {
      const config = message as Maglev
      const policy = decodeMaglev(config.tableSize, config.consistentHashingLbConfig, ctx)
      return { ...withLocality(policy, undefined), localityWeighted: config.localityWeightedLbConfig !== undefined, zoneAware: null }
    }
    case 'pick_first.v3.PickFirst':
      return withLocality({ kind: 'pickFirst' }, undefined)
    case 'cluster_provided.v3.ClusterProvided':
      return withLocality({ kind: 'clusterProvided' }, undefined)
    case 'wrr_locality.v3.WrrLocality': {
      const inner = (message as WrrLocality).endpointPickingPolicy
      if (inner === undefined) return FALLBACK // the constraint has reported it
      return { ...decodePolicyList(inner, ctx.at('endpoint_picking_policy'), depth + 1), localityWeighted: true, zoneAware: null }
    }
    case 'subset.v3.Subset': {
      const config = message as Subset
      const inner = config.subsetLbPolicy
      if (inner === undefined) return FALLBACK // the constraint has reported it
      const child = decodePolicyList(inner, ctx.at('subset_lb_policy'), depth + 1)
      if (child.subset !== null) ctx.at('subset_lb_policy').error('a subset policy may not hold another one')
      if (config.subsetSelectors.length === 0) return child
      const fallback = enumName(Subset_LbSubsetFallbackPolicySchema, config.fallbackPolicy)
      const name = (value: number): string => enumName(Subset_LbSubsetSelector_LbSubsetSelectorFallbackPolicySchema, value)
      return { ...child, subset: subsetConfig(config, fallback, name, ctx) }
    }
    default:
      return null
  }
}
