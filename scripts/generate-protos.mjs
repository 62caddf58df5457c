// Generates src/xds/gen from the .proto files that @grpc/grpc-js-xds ships (Envoy's v3 API, xds, googleapis, validate), and from our own
// (own-protos.mjs: Consul's services, etcd's, the SPIFFE Workload API).
// Called by scripts/build.mjs when src/xds/gen is missing or older than this file. Needs no network and no installed
// tool: buf and protoc-gen-es come from npm. Only ENTRY_FILES and what they import are generated.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NEWER_FILES, withNewerFields } from './newer-proto-fields.mjs'
import { assertAllRulesUsed, withNewerRules } from './newer-proto-rules.mjs'
import { OWN_PROTO_FOLDERS } from './own-protos.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const deps = join(root, 'node_modules/@grpc/grpc-js-xds/deps')
const outDir = join(root, 'src/xds/gen')

const ENTRY_FILES = [
  'envoy/admin/v3/certs.proto',
  'envoy/admin/v3/clusters.proto',
  'envoy/admin/v3/config_dump.proto',
  'envoy/admin/v3/listeners.proto',
  'envoy/admin/v3/server_info.proto',
  'envoy/config/bootstrap/v3/bootstrap.proto',
  'envoy/config/metrics/v3/metrics_service.proto',
  'envoy/config/grpc_credential/v3/file_based_metadata.proto',
  'envoy/config/rbac/v3/rbac.proto',
  'envoy/config/trace/v3/opentelemetry.proto',
  'envoy/config/trace/v3/zipkin.proto',
  'envoy/data/core/v3/health_check_event.proto',
  'envoy/extensions/access_loggers/file/v3/file.proto',
  'envoy/extensions/access_loggers/grpc/v3/als.proto',
  'envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto',
  'envoy/extensions/access_loggers/stream/v3/stream.proto',
  'envoy/extensions/access_loggers/filters/cel/v3/cel.proto',
  'envoy/extensions/clusters/aggregate/v3/cluster.proto',
  'envoy/extensions/clusters/dns/v3/dns_cluster.proto',
  'envoy/extensions/compression/brotli/compressor/v3/brotli.proto',
  'envoy/extensions/compression/brotli/decompressor/v3/brotli.proto',
  'envoy/extensions/compression/gzip/compressor/v3/gzip.proto',
  'envoy/extensions/compression/gzip/decompressor/v3/gzip.proto',
  'envoy/extensions/compression/zstd/compressor/v3/zstd.proto',
  'envoy/extensions/compression/zstd/decompressor/v3/zstd.proto',
  'envoy/extensions/common/matching/v3/extension_matcher.proto',
  'envoy/extensions/filters/common/matcher/action/v3/skip_action.proto',
  'envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto',
  'envoy/extensions/filters/http/basic_auth/v3/basic_auth.proto',
  'envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.proto',
  'envoy/extensions/filters/http/buffer/v3/buffer.proto',
  'envoy/extensions/filters/http/composite/v3/composite.proto',
  'envoy/extensions/filters/http/compressor/v3/compressor.proto',
  'envoy/extensions/filters/http/cors/v3/cors.proto',
  'envoy/extensions/filters/http/credential_injector/v3/credential_injector.proto',
  'envoy/extensions/filters/http/csrf/v3/csrf.proto',
  'envoy/extensions/filters/http/custom_response/v3/custom_response.proto',
  'envoy/extensions/filters/http/decompressor/v3/decompressor.proto',
  'envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto',
  'envoy/extensions/filters/http/ext_proc/v3/ext_proc.proto',
  'envoy/extensions/filters/http/fault/v3/fault.proto',
  'envoy/extensions/filters/http/grpc_http1_bridge/v3/config.proto',
  'envoy/extensions/filters/http/grpc_stats/v3/config.proto',
  'envoy/extensions/filters/http/grpc_web/v3/grpc_web.proto',
  'envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto',
  'envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.proto',
  'envoy/extensions/filters/http/health_check/v3/health_check.proto',
  'envoy/extensions/filters/http/json_to_metadata/v3/json_to_metadata.proto',
  'envoy/extensions/filters/http/jwt_authn/v3/config.proto',
  'envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto',
  'envoy/extensions/filters/http/oauth2/v3/oauth.proto',
  'envoy/extensions/filters/http/on_demand/v3/on_demand.proto',
  'envoy/extensions/filters/http/ratelimit/v3/rate_limit.proto',
  'envoy/extensions/filters/http/rbac/v3/rbac.proto',
  'envoy/extensions/filters/http/router/v3/router.proto',
  'envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.proto',
  'envoy/extensions/filters/http/set_metadata/v3/set_metadata.proto',
  'envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto',
  'envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto',
  'envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto',
  'envoy/extensions/filters/listener/original_dst/v3/original_dst.proto',
  'envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto',
  'envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto',
  'envoy/extensions/filters/network/direct_response/v3/config.proto',
  'envoy/extensions/filters/network/echo/v3/echo.proto',
  'envoy/extensions/filters/network/ext_authz/v3/ext_authz.proto',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
  'envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.proto',
  'envoy/extensions/filters/network/rbac/v3/rbac.proto',
  'envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.proto',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
  'envoy/extensions/health_check/event_sinks/file/v3/file.proto',
  'envoy/extensions/http/custom_response/local_response_policy/v3/local_response_policy.proto',
  'envoy/extensions/http/custom_response/redirect_policy/v3/redirect_policy.proto',
  'envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto',
  'envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.proto',
  'envoy/extensions/http/injected_credentials/generic/v3/generic.proto',
  'envoy/extensions/http/injected_credentials/oauth2/v3/oauth2.proto',
  'envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header.proto',
  'envoy/extensions/http/original_ip_detection/xff/v3/xff.proto',
  'envoy/extensions/http/stateful_session/cookie/v3/cookie.proto',
  'envoy/extensions/http/stateful_session/envelope/v3/envelope.proto',
  'envoy/extensions/http/stateful_session/header/v3/header.proto',
  'envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.proto',
  'envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.proto',
  'envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.proto',
  'envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin.proto',
  'envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.proto',
  'envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto',
  'envoy/extensions/load_balancing_policies/maglev/v3/maglev.proto',
  'envoy/extensions/load_balancing_policies/pick_first/v3/pick_first.proto',
  'envoy/extensions/load_balancing_policies/random/v3/random.proto',
  'envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.proto',
  'envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto',
  'envoy/extensions/load_balancing_policies/subset/v3/subset.proto',
  'envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.proto',
  'envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto',
  'envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.proto',
  'envoy/extensions/matching/input_matchers/consistent_hashing/v3/consistent_hashing.proto',
  'envoy/extensions/matching/input_matchers/ip/v3/ip.proto',
  'envoy/extensions/matching/input_matchers/metadata/v3/metadata.proto',
  'envoy/extensions/matching/input_matchers/runtime_fraction/v3/runtime_fraction.proto',
  'envoy/extensions/request_id/uuid/v3/uuid.proto',
  'envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.proto',
  'envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver.proto',
  'envoy/extensions/path/match/uri_template/v3/uri_template_match.proto',
  'envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.proto',
  'envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory.proto',
  'envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto',
  'envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.proto',
  'envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.proto',
  'envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.proto',
  'envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config.proto',
  'envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto',
  'envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto',
  'envoy/extensions/stat_sinks/open_telemetry/v3/open_telemetry.proto',
  'envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector.proto',
  'envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector.proto',
  'envoy/extensions/tracers/opentelemetry/samplers/v3/always_on_sampler.proto',
  'envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler.proto',
  'envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler.proto',
  'envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto',
  'envoy/extensions/upstreams/http/v3/http_protocol_options.proto',
  'envoy/service/accesslog/v3/als.proto',
  'envoy/service/auth/v3/external_auth.proto',
  'envoy/service/discovery/v3/ads.proto',
  'envoy/service/ext_proc/v3/external_processor.proto',
  'envoy/service/health/v3/hds.proto',
  'envoy/service/load_stats/v3/lrs.proto',
  'envoy/service/ratelimit/v3/rls.proto',
  'envoy/service/runtime/v3/rtds.proto',
  'envoy/service/status/v3/csds.proto',
  'envoy/type/matcher/v3/http_inputs.proto',
  'envoy/type/matcher/v3/status_code_input.proto',
  'google/rpc/status.proto',
  'google/protobuf/wrappers.proto',
  'xds/type/matcher/v3/cel.proto',
  'xds/type/matcher/v3/domain.proto',
  'xds/type/matcher/v3/http_inputs.proto',
  'xds/type/matcher/v3/ip.proto',
  'xds/type/matcher/v3/matcher.proto',
  'xds/type/v3/typed_struct.proto',
  'udpa/type/v1/typed_struct.proto',
]

/** Remove every `ignore_empty` option: the validate.proto that ships beside these files does not declare it. */
function dropIgnoreEmpty(text) {
  return text
    .replace(/(?<=[{,(]\s*)ignore_empty:\s*(?:true|false),?\s*/g, '')
    .replace(/,?\s*ignore_empty:\s*(?:true|false)/g, '')
    .replace(/\.ignore_empty = (?:true|false)/g, '.min_len = 0')
}

function copyProtos(from, to, path) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    const name = `${path}/${entry.name}`
    if (entry.isDirectory()) copyProtos(source, target, name)
    else if (entry.name.endsWith('.proto')) {
      mkdirSync(to, { recursive: true })
      writeFileSync(target, withNewerRules(withNewerFields(name, dropIgnoreEmpty(readFileSync(source, 'utf8')))))
    }
  }
}

/** All files that `entries` need, found by following import lines: buf would otherwise compile the whole tree. */
function importClosure(protoRoot, entries) {
  const seen = new Set()
  const queue = [...entries]
  while (queue.length > 0) {
    const file = queue.pop()
    if (seen.has(file) || !existsSync(join(protoRoot, file))) continue
    seen.add(file)
    for (const match of readFileSync(join(protoRoot, file), 'utf8').matchAll(/^import\s+(?:public\s+)?"([^"]+)";/gm)) queue.push(match[1])
  }
  return seen
}

/** Generated code makes its descriptors by ours, at first use, in the place of the library's own functions. */
function withLazyDescriptors(folder, descriptors) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) withLazyDescriptors(path, `../${descriptors}`)
    else {
      const from = readFileSync(path, 'utf8')
      const to = from.replace(/^(import \{.*\} from )"@bufbuild\/protobuf\/codegenv2";$/m, `$1"${descriptors}/lazy-descriptors.js";`)
      if (to === from) throw new Error(`${path}: the import of the functions that make descriptors is not where it was`)
      writeFileSync(path, to)
    }
  }
}

export function generateProtos() {
  const work = mkdtempSync(join(tmpdir(), 'outrigger-protos-'))
  try {
    const all = join(work, 'all')
    const used = join(work, 'used')
    for (const source of ['envoy-api/envoy', 'xds/udpa', 'xds/xds', 'googleapis/google', 'protoc-gen-validate/validate']) {
      const name = source.slice(source.indexOf('/') + 1)
      copyProtos(join(deps, source), join(all, name), name)
    }
    for (const [name, text] of Object.entries(NEWER_FILES)) {
      if (existsSync(join(all, name))) throw new Error(`${name} comes with the package by now`)
      mkdirSync(dirname(join(all, name)), { recursive: true })
      writeFileSync(join(all, name), withNewerRules(text))
    }
    assertAllRulesUsed()
    const own = Object.entries(OWN_PROTO_FOLDERS).flatMap(([folder, target]) => {
      cpSync(join(root, folder), join(all, target), { recursive: true })
      return readdirSync(join(root, folder)).map(name => `${target}/${name}`)
    })
    for (const file of importClosure(all, [...ENTRY_FILES, ...own])) {
      mkdirSync(dirname(join(used, file)), { recursive: true })
      cpSync(join(all, file), join(used, file))
    }
    const bin = join(root, 'node_modules/.bin')
    const template = {
      version: 'v2',
      inputs: [{ directory: used }],
      // `all`: the plugin runs once, not once a folder.
      plugins: [{ local: join(bin, 'protoc-gen-es'), out: join(work, 'gen'), opt: ['target=ts', 'import_extension=js'], strategy: 'all' }],
    }
    execFileSync(join(bin, 'buf'), ['generate', '--template', JSON.stringify(template)], {
      cwd: work,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, BUF_CACHE_DIR: join(work, 'cache') },
    })
    withLazyDescriptors(join(work, 'gen'), '../descriptors')
    rmSync(outDir, { recursive: true, force: true })
    mkdirSync(dirname(outDir), { recursive: true })
    cpSync(join(work, 'gen'), outDir, { recursive: true })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateProtos()
