// From the config of a cluster to its load balancer. Called by UpstreamCluster when it is made or its policy changes.

import type { LbPolicy, SubsetConfig } from '../../model/cluster.js'
import { LeastRequestLoadBalancer, RoundRobinLoadBalancer } from './edf-load-balancer.js'
import { HashLoadBalancer } from './hash-load-balancer.js'
import { HashRing } from './hash-ring.js'
import type { LbEnvironment, LoadBalancer } from './load-balancer.js'
import { MaglevTable } from './maglev-table.js'
import { SubsetLoadBalancer } from './subset-load-balancer.js'
import { PickFirstLoadBalancer, RandomLoadBalancer } from './zone-aware-load-balancer.js'

/** `clusterProvided` has no policy of its own (aggregate, original destination): those clusters bring their balancer along. */
export function createLoadBalancer(env: LbEnvironment, policy: LbPolicy, subset: SubsetConfig | null): LoadBalancer {
  if (subset !== null && subset.selectors.length > 0) return new SubsetLoadBalancer(env, subset, inner => createPolicy(inner, policy))
  return createPolicy(env, policy)
}

function createPolicy(env: LbEnvironment, policy: LbPolicy): LoadBalancer {
  switch (policy.kind) {
    case 'roundRobin':
      return new RoundRobinLoadBalancer(env, policy.slowStart)
    case 'leastRequest':
      return new LeastRequestLoadBalancer(env, policy)
    case 'random':
      return new RandomLoadBalancer(env)
    case 'pickFirst':
      return new PickFirstLoadBalancer(env)
    case 'ringHash': {
      const { minRingSize, maxRingSize, hashFunction, useHostnameForHashing: useHostname } = policy
      const options = { minRingSize, maxRingSize, hashFunction, useHostname }
      return new HashLoadBalancer(env, () => new HashRing(options, env.stats), policy.hashBalanceFactor)
    }
    case 'maglev': {
      const { tableSize, useHostnameForHashing } = policy
      return new HashLoadBalancer(
        env,
        () => new MaglevTable(tableSize, useHostnameForHashing, env.stats, env.defer),
        policy.hashBalanceFactor,
      )
    }
    case 'clusterProvided':
      return new RoundRobinLoadBalancer(env, null)
  }
}
