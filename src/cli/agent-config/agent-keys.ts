// The keys of Consul's agent configuration: their types, and which of them mean something here. One table: read-agent-config.ts checks files by
// it and names what has no effect; the documentation's list is checked against it. Names and types are those of Consul's reference.
// Invariant: a key is in this table or it is refused, as Consul refuses it.

export type KeyType = 'text' | 'flag' | 'number' | 'duration' | 'texts' | 'text-map' | 'map' | 'maps'

/** Who goes by it: the control plane, the agent of another machine, both, or nobody. */
export type KeyReader = 'server' | 'client' | 'both' | 'nobody'

export interface AgentKey {
  readonly type: KeyType
  readonly reader: KeyReader
}

export interface AgentKeys {
  readonly [name: string]: AgentKey | AgentKeys
}

const key = (type: KeyType, reader: KeyReader): AgentKey => ({ type, reader })
const all = (reader: KeyReader, type: KeyType, names: string): AgentKeys =>
  Object.fromEntries(names.split(' ').map(name => [name, key(type, reader)]))

export function isAgentKey(entry: AgentKey | AgentKeys): entry is AgentKey {
  return typeof (entry as AgentKey).reader === 'string'
}

const TLS_FILES = {
  ...all('both', 'text', 'ca_file ca_path cert_file key_file tls_min_version'),
  ...all('both', 'flag', 'verify_incoming'),
  ...all('client', 'flag', 'verify_outgoing'),
  ...all('nobody', 'text', 'tls_cipher_suites'),
}

export const AGENT_KEYS: AgentKeys = {
  ...all('both', 'text', 'datacenter node_name data_dir bind_addr client_addr advertise_addr domain alt_domain log_level log_file'),
  ...all('both', 'flag', 'server log_json enable_script_checks enable_local_script_checks'),
  ...all('both', 'texts', 'recursors'),
  ...all('both', 'maps', 'services checks service check'),
  ...all('client', 'text-map', 'node_meta'),
  locality: all('both', 'text', 'region zone'),
  ...all('client', 'flag', 'leave_on_terminate'),
  ...all('server', 'text', 'default_intention_policy'),
  ...all('server', 'flag', 'ui'),
  ...all('client', 'texts', 'retry_join start_join'),
  ...all('client', 'duration', 'retry_interval'),
  ...all('client', 'number', 'retry_max'),
  pid_file: key('text', 'both'),
  bootstrap: key('flag', 'nobody'),
  bootstrap_expect: key('number', 'nobody'),
  ports: {
    ...all('both', 'number', 'http https grpc grpc_tls dns'),
    ...all('both', 'number', 'sidecar_min_port sidecar_max_port expose_min_port expose_max_port'),
    ...all('nobody', 'number', 'serf_lan serf_wan server'),
  },
  addresses: all('both', 'text', 'http https grpc grpc_tls dns'),
  acl: {
    ...all('both', 'flag', 'enabled enable_token_persistence'),
    ...all('both', 'text', 'default_policy'),
    ...all('client', 'text', 'down_policy'),
    ...all('nobody', 'duration', 'token_ttl policy_ttl role_ttl'),
    ...all('nobody', 'flag', 'enable_key_list_policy enable_token_replication'),
    tokens: {
      ...all('server', 'text', 'initial_management'),
      ...all('both', 'text', 'agent default dns'),
      ...all('client', 'text', 'config_file_service_registration'),
      ...all('nobody', 'text', 'agent_recovery replication'),
    },
  },
  dns_config: {
    ...all('both', 'flag', 'only_passing'),
    ...all('both', 'duration', 'node_ttl'),
    ...all('both', 'text-map', 'service_ttl'),
    ...all('nobody', 'flag', 'allow_stale enable_truncate disable_compression use_cache enable_additional_node_meta_txt node_meta_txt'),
    ...all('nobody', 'duration', 'max_stale recursor_timeout cache_max_age'),
    ...all('nobody', 'number', 'udp_answer_limit a_record_limit'),
    ...all('nobody', 'text', 'recursor_strategy'),
    soa: all('nobody', 'number', 'expire min_ttl refresh retry'),
    prefer_namespace: key('flag', 'nobody'),
  },
  tls: {
    defaults: TLS_FILES,
    https: TLS_FILES,
    grpc: { ...TLS_FILES, use_auto_cert: key('flag', 'nobody') },
    internal_rpc: { ...TLS_FILES, verify_server_hostname: key('flag', 'client') },
  },
  auto_encrypt: {
    ...all('nobody', 'flag', 'allow_tls tls'),
    ...all('nobody', 'texts', 'dns_san ip_san'),
  },
  connect: {
    ...all('nobody', 'flag', 'enabled enable_mesh_gateway_wan_federation'),
    ca_provider: key('text', 'server'),
    ca_config: key('map', 'server'),
  },
  // Ours: Consul keeps backups by its `snapshot agent`.
  backup: all('server', 'text', 'to every keep key_file s3_credentials_file'),
  config_entries: { bootstrap: key('maps', 'server') },
  http_config: {
    response_headers: key('text-map', 'server'),
    block_endpoints: key('texts', 'server'),
    allow_write_http_from: key('texts', 'server'),
    ...all('nobody', 'flag', 'use_cache'),
    ...all('nobody', 'number', 'max_header_bytes'),
  },
  ui_config: {
    ...all('server', 'flag', 'enabled'),
    metrics_provider: key('text', 'server'),
    ...all('nobody', 'text', 'dir content_path metrics_provider_options_json'),
    metrics_provider_files: key('texts', 'nobody'),
    metrics_proxy: {
      base_url: key('text', 'server'),
      path_allowlist: key('texts', 'nobody'),
      add_headers: key('maps', 'nobody'),
    },
    dashboard_url_templates: key('text-map', 'nobody'),
  },
  limits: {
    ...all(
      'nobody',
      'number',
      'http_max_conns_per_client rpc_max_conns_per_client rpc_max_burst kv_max_value_size txn_max_req_len rpc_rate',
    ),
    ...all('nobody', 'duration', 'https_handshake_timeout rpc_handshake_timeout rpc_client_timeout'),
    request_limits: key('map', 'nobody'),
  },
  telemetry: {
    ...all('nobody', 'flag', 'disable_hostname filter_default disable_per_tenancy_usage_metrics enable_host_metrics'),
    ...all('nobody', 'text', 'metrics_prefix statsd_address statsite_address dogstatsd_addr circonus_api_token circonus_submission_url'),
    ...all('nobody', 'duration', 'prometheus_retention_time retry_failed_connection'),
    ...all('nobody', 'texts', 'prefix_filter dogstatsd_tags'),
  },
  peering: all('nobody', 'flag', 'enabled'),
  performance: {
    ...all('nobody', 'number', 'raft_multiplier'),
    ...all('nobody', 'duration', 'leave_drain_time rpc_hold_timeout'),
  },
  gossip_lan: key('map', 'nobody'),
  gossip_wan: key('map', 'nobody'),
  autopilot: key('map', 'nobody'),
  raft_logstore: key('map', 'nobody'),
  segments: key('maps', 'nobody'),
  watches: key('maps', 'nobody'),
  auto_config: key('map', 'nobody'),
  cache: key('map', 'nobody'),
  rpc: key('map', 'nobody'),
  xds: key('map', 'nobody'),
  unix_sockets: all('nobody', 'text', 'user group mode'),
  ...all('nobody', 'text', 'encrypt node_id primary_datacenter advertise_addr_wan serf_lan serf_wan syslog_facility license_path'),
  ...all('nobody', 'text', 'log_rotate_duration advertise_addr_ipv4 advertise_addr_ipv6 enterprise version'),
  ...all('nobody', 'text-map', 'tagged_addresses'),
  ...all('nobody', 'texts', 'retry_join_wan start_join_wan primary_gateways serf_allowed_cidrs_lan serf_allowed_cidrs_wan experiments'),
  ...all('nobody', 'duration', 'check_update_interval reconnect_timeout reconnect_timeout_wan session_ttl_min retry_interval_wan'),
  ...all('nobody', 'duration', 'max_query_time default_query_time discovery_max_stale primary_gateways_interval'),
  ...all(
    'nobody',
    'number',
    'raft_protocol raft_snapshot_threshold raft_trailing_logs protocol retry_max_wan log_rotate_bytes log_rotate_max_files',
  ),
  ...all('nobody', 'number', 'check_output_max_size'),
  ...all('nobody', 'duration', 'raft_snapshot_interval'),
  ...all('nobody', 'flag', 'encrypt_verify_incoming encrypt_verify_outgoing skip_leave_on_interrupt rejoin_after_leave enable_syslog'),
  ...all('nobody', 'flag', 'disable_anonymous_signature disable_update_check disable_host_node_id disable_remote_exec disable_coordinates'),
  ...all('nobody', 'flag', 'disable_keyring_file disable_http_unprintable_char_filter enable_debug enable_central_service_config'),
  ...all('nobody', 'flag', 'enable_agent_tls_for_checks translate_wan_addrs non_voting_server read_replica use_streaming_backend'),
  ...all('nobody', 'flag', 'auto_reload_config allow_write_http_from'),
}
