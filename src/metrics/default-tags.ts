// Envoy 1.40's default tags as data: which part of a stat name becomes which tag. Read only by tags.ts.
// Two notations. A token pattern is matched against the dot-separated parts of the name: `$` is the value, `*` one part, `**` any
// parts. A regex removes its group 1 and takes its group 2 as value. Order is Envoy's and shows in the label order: regexes first,
// then token patterns. `token` is the first part a name must have for the rule to be tried; rules without one are tried on every name.
// All these regexes are linear or at worst quadratic in the length of one stat name, so the built-in engine may run them.

export interface DefaultTagRule {
  readonly name: string
  readonly token: string | null
  readonly pattern: RegExp | readonly string[]
  /** A cheap substring the name must contain before the regex is run. */
  readonly needs: string | null
  /** A value that is not this tag after all. */
  readonly except: string | null
}

const ADDRESS = '(?:\\d{1,3}(?:\\.\\d{1,3}){3}|\\[[a-fA-F_\\d]+\\])_\\d+'
const LISTENER = `listener\\.(?:${ADDRESS}|[^.]+)`

function regex(
  name: string,
  token: string | null,
  source: string,
  needs: string | null = null,
  except: string | null = null,
): DefaultTagRule {
  return { name: `envoy.${name}`, token, pattern: new RegExp(source, 'd'), needs, except }
}

function tokens(name: string, pattern: string): DefaultTagRule {
  const parts = pattern.split('.')
  return { name: `envoy.${name}`, token: parts[0] === '$' ? null : parts[0]!, pattern: parts, needs: null, except: null }
}

export const DEFAULT_TAG_RULES: readonly DefaultTagRule[] = [
  regex('response_code', null, '_rq(_(\\d{3}))$', '_rq_'),
  regex('response_code_class', null, '_rq_((\\d))xx$', '_rq_'),
  regex(
    'dynamo_partition_id',
    'http',
    '^http(?:\\.[^.]+){1}\\.dynamodb\\.table\\.[^.]+\\.capacity\\.[^.]+(\\.__partition_id=(\\w{7}))$',
    '.dynamodb.',
  ),
  regex('dynamo_operation', 'http', '^http\\.[^.]+\\.dynamodb\\.(?:operation|table\\.[^.]+\\.capacity)(\\.([^.]+))(?:\\.|$)', '.dynamodb.'),
  regex('dynamo_table', 'http', '^http\\.[^.]+\\.dynamodb\\.(?:table|error)\\.(([^.]+)\\.)', '.dynamodb.'),
  regex('ssl_cipher', 'listener', '^listener\\..*?\\.ssl\\.ciphers(\\.([\\w-]+))$', '.ssl.ciphers.'),
  regex('ssl_curve', null, '^(?:listener|cluster)\\..*?\\.ssl\\.curves(\\.([\\w-]+))$', '.ssl.curves.'),
  regex('ssl_sigalg', null, '^(?:listener|cluster)\\..*?\\.ssl\\.sigalgs(\\.([\\w-]+))$', '.ssl.sigalgs.'),
  regex('ssl_version', null, '^(?:listener|cluster)\\..*?\\.ssl\\.versions(\\.(TLSv\\d\\.\\d))$', '.ssl.versions.'),
  { ...regex('', 'cluster', '^cluster\\.[^.]+\\.ssl\\.ciphers(\\.([\\w-]+))$', '.ssl.ciphers.'), name: 'cipher_suite' },
  regex('http_conn_manager_prefix', 'listener', '^listener\\..*?\\.http\\.(([^.]+)\\.)', '.http.'),
  regex('worker_id', null, `^(?:${LISTENER}|server|listener_manager|thread_local_cluster_manager)\\.worker_((\\d+)\\.)`, '.worker_'),
  regex('listener_address', 'listener', `^listener\\.((${ADDRESS}|[^.]+)\\.)`, null, 'admin'),
  regex('rds_route_config', 'http', '^http\\.[^.]+\\.rds\\.(([\\w./-]+)\\.)\\w+$', '.rds.'),
  regex('scoped_rds_config', 'http', '^http\\.[^.]+\\.scoped_rds\\.(([\\w.-]+)\\.)\\w+$', '.scoped_rds.'),
  regex('rbac_policy_name', 'http', '^http\\.[^.]+\\.rbac\\.(?:[^.]+\\.)?policy\\.(([^.]+)\\.)(?:shadow_)?(?:allowed|denied)$', '.policy.'),
  // Of the network filter: Envoy counts no policies there, we do (denials by intention).
  regex('rbac_policy_name', null, '^(?!http\\.)(?:[^.]+\\.)+rbac\\.(?:[^.]+\\.)?policy\\.(([^.]+)\\.)denied$', '.policy.'),
  regex('rbac_http_prefix', 'http', '^http\\.[^.]+\\.rbac\\.(([^.]+)\\.)', '.rbac.', 'policy'),
  regex('proxy_protocol_prefix', 'proxy_proto', '^proxy_proto\\.(([^.]+)\\.).', null, 'versions'),
  regex('proxy_protocol_version', 'proxy_proto', '^proxy_proto\\.((?:[^.]+\\.)?versions\\.v(\\d)\\.)\\w+$'),
  regex('tls_certificate', null, '^(?:listener|cluster)\\..*?\\.ssl\\.certificate\\.(([^.]+)\\.)', '.ssl.certificate.'),
  regex('xds_resource_name', 'sds', '^sds\\.(([^.]+)\\.).'),
  regex('health_check_name', 'cluster', '^cluster\\.[^.]+\\.health_check(\\.name\\.([^.]+))\\.', '.health_check.name.'),
  tokens('mongo_callsite', 'mongo.*.collection.*.callsite.$.query.**'),
  tokens('mongo_collection', 'mongo.*.collection.$.**.query.*'),
  tokens('mongo_cmd', 'mongo.*.cmd.$.**'),
  tokens('grpc_bridge_method', 'cluster.*.grpc.*.$.**'),
  tokens('http_user_agent', 'http.*.user_agent.$.**'),
  tokens('virtual_cluster', 'vhost.*.vcluster.$.**'),
  tokens('fault_downstream_cluster', 'http.*.fault.$.**'),
  tokens('grpc_bridge_service', 'cluster.*.grpc.$.**'),
  tokens('tcp_prefix', 'tcp.$.**'),
  tokens('udp_prefix', 'udp.$.**'),
  tokens('clientssl_prefix', 'auth.clientssl.$.**'),
  tokens('ratelimit_prefix', 'ratelimit.$.**'),
  tokens('cluster_name', 'cluster.$.**'),
  tokens('ext_authz_prefix', 'cluster.*.ext_authz.$.**'),
  tokens('ext_authz_prefix', 'http.*.ext_authz.$.**'),
  tokens('http_conn_manager_prefix', 'http.$.**'),
  tokens('virtual_host', 'vhost.$.**'),
  tokens('mongo_prefix', 'mongo.$.**'),
  tokens('route', 'vhost.*.route.$.**'),
  tokens('thrift_prefix', 'thrift.$.**'),
  tokens('redis_prefix', 'redis.$.**'),
  tokens('local_http_ratelimit_prefix', '$.http_local_rate_limit.**'),
  tokens('local_network_ratelimit_prefix', 'local_rate_limit.$.**'),
  tokens('local_listener_ratelimit_prefix', 'listener_local_ratelimit.$.**'),
  tokens('dns_filter_prefix', 'dns_filter.$.**'),
  tokens('connection_limit_prefix', 'connection_limit.$.**'),
  tokens('rbac_prefix', '$.rbac.**'),
  tokens('google_grpc_client_prefix', 'grpc.$.**'),
]
