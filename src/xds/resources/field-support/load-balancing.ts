// Field support of the load-balancing policies as extensions (the older fields of a cluster are in cluster.ts).
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const LOAD_BALANCING_SUPPORT: SupportTable = {
  'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided': { supported: '' },
  'envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig': {
    supported: 'use_hostname_for_hashing hash_balance_factor',
    accepted: { hash_policy: 'the hash policy of the route counts' },
  },
  'envoy.extensions.load_balancing_policies.common.v3.ForceLocalZone': { supported: 'min_size' },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig': { supported: 'zone_aware_lb_config locality_weighted_lb_config' },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig': { supported: '' },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig': {
    supported: 'routing_enabled min_cluster_size fail_traffic_on_panic locality_basis force_local_zone force_locality_direct_routing',
  },
  'envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig': { supported: 'slow_start_window aggression min_weight_percent' },
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
    supported: 'choice_count active_request_bias slow_start_config locality_lb_config enable_full_scan selection_method',
  },
  'envoy.extensions.load_balancing_policies.maglev.v3.Maglev': {
    supported: 'table_size consistent_hashing_lb_config locality_weighted_lb_config',
  },
  'envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst': {
    supported: '',
    refused: { shuffle_address_list: 'the order of the addresses counts; use random' },
  },
  'envoy.extensions.load_balancing_policies.random.v3.Random': { supported: 'locality_lb_config' },
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash': {
    supported:
      'hash_function minimum_ring_size maximum_ring_size use_hostname_for_hashing hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config',
  },
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': { supported: 'slow_start_config locality_lb_config' },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset': {
    supported:
      'fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any subset_lb_policy',
    accepted: { allow_redundant_keys: '' },
    refused: { metadata_fallback_policy: 'FALLBACK_LIST is not supported' },
  },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector': {
    supported: 'keys single_host_per_subset fallback_policy fallback_keys_subset',
  },
  'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality': { supported: 'endpoint_picking_policy' },
}
