// Field support of the network filters (the HTTP connection manager has a table of its own) and the RBAC policies,
// which network and HTTP filter share.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const NETWORK_FILTER_SUPPORT: SupportTable = {
  'envoy.config.rbac.v3.Action': { supported: 'name action' },
  'envoy.config.rbac.v3.Permission': {
    supported:
      'and_rules or_rules any header url_path destination_ip destination_port destination_port_range metadata not_rule requested_server_name uri_template sourced_metadata',
    refused: {
      matcher: 'RBAC matcher extensions are not supported',
    },
  },
  'envoy.config.rbac.v3.Permission.Set': { supported: 'rules' },
  'envoy.config.rbac.v3.Policy': {
    supported: 'permissions principals condition checked_condition',
    refused: { cel_config: 'options of CEL are not supported' },
  },
  'envoy.config.rbac.v3.Principal': {
    supported: 'and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path metadata not_id sourced_metadata',
    refused: {
      filter_state: 'filter state principals are not supported',
      custom: 'custom principals are not supported',
    },
  },
  'envoy.config.rbac.v3.Principal.Authenticated': { supported: 'principal_name' },
  'envoy.config.rbac.v3.Principal.Set': { supported: 'ids' },
  'envoy.config.rbac.v3.RBAC': { supported: 'action policies', accepted: { audit_logging_options: '' } },
  'envoy.config.rbac.v3.SourcedMetadata': { supported: 'metadata_matcher metadata_source' },
  'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit': {
    supported: 'stat_prefix max_connections delay runtime_enabled',
  },
  'envoy.extensions.filters.network.direct_response.v3.Config': { supported: 'response' },
  'envoy.extensions.filters.network.echo.v3.Echo': { supported: '' },
  'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz': {
    supported: 'stat_prefix grpc_service failure_mode_allow include_peer_certificate transport_api_version include_tls_session',
    accepted: { filter_enabled_metadata: 'every connection is checked', bootstrap_metadata_labels_key: '', send_tls_alert_on_denial: '' },
    refused: {
      metadata_context_namespaces: 'metadata is not sent to the service',
      typed_metadata_context_namespaces: 'metadata is not sent to the service',
      shadow_mode: 'shadow mode is not supported',
    },
  },
  'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit': {
    supported: 'stat_prefix token_bucket runtime_enabled',
    accepted: { share_key: '' },
  },
  'envoy.extensions.filters.network.rbac.v3.RBAC': {
    supported: 'rules shadow_rules matcher shadow_matcher shadow_rules_stat_prefix stat_prefix',
    accepted: {
      delay_deny: 'denied connections are closed at once',
      enforcement_type: 'enforced before the first byte and on every change',
    },
  },
  'envoy.extensions.filters.network.sni_cluster.v3.SniCluster': { supported: '' },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': {
    supported:
      'stat_prefix cluster weighted_clusters metadata_match idle_timeout access_log max_connect_attempts hash_policy tunneling_config max_downstream_connection_duration',
    accepted: {
      proxy_protocol_tlv_merge_policy: 'PROXY protocol towards upstreams is not supported',
      backoff_options: '',
      max_downstream_connection_duration_jitter_percentage: '',
      max_early_data_bytes: '',
      check_drain_close: '',
      downstream_idle_timeout: '',
      upstream_idle_timeout: '',
      access_log_flush_interval: '',
      flush_access_log_on_connected: '',
      access_log_options: '',
    },
    refused: {
      proxy_protocol_tlvs: 'PROXY protocol towards upstreams is not supported',
      upstream_connect_mode: 'the upstream is dialled at once',
      on_demand: 'on-demand cluster discovery is not supported',
    },
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig': {
    supported: 'hostname use_post headers_to_add post_path',
    accepted: {
      request_id_header: '',
      request_id_metadata_key: '',
      formatters: '',
      propagate_response_headers: '',
      propagate_response_trailers: '',
    },
    refused: { request_id_extension: 'tunnels have no request id' },
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster': { supported: 'clusters' },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight': {
    supported: 'name weight',
    refused: { metadata_match: 'subset matches of weighted TCP clusters are not supported' },
  },
}
