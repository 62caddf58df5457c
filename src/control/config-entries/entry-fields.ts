// What becomes of every field of every kind of config entry: read (`there`), kept and shown only (`kept`), or refused. One table: the rules
// refuse by it (`refusedFields`), docs/consul-compatibility.md shows it, and tests hold it against the schemas and the compiled resources.
// A path stands for all below it; `[]` is any item of a list, `{}` any value of a map.
import type { Report } from './rules-common.js'
import type { ConfigEntry, ConfigEntryKind, ConfigError } from './types.js'

export interface FieldFate {
  readonly state: 'there' | 'kept' | 'refused'
  readonly why: string
  /** A value that asks for nothing but what holds anyway. `own`: the datacenter here. */
  readonly harmless?: (value: unknown, own: string) => boolean
  /** Judged where the datacenter here is known. */
  readonly atWrite?: boolean
}

type FieldTable = Readonly<Record<string, FieldFate>>

const there = (...paths: readonly string[]): FieldTable => fates(paths, { state: 'there', why: '' })
const kept = (why: string, ...paths: readonly string[]): FieldTable => fates(paths, { state: 'kept', why })
const fates = (paths: readonly string[], fate: FieldFate): FieldTable => Object.fromEntries(paths.map(path => [path, fate]))
const below = (prefix: string, table: FieldTable): FieldTable =>
  Object.fromEntries(Object.entries(table).map(([path, fate]) => [`${prefix}.${path}`, fate]))

const is = (expected: string) => (value: unknown) => value === expected

const ENTERPRISE: FieldFate = { state: 'refused', why: 'is of Consul Enterprise' }
const ONLY_DEFAULT: FieldFate = { state: 'refused', why: 'is of Consul Enterprise; only "default" exists here', harmless: is('default') }
const ONE_DATACENTER: FieldFate = {
  state: 'refused',
  why: 'is another datacenter: only peering leads out of this one (Peer)',
  harmless: (value, own) => value === own,
  atWrite: true,
}
const TENANCY: FieldTable = { Namespace: ONLY_DEFAULT, Partition: ONLY_DEFAULT }
const SHOWN = 'shown with the entry'
const COMMON: FieldTable = { ...there('Name'), ...kept(SHOWN, 'Meta'), ...TENANCY }

const FAILOVER_POLICY: FieldTable = there('Mode', 'Regions')

const PROXYING: FieldTable = {
  ...there('Mode', 'TransparentProxy.OutboundListenerPort', 'TransparentProxy.DialedDirectly', 'MutualTLSMode', 'MeshGateway.Mode'),
}
const EXPOSE = there('Expose.Checks', ...under('Expose.Paths[]', 'Path', 'LocalPathPort', 'ListenerPort', 'Protocol'))
const EXTENSIONS = there(...under('EnvoyExtensions[]', 'Name', 'Required', 'Arguments', 'ConsulVersion', 'EnvoyVersion'))

const UPSTREAM: FieldTable = {
  ...there(
    'EnvoyListenerJSON',
    'EnvoyClusterJSON',
    'Protocol',
    'ConnectTimeoutMs',
    ...under('Limits', 'MaxConnections', 'MaxPendingRequests', 'MaxConcurrentRequests'),
    ...under('PassiveHealthCheck', 'Interval', 'MaxFailures', 'EnforcingConsecutive5xx', 'MaxEjectionPercent', 'BaseEjectionTime'),
    'BalanceOutboundConnections',
  ),
  ...there('MeshGateway.Mode'),
}
const EMPTY_IN_DEFAULTS: FieldFate = { state: 'refused', why: 'must be empty' }

const HEADERS = (field: string): string[] => [`${field}.Add`, `${field}.Set`, `${field}.Remove`]
const HEADER_MATCH = ['Name', 'Present', 'Exact', 'Prefix', 'Suffix', 'Contains', 'Regex', 'Invert', 'IgnoreCase']
const PATH_MATCH = ['PathExact', 'PathPrefix', 'PathRegex']

const routeFilters = (of: string): string[] => [
  ...HEADERS(`${of}.Filters.Headers[]`),
  `${of}.Filters.URLRewrite.Path`,
  ...HEADERS(`${of}.ResponseFilters.Headers[]`),
]
const PASSIVE = ['Interval', 'MaxFailures', 'EnforcingConsecutive5xx', 'MaxEjectionPercent', 'BaseEjectionTime']
const INGRESS_LIMITS = [
  'MaxConnections',
  'MaxPendingRequests',
  'MaxConcurrentRequests',
  ...PASSIVE.map(field => `PassiveHealthCheck.${field}`),
]
const INGRESS_TLS = (of: string): string[] =>
  ['Enabled', 'SDS.ClusterName', 'SDS.CertResource', 'TLSMinVersion', 'TLSMaxVersion', 'CipherSuites'].map(field => `${of}.${field}`)
const MESH_TLS = ['TLSMinVersion', 'TLSMaxVersion', 'CipherSuites', 'ECDHCurves']
const JWT_REQUIREMENT = ['Providers[].Name', 'Providers[].VerifyClaims[].Path', 'Providers[].VerifyClaims[].Value']

export const ENTRY_FIELDS: Readonly<Record<ConfigEntryKind, FieldTable>> = {
  'service-defaults': {
    ...COMMON,
    ...there('Meta', 'Protocol', 'MaxInboundConnections', 'LocalConnectTimeoutMs', 'LocalRequestTimeoutMs', 'BalanceInboundConnections'),
    ...there('ExternalSNI'),
    ...EXPOSE,
    ...EXTENSIONS,
    ...below('UpstreamConfig.Overrides[]', { ...there('Name', 'Peer'), ...TENANCY, ...UPSTREAM }),
    ...below('UpstreamConfig.Defaults', {
      ...UPSTREAM,
      ...fates(['Name', 'Namespace', 'Partition', 'Peer'], EMPTY_IN_DEFAULTS),
    }),
    ...PROXYING,
    ...there('Destination.Addresses', 'Destination.Port'),
    RateLimits: { ...ENTERPRISE, why: 'is of Consul Enterprise (the extension builtin/http/localratelimit limits requests)' },
  },
  'proxy-defaults': {
    ...COMMON,
    ...there('Config', ...under('AccessLogs', 'Enabled', 'DisableListenerLogs', 'Type', 'Path', 'JSONFormat', 'TextFormat')),
    ...EXPOSE,
    ...EXTENSIONS,
    ...PROXYING,
    ...below('FailoverPolicy', FAILOVER_POLICY),
    ...there('PrioritizeByLocality.Mode'),
  },
  'service-router': {
    ...COMMON,
    ...there(
      ...under('Routes[].Match.HTTP', ...PATH_MATCH, 'CaseInsensitive', 'Methods'),
      ...under('Routes[].Match.HTTP.Header[]', ...HEADER_MATCH),
      ...under('Routes[].Match.HTTP.QueryParam[]', 'Name', 'Present', 'Exact', 'Regex'),
      ...under('Routes[].Destination', 'Service', 'ServiceSubset', 'PrefixRewrite', 'RequestTimeout', 'IdleTimeout', 'NumRetries'),
      ...under('Routes[].Destination', 'RetryOnConnectFailure', 'RetryOn', 'RetryOnStatusCodes'),
      ...under('Routes[].Destination', ...HEADERS('RequestHeaders'), ...HEADERS('ResponseHeaders')),
    ),
    ...below('Routes[].Destination', TENANCY),
  },
  'service-splitter': {
    ...COMMON,
    ...there(...under('Splits[]', 'Weight', 'Service', 'ServiceSubset', ...HEADERS('RequestHeaders'), ...HEADERS('ResponseHeaders'))),
    ...below('Splits[]', TENANCY),
  },
  'service-resolver': {
    ...COMMON,
    ...there('DefaultSubset', 'Subsets{}.Filter', 'Subsets{}.OnlyPassing', 'ConnectTimeout', 'RequestTimeout'),
    ...below('Redirect', {
      ...there('Service', 'ServiceSubset', 'Peer'),
      ...TENANCY,
      Datacenter: ONE_DATACENTER,
      SamenessGroup: ENTERPRISE,
    }),
    ...below('Failover{}', {
      ...there('Service', 'ServiceSubset', 'Targets[].Service', 'Targets[].ServiceSubset', 'Targets[].Peer'),
      Namespace: ONLY_DEFAULT,
      SamenessGroup: ENTERPRISE,
      'Datacenters[]': ONE_DATACENTER,
      ...below('Targets[]', { ...TENANCY, Datacenter: ONE_DATACENTER }),
      ...below('Policy', FAILOVER_POLICY),
    }),
    ...there('PrioritizeByLocality.Mode'),
    ...there(
      ...under(
        'LoadBalancer',
        'Policy',
        'RingHashConfig.MinimumRingSize',
        'RingHashConfig.MaximumRingSize',
        'LeastRequestConfig.ChoiceCount',
      ),
      ...under('LoadBalancer.HashPolicies[]', 'Field', 'FieldValue', 'SourceIP', 'Terminal'),
      ...under('LoadBalancer.HashPolicies[].CookieConfig', 'Session', 'TTL', 'Path'),
    ),
  },
  'service-intentions': {
    ...COMMON,
    ...there(
      ...under('JWT', ...JWT_REQUIREMENT),
      'Sources[].Name',
      'Sources[].Peer',
      'Sources[].Action',
      'Sources[].Permissions[].Action',
      ...under('Sources[].Permissions[].HTTP', ...PATH_MATCH, 'Methods'),
      ...under('Sources[].Permissions[].HTTP.Header[]', ...HEADER_MATCH),
      ...under('Sources[].Permissions[].JWT', ...JWT_REQUIREMENT),
    ),
    ...kept('computed; what is given is replaced', 'Sources[].Precedence'),
    ...kept(SHOWN, 'Sources[].Description', 'Sources[].LegacyCreateTime', 'Sources[].LegacyUpdateTime'),
    ...kept('there is no other than "consul"', 'Sources[].Type'),
    ...below('Sources[]', { ...TENANCY, SamenessGroup: ENTERPRISE }),
  },
  mesh: {
    ...COMMON,
    ...there('ValidateClusters', ...under('TLS.Incoming', ...MESH_TLS), ...under('TLS.Outgoing', ...MESH_TLS)),
    ...there(
      'HTTP.SanitizeXForwardedClientCert',
      ...under(
        'HTTP.Incoming.RequestNormalization',
        'InsecureDisablePathNormalization',
        'MergeSlashes',
        'PathWithEscapedSlashesAction',
        'HeadersWithUnderscoresAction',
      ),
    ),
    ...kept('lets MutualTLSMode be written', 'AllowEnablingPermissiveMutualTLS'),
    ...there('TransparentProxy.MeshDestinationsOnly', 'Peering.PeerThroughMeshGateways'),
  },
  'exported-services': {
    ...COMMON,
    ...there('Services[].Name', 'Services[].Consumers[].Peer'),
    'Services[].Consumers[].Partition': ONLY_DEFAULT,
    'Services[].Consumers[].SamenessGroup': ENTERPRISE,
    'Services[].Namespace': { ...ONLY_DEFAULT, harmless: value => value === 'default' || value === '*' },
  },
  'terminating-gateway': {
    ...COMMON,
    ...there(...under('Services[]', 'Name', 'CAFile', 'CertFile', 'KeyFile', 'SNI', 'DisableAutoHostRewrite')),
    'Services[].Namespace': ONLY_DEFAULT,
  },
  'ingress-gateway': {
    ...COMMON,
    ...there(...INGRESS_TLS('TLS'), ...under('Defaults', ...INGRESS_LIMITS)),
    ...there(...under('Listeners[]', 'Port', 'Protocol'), ...INGRESS_TLS('Listeners[].TLS')),
    ...there(
      ...under('Listeners[].Services[]', 'Name', 'Hosts', 'TLS.SDS.ClusterName', 'TLS.SDS.CertResource', ...INGRESS_LIMITS),
      ...HEADERS('Listeners[].Services[].RequestHeaders'),
      ...HEADERS('Listeners[].Services[].ResponseHeaders'),
    ),
    ...below('Listeners[].Services[]', TENANCY),
  },
  'api-gateway': {
    ...COMMON,
    ...there(
      ...under('Listeners[]', 'Name', 'Hostname', 'Port', 'Protocol', 'MaxRequestHeadersKB'),
      ...under('Listeners[].TLS', 'Certificates[].Kind', 'Certificates[].Name', 'MinVersion', 'MaxVersion', 'CipherSuites'),
      ...under('Listeners[].Override.JWT', ...JWT_REQUIREMENT),
      ...under('Listeners[].Default.JWT', ...JWT_REQUIREMENT),
      ...under('Defaults', 'MaxConnections', 'MaxPendingRequests', 'MaxConcurrentRequests'),
    ),
    ...kept('listeners have no sections', 'Listeners[].TLS.Certificates[].SectionName'),
    ...below('Listeners[].TLS.Certificates[]', TENANCY),
    'TLS.Enabled': { state: 'refused', why: 'is of ingress gateways: certificates are named by Listeners[].TLS' },
    ...kept('computed; what is given is left out', 'Status'),
  },
  'http-route': {
    ...COMMON,
    ...there(
      ...under('Parents[]', 'Name', 'SectionName'),
      'Hostnames',
      ...routeFilters('Rules[]'),
      ...under('Rules[].Filters', 'RetryFilter.NumRetries', 'RetryFilter.RetryOn', 'RetryFilter.RetryOnStatusCodes'),
      ...under('Rules[].Filters', 'RetryFilter.RetryOnConnectFailure', 'TimeoutFilter.RequestTimeout', 'TimeoutFilter.IdleTimeout'),
      ...under('Rules[].Filters.JWT', ...JWT_REQUIREMENT),
      ...under('Rules[].Matches[]', 'Path.Match', 'Path.Value', 'Method'),
      ...under('Rules[].Matches[].Headers[]', 'Match', 'Name', 'Value'),
      ...under('Rules[].Matches[].Query[]', 'Match', 'Name', 'Value'),
      ...under('Rules[].Services[]', 'Name', 'Weight'),
      ...routeFilters('Rules[].Services[]'),
    ),
    ...kept('there is no other than "api-gateway"', 'Parents[].Kind'),
    ...below('Parents[]', TENANCY),
    ...below('Rules[].Services[]', TENANCY),
    ...fates(['Rules[].Services[].Filters.RetryFilter', 'Rules[].Services[].Filters.TimeoutFilter', 'Rules[].Services[].Filters.JWT'], {
      state: 'refused',
      why: 'is for a rule as a whole only',
    }),
    ...kept('computed; what is given is left out', 'Status'),
  },
  'tcp-route': {
    ...COMMON,
    ...there('Parents[].Name', 'Parents[].SectionName', 'Services[].Name'),
    ...kept('there is no other than "api-gateway"', 'Parents[].Kind'),
    ...below('Parents[]', TENANCY),
    ...below('Services[]', TENANCY),
    ...kept('computed; what is given is left out', 'Status'),
  },
  'inline-certificate': { ...COMMON, ...there('Certificate', 'PrivateKey') },
  'file-system-certificate': { ...COMMON, ...there('Certificate', 'PrivateKey') },
  'jwt-provider': {
    ...COMMON,
    ...there(
      'JSONWebKeySet.Local.JWKS',
      'JSONWebKeySet.Local.Filename',
      ...under('JSONWebKeySet.Remote', 'URI', 'RequestTimeoutMs', 'CacheDuration', 'FetchAsynchronously', 'RetryPolicy.NumRetries'),
      ...under('JSONWebKeySet.Remote.RetryPolicy.RetryPolicyBackOff', 'BaseInterval', 'MaxInterval'),
      ...under('JSONWebKeySet.Remote.JWKSCluster', 'DiscoveryType', 'ConnectTimeout'),
      ...under(
        'JSONWebKeySet.Remote.JWKSCluster.TLSCertificates',
        ...['Filename', 'EnvironmentVariable', 'InlineString', 'InlineBytes'].map(source => `TrustedCA.${source}`),
      ),
      'Issuer',
      'Audiences',
      ...under('Locations[].Header', 'Name', 'ValuePrefix', 'Forward'),
      'Locations[].QueryParam.Name',
      'Locations[].Cookie.Name',
      'Forwarding.HeaderName',
      'Forwarding.PadForwardPayloadHeader',
      'ClockSkewSeconds',
      'CacheConfig.Size',
    ),
    'JSONWebKeySet.Remote.JWKSCluster.TLSCertificates.CaCertificateProviderInstance': {
      state: 'refused',
      why: 'is not supported: sidecars have no certificate providers (TrustedCA names the authority)',
    },
  },
}

function under(prefix: string, ...names: readonly string[]): string[] {
  return names.map(name => `${prefix}.${name}`)
}

/** Reports each refused field that the entry has. */
export function refusedFields(entry: ConfigEntry, report: Report): void {
  for (const { path, reason } of found(entry, '', false)) report(path, reason)
}

/** Each field that leads to another datacenter. */
export function foreignFields(entry: ConfigEntry, datacenter: string): ConfigError[] {
  return found(entry, datacenter, true)
}

function found(entry: ConfigEntry, datacenter: string, atWrite: boolean): ConfigError[] {
  return Object.entries(ENTRY_FIELDS[entry.Kind]).flatMap(([path, fate]) =>
    fate.state !== 'refused' || (fate.atWrite === true) !== atWrite
      ? []
      : valuesAt(entry, path.split('.'), '')
          .filter(({ value }) => fate.harmless?.(value, datacenter) !== true)
          .map(({ path: at }) => ({ path: at, reason: fate.why })),
  )
}

/** Every value that a path of the table leads to, with its own path. */
function valuesAt(value: unknown, steps: readonly string[], path: string): { readonly path: string; readonly value: unknown }[] {
  if (value === undefined) return []
  const [step, ...rest] = steps
  if (step === undefined) return [{ path, value }]
  const name = step.replace(/\[\]|\{\}/, '')
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return []
  const member = (value as Record<string, unknown>)[name]
  const at = path === '' ? name : `${path}.${name}`
  if (step.endsWith('[]')) return (member as unknown[]).flatMap((item, i) => valuesAt(item, rest, `${at}[${i}]`))
  if (!step.endsWith('{}')) return valuesAt(member, rest, at)
  return Object.entries(member as object).flatMap(([key, item]) => valuesAt(item, rest, `${at}[${JSON.stringify(key)}]`))
}
