// What `outrigger sidecar` runs by, judged as a whole: from FlagValues to groups of values that fit together. Called by the command line; each group
// is handed to the one part of src/dataplane that it is about.
import { isIP } from 'node:net'
import { FlagValues, type SaidBy, SettingsError } from './flag-values.js'

export interface ServerSettings {
  /** An address, a name, or `exec=COMMAND`. */
  readonly addresses: string
  readonly grpcPort: number
  readonly watchDisabled: boolean
  /** null: in clear text. */
  readonly tls: TlsSettings | null
  readonly credentials: CredentialSettings
}

export interface TlsSettings {
  /** File or folder; '' = the roots that Node brings. */
  readonly caCertsPath: string
  /** '' = none is shown. */
  readonly certFile: string
  readonly keyFile: string
  /** '' = nothing to compare with. */
  readonly serverName: string
  readonly verify: boolean
}

export type CredentialSettings =
  | { readonly kind: 'none' }
  | { readonly kind: 'static'; readonly token: string; readonly tokenPath: string }
  | {
      readonly kind: 'login'
      readonly authMethod: string
      readonly namespace: string
      readonly partition: string
      readonly datacenter: string
      readonly bearerToken: string
      readonly bearerTokenPath: string
      readonly meta: Readonly<Record<string, string>>
    }

export interface ProxySettings {
  readonly id: string
  readonly nodeName: string
  readonly nodeId: string
  readonly namespace: string
  readonly partition: string
}

export interface TelemetrySettings {
  readonly useCentralConfig: boolean
  readonly retentionMs: number
  /** null: Prometheus comes in clear text. */
  readonly tls: { readonly caCertsPath: string; readonly certFile: string; readonly keyFile: string } | null
  /** '' = the service has none. */
  readonly serviceMetricsUrl: string
  readonly scrapePath: string
  readonly mergePort: number
}

export interface EnvoySettings {
  readonly adminHost: string
  readonly adminPort: number
  /** '' = nobody but the admin endpoint answers probes. */
  readonly readyBind: string
  readonly concurrency: number
  readonly drainTimeS: number
  readonly drainStrategy: string
}

export interface LifecycleSettings {
  readonly host: string
  readonly port: number
  readonly shutdownPath: string
  readonly startupPath: string
  readonly shutdownGraceMs: number
  readonly startupGraceMs: number
  readonly drainListeners: boolean
  readonly dumpConfig: boolean
}

export interface DnsSettings {
  readonly host: string
  readonly port: number
}

export interface DataplaneSettings {
  readonly mode: 'sidecar' | 'dns-proxy'
  readonly servers: ServerSettings
  readonly proxy: ProxySettings
  readonly log: { readonly level: string; readonly json: boolean }
  readonly telemetry: TelemetrySettings
  readonly envoy: EnvoySettings
  readonly lifecycle: LifecycleSettings
  /** null: there is no DNS proxy. */
  readonly dns: DnsSettings | null
}

export interface SettingsSources extends SaidBy {
  /** Throws one line where there is no such file. */
  readonly readText: (path: string) => string
}

const MAX_PORT = 65_535
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error']

/** Throws `SettingsError`. */
export function readSettings(sources: SettingsSources): DataplaneSettings {
  const values = FlagValues.read(sources)
  const mode = oneOf(values, 'mode', ['sidecar', 'dns-proxy'])
  const isSidecar = mode === 'sidecar'
  const proxy = proxySettings(values, sources.readText)
  if (isSidecar && proxy.id === '') throw new SettingsError('-proxy-id: the ID of the proxy is needed')
  if (!isSidecar && proxy.namespace !== '' && proxy.namespace !== 'default')
    throw new SettingsError('-proxy-namespace: must be empty or default in mode dns-proxy')
  const dns = dnsSettings(values)
  if (isSidecar && dns !== null && !isLoopback(dns.host))
    throw new SettingsError(`-consul-dns-bind-addr ${dns.host}: must be of the loopback interface in mode sidecar`)
  return {
    mode,
    servers: serverSettings(values),
    proxy,
    log: { level: oneOf(values, 'log-level', LOG_LEVELS), json: values.isOn('log-json') },
    telemetry: telemetrySettings(values),
    envoy: envoySettings(values, isSidecar),
    lifecycle: lifecycleSettings(values),
    dns,
  }
}

/** Where the admin endpoint is, whatever else is said; throws `SettingsError`. */
export function readAdmin(sources: SettingsSources): Pick<EnvoySettings, 'adminHost' | 'adminPort'> {
  return envoySettings(FlagValues.read(sources), true)
}

type Name = Parameters<FlagValues['text']>[0]

function oneOf<T extends string>(values: FlagValues, name: Name, choices: readonly T[]): T {
  const value = values.text(name).toLowerCase()
  const chosen = choices.find(choice => choice === value)
  if (chosen === undefined) throw new SettingsError(`-${name} "${values.text(name)}": must be ${choices.join(', ')}`)
  return chosen
}

function port(values: FlagValues, name: Name, least: number): number {
  const value = values.number(name)
  if (value < least || value > MAX_PORT) throw new SettingsError(`-${name} ${value}: must be from ${least} to ${MAX_PORT}`)
  return value
}

function atLeast(values: FlagValues, name: Name, least: number): number {
  const value = values.number(name)
  if (value < least) throw new SettingsError(`-${name} ${value}: must be at least ${least}`)
  return value
}

function isLoopback(host: string): boolean {
  return /^127\./.test(host) || host === '::1'
}

function serverSettings(values: FlagValues): ServerSettings {
  const addresses = values.text('addresses')
  if (addresses === '') throw new SettingsError('-addresses: the servers are needed (or --consul HOST:PORT)')
  return {
    addresses,
    grpcPort: port(values, 'grpc-port', 1),
    watchDisabled: values.isOn('server-watch-disabled'),
    tls: values.isOn('tls-disabled') ? null : tlsSettings(values, addresses),
    credentials: credentialSettings(values),
  }
}

function tlsSettings(values: FlagValues, addresses: string): TlsSettings {
  const verify = !values.isOn('tls-insecure-skip-verify')
  const [certFile, keyFile] = [values.text('tls-cert'), values.text('tls-key')]
  if ((certFile === '') !== (keyFile === '')) throw new SettingsError('-tls-cert and -tls-key go together')
  // Whoever was asked for by name has to show that name.
  const serverName = values.text('tls-server-name') || (addresses.startsWith('exec=') ? '' : addresses)
  if (verify && serverName === '')
    throw new SettingsError("-tls-server-name: the name in the servers' certificates is needed, since -addresses is none")
  return { caCertsPath: values.text('ca-certs'), certFile, keyFile, serverName, verify }
}

function credentialSettings(values: FlagValues): CredentialSettings {
  const kind = values.text('credential-type')
  if (kind === '') return { kind: 'none' }
  if (oneOf(values, 'credential-type', ['static', 'login']) === 'static') {
    const [token, tokenPath] = [values.text('static-token'), values.text('static-token-path')]
    if (token !== '' && tokenPath !== '') throw new SettingsError('-static-token and -static-token-path exclude each other')
    return { kind: 'static', token, tokenPath }
  }
  const [bearerToken, bearerTokenPath] = [values.text('login-bearer-token'), values.text('login-bearer-token-path')]
  if (bearerToken === '' && bearerTokenPath === '')
    throw new SettingsError('-credential-type login: -login-bearer-token or -login-bearer-token-path is needed')
  return {
    kind: 'login',
    authMethod: values.text('login-auth-method'),
    namespace: values.text('login-namespace'),
    partition: values.text('login-partition'),
    datacenter: values.text('login-datacenter'),
    bearerToken,
    bearerTokenPath,
    meta: values.map('login-meta'),
  }
}

const PROXY_FLAGS = ['proxy-id', 'proxy-id-path', 'proxy-node-name', 'proxy-node-id', 'proxy-namespace', 'proxy-partition'] as const

/** The older names count where none of the newer ones is used. */
function proxySettings(values: FlagValues, readText: (path: string) => string): ProxySettings {
  const isNew = PROXY_FLAGS.some(name => values.has(name))
  const of = (newer: Name, older: Name): string => values.text(isNew ? newer : older)
  const path = of('proxy-id-path', 'proxy-service-id-path')
  const id = of('proxy-id', 'proxy-service-id')
  return {
    id: id === '' && path !== '' ? readText(path).trim() : id,
    nodeName: of('proxy-node-name', 'service-node-name'),
    nodeId: of('proxy-node-id', 'service-node-id'),
    namespace: of('proxy-namespace', 'service-namespace'),
    partition: of('proxy-partition', 'service-partition'),
  }
}

function telemetrySettings(values: FlagValues): TelemetrySettings {
  const [caCertsPath, certFile, keyFile] = (
    ['telemetry-prom-ca-certs-path', 'telemetry-prom-cert-file', 'telemetry-prom-key-file'] as const
  ).map(name => values.text(name)) as [string, string, string]
  const some = [caCertsPath, certFile, keyFile].filter(path => path !== '').length
  if (some !== 0 && some !== 3)
    throw new SettingsError('-telemetry-prom-ca-certs-path, -telemetry-prom-cert-file and -telemetry-prom-key-file go together')
  const retentionMs = values.number('telemetry-prom-retention-time')
  if (retentionMs <= 0) throw new SettingsError('-telemetry-prom-retention-time: must be more than zero')
  const scrapePath = values.text('telemetry-prom-scrape-path')
  if (scrapePath === '') throw new SettingsError('-telemetry-prom-scrape-path: must not be empty')
  return {
    useCentralConfig: values.isOn('telemetry-use-central-config'),
    retentionMs,
    tls: some === 0 ? null : { caCertsPath, certFile, keyFile },
    serviceMetricsUrl: values.text('telemetry-prom-service-metrics-url'),
    scrapePath: scrapePath.startsWith('/') ? scrapePath : `/${scrapePath}`,
    mergePort: port(values, 'telemetry-prom-merge-port', 1),
  }
}

function envoySettings(values: FlagValues, isSidecar: boolean): EnvoySettings {
  const readyHost = values.text('envoy-ready-bind-address')
  const readyPort = port(values, 'envoy-ready-bind-port', 0)
  const adminHost = values.text('envoy-admin-bind-address')
  if (isSidecar && isIP(adminHost) === 0) throw new SettingsError(`-envoy-admin-bind-address "${adminHost}": must be an IP address`)
  return {
    adminHost,
    adminPort: port(values, 'envoy-admin-bind-port', isSidecar ? 1 : 0),
    readyBind: readyHost === '' || readyPort === 0 ? '' : `${readyHost.includes(':') ? `[${readyHost}]` : readyHost}:${readyPort}`,
    concurrency: atLeast(values, 'envoy-concurrency', 0),
    drainTimeS: atLeast(values, 'envoy-drain-time-seconds', 0),
    drainStrategy: oneOf(values, 'envoy-drain-strategy', ['immediate', 'gradual']),
  }
}

function lifecycleSettings(values: FlagValues): LifecycleSettings {
  return {
    host: values.text('graceful-addr') || '127.0.0.1',
    port: port(values, 'graceful-port', 1),
    shutdownPath: values.text('graceful-shutdown-path'),
    startupPath: values.text('graceful-startup-path'),
    shutdownGraceMs: atLeast(values, 'shutdown-grace-period-seconds', 0) * 1000,
    startupGraceMs: atLeast(values, 'startup-grace-period-seconds', 0) * 1000,
    drainListeners: values.isOn('shutdown-drain-listeners'),
    dumpConfig: values.isOn('dump-envoy-config-on-exit'),
  }
}

function dnsSettings(values: FlagValues): DnsSettings | null {
  if (values.number('consul-dns-bind-port') === -1) return null
  const host = values.text('consul-dns-bind-addr')
  if (isIP(host) === 0) throw new SettingsError(`-consul-dns-bind-addr "${host}": must be an IP address`)
  return { host, port: port(values, 'consul-dns-bind-port', 0) }
}
