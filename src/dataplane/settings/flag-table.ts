// Every flag of consul-dataplane: its environment variable, its place in the configuration file, its value where nothing is said, and whether we
// take it. One table for the command line (cli/commands/sidecar/sidecar.ts), the reader of settings, the documentation and its test.
// Invariant: a flag of consul-dataplane is taken, or refused with the reason that stands here.

export type FlagKind = 'text' | 'integer' | 'flag' | 'duration' | 'map'

export interface DataplaneFlag {
  readonly kind: FlagKind
  /** Of a map, the beginning of the names that end with 1 to 9. */
  readonly env: string
  /** Path in the configuration file. */
  readonly key: string
  readonly help: string
  /** As text. */
  readonly initial?: string
  /** Completes "-flag: ". */
  readonly refused?: string
  /** consul-dataplane has none of this name. */
  readonly ours?: true
}

type Rest = Omit<DataplaneFlag, 'kind' | 'env' | 'key' | 'help'>

function make(kind: FlagKind) {
  return (env: string, key: string, help: string, rest: Rest = {}): DataplaneFlag => ({ kind, env, key, help, ...rest })
}
const text = make('text')
const integer = make('integer')
const flag = make('flag')
const duration = make('duration')
const map = make('map')

const ONE_PROCESS = 'the proxy is a part of this process'

export const DATAPLANE_FLAGS = {
  mode: text('DP_MODE', 'mode', 'sidecar, or dns-proxy: DNS alone', { initial: 'sidecar' }),
  addresses: text('DP_CONSUL_ADDRESSES', 'consul.addresses', 'the servers: an address, a name, or exec=COMMAND that prints addresses'),
  'grpc-port': integer('DP_CONSUL_GRPC_PORT', 'consul.grpcPort', 'gRPC port of the servers', { initial: '8502' }),
  'server-watch-disabled': flag(
    'DP_SERVER_WATCH_DISABLED',
    'consul.serverWatchDisabled',
    'do not follow the list of servers: they stand behind a balancer',
  ),
  'tls-disabled': flag('DP_TLS_DISABLED', 'consul.tls.disabled', 'speak to the servers in clear text'),
  'ca-certs': text('DP_CA_CERTS', 'consul.tls.caCertsPath', "file or folder of roots that verify the servers' certificates"),
  'tls-cert': text('DP_TLS_CERT', 'consul.tls.certFile', 'certificate to show to the servers'),
  'tls-key': text('DP_TLS_KEY', 'consul.tls.keyFile', 'its private key'),
  'tls-server-name': text('DP_TLS_SERVER_NAME', 'consul.tls.serverName', "name in the servers' certificates, where -addresses is none"),
  'tls-insecure-skip-verify': flag('DP_TLS_INSECURE_SKIP_VERIFY', 'consul.tls.insecureSkipVerify', 'do not verify the servers'),
  'credential-type': text('DP_CREDENTIAL_TYPE', 'consul.credentials.type', 'static or login'),
  'static-token': text('DP_CREDENTIAL_STATIC_TOKEN', 'consul.credentials.static.token', 'ACL token of -credential-type static'),
  'static-token-path': text(
    'DP_CREDENTIAL_STATIC_TOKEN_PATH',
    'consul.credentials.static.tokenPath',
    'file with that token, read again for each stream',
    { ours: true },
  ),
  'login-auth-method': text('DP_CREDENTIAL_LOGIN_AUTH_METHOD', 'consul.credentials.login.authMethod', 'auth method to log in with'),
  'login-namespace': text('DP_CREDENTIAL_LOGIN_NAMESPACE', 'consul.credentials.login.namespace', 'namespace of the auth method'),
  'login-partition': text('DP_CREDENTIAL_LOGIN_PARTITION', 'consul.credentials.login.partition', 'partition of the auth method'),
  'login-datacenter': text('DP_CREDENTIAL_LOGIN_DATACENTER', 'consul.credentials.login.datacenter', 'datacenter of the auth method'),
  'login-bearer-token': text('DP_CREDENTIAL_LOGIN_BEARER_TOKEN', 'consul.credentials.login.bearerToken', 'bearer token to log in with'),
  'login-bearer-token-path': text(
    'DP_CREDENTIAL_LOGIN_BEARER_TOKEN_PATH',
    'consul.credentials.login.bearerTokenPath',
    'file with that token, read again for each login',
  ),
  'login-meta': map(
    'DP_CREDENTIAL_LOGIN_META',
    'consul.credentials.login.meta',
    'KEY=VALUE that the ACL token says of itself; may be given often',
  ),
  'proxy-id': text('DP_PROXY_ID', 'proxy.id', 'ID of the proxy in the catalog'),
  'proxy-id-path': text('DP_PROXY_ID_PATH', 'proxy.idPath', 'file with that ID'),
  'proxy-node-name': text('DP_PROXY_NODE_NAME', 'proxy.nodeName', 'node that the proxy is registered on'),
  'proxy-node-id': text('DP_PROXY_NODE_ID', 'proxy.nodeID', 'the same, by its ID'),
  'proxy-namespace': text('DP_PROXY_NAMESPACE', 'proxy.namespace', 'Consul Enterprise namespace of the proxy'),
  'proxy-partition': text('DP_PROXY_PARTITION', 'proxy.partition', 'Consul Enterprise partition of the proxy'),
  'proxy-service-id': text('DP_PROXY_SERVICE_ID', 'service.serviceID', 'older name of -proxy-id'),
  'proxy-service-id-path': text('DP_PROXY_SERVICE_ID_PATH', 'service.serviceIDPath', 'older name of -proxy-id-path'),
  'service-node-name': text('DP_SERVICE_NODE_NAME', 'service.nodeName', 'older name of -proxy-node-name'),
  'service-node-id': text('DP_SERVICE_NODE_ID', 'service.nodeID', 'older name of -proxy-node-id'),
  'service-namespace': text('DP_SERVICE_NAMESPACE', 'service.namespace', 'older name of -proxy-namespace'),
  'service-partition': text('DP_SERVICE_PARTITION', 'service.partition', 'older name of -proxy-partition'),
  'log-level': text('DP_LOG_LEVEL', 'logging.logLevel', 'trace, debug, info, warn or error', { initial: 'info' }),
  'log-json': flag('DP_LOG_JSON', 'logging.logJSON', 'log lines as JSON'),
  'telemetry-use-central-config': flag(
    'DP_TELEMETRY_USE_CENTRAL_CONFIG',
    'telemetry.useCentralConfig',
    'take what proxy-defaults and the registration say of metrics and tracing',
    { initial: 'true' },
  ),
  'telemetry-prom-retention-time': duration(
    'DP_TELEMETRY_PROM_RETENTION_TIME',
    'telemetry.prometheus.retentionTime',
    'over which time our own durations are summed up',
    { initial: '60s' },
  ),
  'telemetry-prom-ca-certs-path': text(
    'DP_TELEMETRY_PROM_CA_CERTS_PATH',
    'telemetry.prometheus.caCertsPath',
    'file or folder of roots that verify Prometheus',
  ),
  'telemetry-prom-key-file': text('DP_TELEMETRY_PROM_KEY_FILE', 'telemetry.prometheus.keyFile', 'private key of the metrics listener'),
  'telemetry-prom-cert-file': text('DP_TELEMETRY_PROM_CERT_FILE', 'telemetry.prometheus.certFile', 'its certificate'),
  'telemetry-prom-service-metrics-url': text(
    'DP_TELEMETRY_PROM_SERVICE_METRICS_URL',
    'telemetry.prometheus.serviceMetricsURL',
    "the service's own Prometheus page, put behind ours",
  ),
  'telemetry-prom-scrape-path': text('DP_TELEMETRY_PROM_SCRAPE_PATH', 'telemetry.prometheus.scrapePath', 'path of the metrics listener', {
    initial: '/metrics',
  }),
  'telemetry-prom-merge-port': integer('DP_TELEMETRY_PROM_MERGE_PORT', 'telemetry.prometheus.mergePort', 'port of the merged metrics', {
    initial: '20100',
  }),
  'envoy-admin-bind-address': text('DP_ENVOY_ADMIN_BIND_ADDRESS', 'envoy.adminBindAddress', 'address of the admin endpoint', {
    initial: '127.0.0.1',
  }),
  'envoy-admin-bind-port': integer('DP_ENVOY_ADMIN_BIND_PORT', 'envoy.adminBindPort', 'port of the admin endpoint', { initial: '19000' }),
  'envoy-ready-bind-address': text('DP_ENVOY_READY_BIND_ADDRESS', 'envoy.readyBindAddress', 'where /ready answers others, for probes'),
  'envoy-ready-bind-port': integer('DP_ENVOY_READY_BIND_PORT', 'envoy.readyBindPort', 'its port', { initial: '0' }),
  // consul-dataplane's 2 are threads of Envoy's; here each is a process.
  'envoy-concurrency': integer('DP_ENVOY_CONCURRENCY', 'envoy.concurrency', 'processes that serve; 1: this one alone', { initial: '1' }),
  'envoy-drain-time-seconds': integer('DP_ENVOY_DRAIN_TIME', 'envoy.drainTimeSeconds', 'how long drained connections may last', {
    initial: '30',
  }),
  'envoy-drain-strategy': text('DP_ENVOY_DRAIN_STRATEGY', 'envoy.drainStrategy', 'immediate or gradual', { initial: 'immediate' }),
  'envoy-executable-path': text('DP_ENVOY_EXECUTABLE_PATH', 'envoy.executablePath', `refused: ${ONE_PROCESS}`, {
    refused: `${ONE_PROCESS}: consul-dataplane runs another one`,
  }),
  'xds-bind-addr': text('DP_XDS_BIND_ADDR', 'xdsServer.bindAddress', `refused: ${ONE_PROCESS}`, {
    refused: `${ONE_PROCESS}: no xDS port stands between them`,
  }),
  'xds-bind-port': integer('DP_XDS_BIND_PORT', 'xdsServer.bindPort', `refused: ${ONE_PROCESS}`, {
    refused: `${ONE_PROCESS}: no xDS port stands between them`,
  }),
  'consul-dns-bind-addr': text('DP_CONSUL_DNS_BIND_ADDR', 'dnsServer.bindAddress', 'address of the DNS proxy', { initial: '127.0.0.1' }),
  'consul-dns-bind-port': integer('DP_CONSUL_DNS_BIND_PORT', 'dnsServer.bindPort', 'its port, UDP and TCP; -1: there is none', {
    initial: '-1',
  }),
  'shutdown-drain-listeners': flag(
    'DP_SHUTDOWN_DRAIN_LISTENERS',
    'envoy.shutdownDrainListenersEnabled',
    'drain the inbound listeners while the end is waited for',
  ),
  'shutdown-grace-period-seconds': integer(
    'DP_SHUTDOWN_GRACE_PERIOD_SECONDS',
    'envoy.shutdownGracePeriodSeconds',
    'from SIGTERM to the end of the proxy',
    { initial: '0' },
  ),
  'graceful-shutdown-path': text('DP_GRACEFUL_SHUTDOWN_PATH', 'envoy.gracefulShutdownPath', 'page that begins the end', {
    initial: '/graceful_shutdown',
  }),
  'graceful-startup-path': text('DP_GRACEFUL_STARTUP_PATH', 'envoy.gracefulStartupPath', 'page that answers when the proxy is ready', {
    initial: '/graceful_startup',
  }),
  'graceful-addr': text('DP_GRACEFUL_ADDR', 'envoy.gracefulAddr', 'address of these pages', { initial: '127.0.0.1' }),
  'graceful-port': integer('DP_GRACEFUL_PORT', 'envoy.gracefulPort', 'port of these pages', { initial: '20300' }),
  'startup-grace-period-seconds': integer(
    'DP_STARTUP_GRACE_PERIOD_SECONDS',
    'envoy.startupGracePeriodSeconds',
    'how long the second page waits at most',
    { initial: '0' },
  ),
  'dump-envoy-config-on-exit': flag(
    'DP_DUMP_ENVOY_CONFIG_ON_EXIT',
    'envoy.dumpEnvoyConfigOnExitEnabled',
    'print /config_dump when the end begins',
  ),
} as const satisfies Readonly<Record<string, DataplaneFlag>>

export type FlagName = keyof typeof DATAPLANE_FLAGS
