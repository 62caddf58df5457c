// An example of every field that has an effect, for entry-fields.test.ts: entries as they stand beside what they need. `api` (two
// instances behind sidecars) is called by `web`, which calls `db` too.
import { AnyCa } from '../../support/mesh-certificates.js'
import { CLUSTER, LISTENER } from './proxy-config-examples.js'

export interface Example {
  readonly entry: Readonly<Record<string, unknown>>
  /** What the entry needs, or is needed to see its effect. */
  readonly besides: readonly object[]
}

const http = (Name: string): object => ({ Kind: 'service-defaults', Name, Protocol: 'http' })
/** To two services, each in a region of its own. */
const ELSEWHERE = { '*': { Targets: [{ Service: 'east' }, { Service: 'west' }] } }
const EXPOSE = { Checks: true, Paths: [{ Path: '/health', LocalPathPort: 9100, ListenerPort: 9101, Protocol: 'http2' }] }
const EXTENSIONS = [
  {
    Name: 'builtin/ext-authz',
    Required: true,
    Arguments: { Config: { GrpcService: { Target: { URI: '127.0.0.1:9191' } } } },
    ConsulVersion: '>= 1.16',
    EnvoyVersion: '>= 1.30',
  },
]
const PASSIVE = { Interval: '5s', MaxFailures: 3, EnforcingConsecutive5xx: 40, MaxEjectionPercent: 50, BaseEjectionTime: '20s' }
const LIMITS = { MaxConnections: 1, MaxPendingRequests: 2, MaxConcurrentRequests: 3 }
const UPSTREAM = {
  Protocol: 'http2',
  ConnectTimeoutMs: 1_234,
  Limits: LIMITS,
  PassiveHealthCheck: PASSIVE,
  BalanceOutboundConnections: 'exact_balance',
}
const HEADERS = (name: string): object => ({
  Add: { [`x-add-${name}`]: '1' },
  Set: { [`x-set-${name}`]: '2' },
  Remove: [`x-remove-${name}`],
})

const HEADER_MATCHES = [
  { Name: 'x-present', Present: true, Invert: true },
  { Name: 'x-exact', Exact: 'v', IgnoreCase: true },
  { Name: 'x-prefix', Prefix: 'v' },
  { Name: 'x-suffix', Suffix: 'v' },
  { Name: 'x-contains', Contains: 'v' },
  { Name: 'x-regex', Regex: 'v.*' },
]
const SUBSETS = { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2', OnlyPassing: true } }
const JWKS = Buffer.from(JSON.stringify({ keys: [{ kty: 'oct', kid: 'a', k: 'AAAA' }] })).toString('base64')
const JWT = { Providers: [{ Name: 'okta', VerifyClaims: [{ Path: ['role'], Value: 'admin' }] }] }
const PROVIDER = { Kind: 'jwt-provider', Name: 'okta', JSONWebKeySet: { Local: { JWKS } }, Issuer: 'me' }
/** Refers to the provider, so that it is made part of the sidecar. */
const NEEDS_PROVIDER = {
  Kind: 'service-intentions',
  Name: 'api',
  Sources: [{ Name: 'web', Action: 'allow' }],
  JWT: { Providers: [{ Name: 'okta' }] },
}
const withProvider = (entry: object): Example => ({
  besides: [http('api'), NEEDS_PROVIDER],
  entry: { Kind: 'jwt-provider', Name: 'okta', ...entry },
})

const ca = new AnyCa()
const leaf = ca.leaf({ dns: ['example.com'] })
const CERTIFICATE = { Kind: 'inline-certificate', Name: 'c', Certificate: leaf.cert, PrivateKey: leaf.key }
const TLS_12 = { MinVersion: 'TLSv1_2', MaxVersion: 'TLSv1_2', CipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'] }
const INGRESS_TLS = {
  TLSMinVersion: 'TLSv1_2',
  TLSMaxVersion: 'TLSv1_2',
  CipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
}
const SDS = { ClusterName: 'secrets', CertResource: 'cert' }
const INGRESS_LIMITS = { MaxConnections: 4, MaxPendingRequests: 5, MaxConcurrentRequests: 6, PassiveHealthCheck: PASSIVE }
const EDGE = {
  Kind: 'api-gateway',
  Name: 'edge',
  Listeners: [
    { Name: 'l', Port: 8080 },
    { Name: 't', Port: 8081, Protocol: 'tcp' },
    { Name: 's', Port: 8443, TLS: { Certificates: [{ Name: 'c' }] } },
  ],
}
const ROUTE = { Kind: 'http-route', Name: 'r', Parents: [{ Name: 'edge' }], Rules: [{ Services: [{ Name: 'api' }] }] }
const SHOWN = (Kind: string): object => ({ ...EDGE, Listeners: [{ Name: 's', Port: 8443, TLS: { Certificates: [{ Kind, Name: 'c' }] } }] })

const PERMITTING = { Kind: 'mesh', Name: 'mesh', AllowEnablingPermissiveMutualTLS: true }
const CALLED = { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] }

export const EXAMPLES: readonly Example[] = [
  // Peers: `p` exports `db`.
  {
    besides: [],
    entry: {
      Kind: 'service-defaults',
      Name: 'web',
      MeshGateway: { Mode: 'local' },
      UpstreamConfig: { Overrides: [{ Name: 'db', Peer: 'p', ConnectTimeoutMs: 77 }] },
    },
  },
  {
    besides: [],
    entry: {
      Kind: 'service-defaults',
      Name: 'web',
      UpstreamConfig: { Overrides: [{ Name: 'db', Peer: 'p', MeshGateway: { Mode: 'local' } }] },
    },
  },
  { besides: [], entry: { Kind: 'service-defaults', Name: 'web', UpstreamConfig: { Defaults: { MeshGateway: { Mode: 'local' } } } } },
  { besides: [], entry: { Kind: 'proxy-defaults', Name: 'global', MeshGateway: { Mode: 'local' } } },
  { besides: [], entry: { Kind: 'service-resolver', Name: 'api', Redirect: { Service: 'db', Peer: 'p' } } },
  { besides: [], entry: { Kind: 'proxy-defaults', Name: 'global', PrioritizeByLocality: { Mode: 'failover' } } },
  {
    besides: [{ Kind: 'service-resolver', Name: 'api', Failover: ELSEWHERE }],
    entry: { Kind: 'proxy-defaults', Name: 'global', FailoverPolicy: { Mode: 'order-by-locality', Regions: ['west'] } },
  },
  {
    besides: [],
    entry: {
      ...{ Kind: 'service-resolver', Name: 'api' },
      Failover: { '*': { ...ELSEWHERE['*'], Policy: { Mode: 'order-by-locality', Regions: ['west'] } } },
    },
  },
  { besides: [], entry: { Kind: 'service-resolver', Name: 'api', PrioritizeByLocality: { Mode: 'failover' } } },
  { besides: [], entry: { Kind: 'service-resolver', Name: 'api', Failover: { '*': { Targets: [{ Service: 'db', Peer: 'p' }] } } } },
  { besides: [], entry: { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Peer: 'p', Action: 'allow' }] } },
  { besides: [], entry: { Kind: 'mesh', Name: 'mesh', Peering: { PeerThroughMeshGateways: true } } },
  { besides: [], entry: { Kind: 'exported-services', Name: 'default', Services: [{ Name: 'api', Consumers: [{ Peer: 'p' }] }] } },
  {
    besides: [PERMITTING],
    entry: {
      Kind: 'service-defaults',
      Name: 'web',
      Mode: 'transparent',
      TransparentProxy: { OutboundListenerPort: 15_009 },
      MutualTLSMode: 'permissive',
    },
  },
  {
    besides: [{ Kind: 'proxy-defaults', Name: 'global', Mode: 'transparent' }, CALLED],
    entry: { Kind: 'service-defaults', Name: 'api', TransparentProxy: { DialedDirectly: true } },
  },
  {
    besides: [PERMITTING, CALLED],
    entry: {
      Kind: 'proxy-defaults',
      Name: 'global',
      Mode: 'transparent',
      TransparentProxy: { OutboundListenerPort: 15_009, DialedDirectly: true },
      MutualTLSMode: 'permissive',
    },
  },
  {
    besides: [{ Kind: 'proxy-defaults', Name: 'global', Mode: 'transparent' }],
    entry: { Kind: 'mesh', Name: 'mesh', TransparentProxy: { MeshDestinationsOnly: true } },
  },
  {
    besides: [http('api'), PROVIDER, CERTIFICATE, ROUTE],
    entry: {
      Kind: 'api-gateway',
      Name: 'edge',
      Listeners: [
        {
          Name: 'l',
          Hostname: 'example.com',
          Port: 8080,
          Protocol: 'http',
          MaxRequestHeadersKB: 9,
          TLS: { Certificates: [{ Kind: 'inline-certificate', Name: 'c' }], ...TLS_12 },
          Override: { JWT },
        },
        { Name: 'm', Port: 8082, Default: { JWT } },
      ],
      Defaults: LIMITS,
    },
  },
  {
    besides: [http('api'), http('db'), PROVIDER, CERTIFICATE, EDGE],
    entry: {
      Kind: 'http-route',
      Name: 'r',
      Parents: [{ Name: 'edge', SectionName: 'l' }],
      Hostnames: ['example.com'],
      Rules: [
        {
          Matches: [
            {
              Path: { Match: 'exact', Value: '/exact' },
              Method: 'GET',
              Headers: [{ Match: 'prefix', Name: 'x-prefix', Value: 'v' }],
              Query: [{ Match: 'regex', Name: 'q', Value: 'v.*' }],
            },
          ],
          Filters: {
            Headers: [HEADERS('request')],
            URLRewrite: { Path: '/other' },
            RetryFilter: { NumRetries: 2, RetryOn: ['reset'], RetryOnStatusCodes: [503], RetryOnConnectFailure: true },
            TimeoutFilter: { RequestTimeout: '3s', IdleTimeout: '4s' },
            JWT,
          },
          ResponseFilters: { Headers: [HEADERS('response')] },
          Services: [
            { Name: 'api', Weight: 3, Filters: { Headers: [HEADERS('one')] }, ResponseFilters: { Headers: [HEADERS('one')] } },
            { Name: 'db', Weight: 1 },
          ],
        },
        { Services: [{ Name: 'api', Filters: { URLRewrite: { Path: '/only' } } }] },
      ],
    },
  },
  {
    besides: [EDGE],
    entry: { Kind: 'tcp-route', Name: 't', Parents: [{ Name: 'edge', SectionName: 't' }], Services: [{ Name: 'db' }] },
  },
  { besides: [http('api'), ROUTE, SHOWN('inline-certificate')], entry: CERTIFICATE },
  {
    besides: [http('api'), ROUTE, SHOWN('file-system-certificate')],
    entry: { Kind: 'file-system-certificate', Name: 'c', Certificate: '/cert.pem', PrivateKey: '/key.pem' },
  },
  {
    besides: [http('api'), http('web')],
    entry: {
      Kind: 'ingress-gateway',
      Name: 'door',
      TLS: { SDS, ...INGRESS_TLS },
      Defaults: INGRESS_LIMITS,
      Listeners: [
        {
          Port: 8085,
          Protocol: 'http',
          Services: [{ Name: 'api', Hosts: ['api.example.com'], RequestHeaders: HEADERS('request'), ResponseHeaders: HEADERS('response') }],
        },
      ],
    },
  },
  {
    besides: [http('api'), http('web')],
    entry: {
      Kind: 'ingress-gateway',
      Name: 'door',
      TLS: { Enabled: true },
      Listeners: [
        { Port: 8085, Protocol: 'http', TLS: { SDS, ...INGRESS_TLS }, Services: [{ Name: 'api', ...INGRESS_LIMITS }] },
        {
          Port: 8086,
          Protocol: 'http',
          TLS: { Enabled: true },
          Services: [{ Name: 'web', Hosts: ['web.example.com'], TLS: { SDS } }, { Name: 'api' }],
        },
      ],
    },
  },
  {
    besides: [http('api')],
    entry: {
      Kind: 'ingress-gateway',
      Name: 'door',
      TLS: { Enabled: true },
      Listeners: [{ Port: 8085, Protocol: 'http', Services: [{ Name: 'api' }] }],
    },
  },
  {
    besides: [http('api')],
    entry: {
      Kind: 'ingress-gateway',
      Name: 'door',
      Listeners: [{ Port: 8085, Protocol: 'http', TLS: { Enabled: true }, Services: [{ Name: 'api' }] }],
    },
  },
  {
    besides: [],
    entry: {
      Kind: 'service-defaults',
      Name: 'api',
      Protocol: 'http',
      Meta: { outrigger_http1_only: 'true' },
      MaxInboundConnections: 7,
      LocalConnectTimeoutMs: 700,
      LocalRequestTimeoutMs: 800,
      BalanceInboundConnections: 'exact_balance',
      ExternalSNI: 'api.example.com',
      Expose: EXPOSE,
      EnvoyExtensions: EXTENSIONS,
    },
  },
  {
    besides: [http('api')],
    entry: {
      Kind: 'service-defaults',
      Name: 'web',
      UpstreamConfig: { Overrides: [{ ...UPSTREAM, Name: 'api', ConnectTimeoutMs: 4_321 }], Defaults: UPSTREAM },
    },
  },
  {
    besides: [],
    entry: {
      Kind: 'service-defaults',
      Name: 'web',
      UpstreamConfig: {
        Overrides: [{ Name: 'api', EnvoyListenerJSON: LISTENER.replace('9999', '9998'), EnvoyClusterJSON: CLUSTER.replace('7s', '8s') }],
        Defaults: { EnvoyListenerJSON: LISTENER, EnvoyClusterJSON: CLUSTER },
      },
    },
  },
  {
    besides: [],
    entry: {
      Kind: 'proxy-defaults',
      Name: 'global',
      Config: { protocol: 'http' },
      AccessLogs: { Enabled: true, DisableListenerLogs: true, Type: 'file', Path: '/tmp/access.log', JSONFormat: '{"a":"b"}' },
      Expose: EXPOSE,
      EnvoyExtensions: EXTENSIONS,
    },
  },
  { besides: [], entry: { Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Enabled: true, TextFormat: 'hello' } } },
  {
    besides: [http('api'), http('db'), { Kind: 'service-resolver', Name: 'api', Subsets: SUBSETS }],
    entry: {
      Kind: 'service-router',
      Name: 'api',
      Routes: [
        {
          Match: { HTTP: { PathPrefix: '/prefix', CaseInsensitive: true, Methods: ['GET'], Header: HEADER_MATCHES } },
          Destination: {
            ServiceSubset: 'v1',
            PrefixRewrite: '/rewritten',
            RequestTimeout: '3s',
            IdleTimeout: '4s',
            NumRetries: 5,
            RetryOnConnectFailure: true,
            RetryOn: ['reset'],
            RetryOnStatusCodes: [502],
            RequestHeaders: HEADERS('request'),
            ResponseHeaders: HEADERS('response'),
          },
        },
        {
          Match: {
            HTTP: {
              PathExact: '/exact',
              QueryParam: [
                { Name: 'p', Present: true },
                { Name: 'e', Exact: 'v' },
                { Name: 'r', Regex: 'v.*' },
              ],
            },
          },
          Destination: { Service: 'db' },
        },
        { Match: { HTTP: { PathRegex: '/regex.*' } } },
      ],
    },
  },
  {
    besides: [http('api'), http('db'), { Kind: 'service-resolver', Name: 'api', Subsets: SUBSETS }],
    entry: {
      Kind: 'service-splitter',
      Name: 'api',
      Splits: [
        { Weight: 60, ServiceSubset: 'v1', RequestHeaders: HEADERS('request'), ResponseHeaders: HEADERS('response') },
        { Weight: 40, Service: 'db' },
      ],
    },
  },
  {
    besides: [http('api')],
    entry: {
      Kind: 'service-resolver',
      Name: 'api',
      DefaultSubset: 'v2',
      Subsets: SUBSETS,
      ConnectTimeout: '3s',
      RequestTimeout: '4s',
      LoadBalancer: {
        Policy: 'ring_hash',
        RingHashConfig: { MinimumRingSize: 10, MaximumRingSize: 20 },
        HashPolicies: [
          { Field: 'header', FieldValue: 'x-user', Terminal: true },
          { Field: 'cookie', FieldValue: 'a', CookieConfig: { TTL: '5s', Path: '/' } },
          { Field: 'cookie', FieldValue: 'b', CookieConfig: { Session: true } },
          { SourceIP: true },
        ],
      },
    },
  },
  {
    besides: [],
    entry: { Kind: 'service-resolver', Name: 'api', LoadBalancer: { Policy: 'least_request', LeastRequestConfig: { ChoiceCount: 4 } } },
  },
  {
    besides: [{ Kind: 'service-resolver', Name: 'db', Subsets: SUBSETS }],
    entry: { Kind: 'service-resolver', Name: 'api', Redirect: { Service: 'db', ServiceSubset: 'v1' } },
  },
  {
    besides: [{ Kind: 'service-resolver', Name: 'db', Subsets: SUBSETS }],
    entry: {
      Kind: 'service-resolver',
      Name: 'api',
      Subsets: SUBSETS,
      Failover: {
        v1: { Service: 'db', ServiceSubset: 'v2' },
        '*': { Targets: [{ Service: 'db', ServiceSubset: 'v1' }, { Service: 'web' }] },
      },
      DefaultSubset: 'v1',
    },
  },
  {
    besides: [{ Kind: 'service-resolver', Name: 'db', Subsets: SUBSETS }],
    entry: { Kind: 'service-resolver', Name: 'api', Failover: { '*': { Targets: [{ Service: 'db', ServiceSubset: 'v1' }] } } },
  },
  {
    besides: [http('api'), PROVIDER],
    entry: {
      Kind: 'service-intentions',
      Name: 'api',
      Sources: [
        {
          Name: 'web',
          Permissions: [
            { Action: 'allow', HTTP: { PathExact: '/exact', Methods: ['GET'], Header: HEADER_MATCHES }, JWT },
            { Action: 'allow', HTTP: { PathPrefix: '/prefix' } },
            { Action: 'allow', HTTP: { PathRegex: '/regex.*' } },
            { Action: 'deny', HTTP: { PathPrefix: '/' } },
          ],
        },
        { Name: 'db', Action: 'allow' },
      ],
      JWT,
    },
  },
  {
    besides: [http('api')],
    entry: {
      Kind: 'mesh',
      Name: 'mesh',
      TLS: {
        Incoming: {
          TLSMinVersion: 'TLSv1_2',
          TLSMaxVersion: 'TLSv1_3',
          CipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
          ECDHCurves: ['P-256'],
        },
        Outgoing: {
          TLSMinVersion: 'TLSv1_2',
          TLSMaxVersion: 'TLSv1_3',
          CipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
          ECDHCurves: ['P-256'],
        },
      },
      HTTP: {
        SanitizeXForwardedClientCert: true,
        Incoming: {
          RequestNormalization: {
            InsecureDisablePathNormalization: true,
            MergeSlashes: true,
            PathWithEscapedSlashesAction: 'REJECT_REQUEST',
            HeadersWithUnderscoresAction: 'DROP_HEADER',
          },
        },
      },
    },
  },
  {
    besides: [http('api'), { Kind: 'service-resolver', Name: 'api', ConnectTimeout: '3s' }],
    entry: { Kind: 'mesh', Name: 'mesh', ValidateClusters: true },
  },
  withProvider({
    JSONWebKeySet: { Local: { JWKS } },
    Issuer: 'me',
    Audiences: ['all'],
    Locations: [
      { Header: { Name: 'x-token', ValuePrefix: 'Bearer ', Forward: true } },
      { QueryParam: { Name: 'token' } },
      { Cookie: { Name: 'token' } },
    ],
    Forwarding: { HeaderName: 'x-payload', PadForwardPayloadHeader: true },
    ClockSkewSeconds: 7,
    CacheConfig: { Size: 9 },
  }),
  withProvider({ JSONWebKeySet: { Local: { Filename: 'package.json' } } }),
  withProvider({
    JSONWebKeySet: {
      Remote: {
        URI: 'https://keys.example.com/jwks',
        RequestTimeoutMs: 700,
        CacheDuration: '5m',
        FetchAsynchronously: true,
        RetryPolicy: { NumRetries: 3, RetryPolicyBackOff: { BaseInterval: '1s', MaxInterval: '9s' } },
        JWKSCluster: { DiscoveryType: 'LOGICAL_DNS', ConnectTimeout: '4s', TLSCertificates: { TrustedCA: { Filename: '/etc/ca.pem' } } },
      },
    },
  }),
  ...[{ EnvironmentVariable: 'PATH' }, { InlineString: 'PEM' }, { InlineBytes: 'UEVN' }].map(TrustedCA =>
    withProvider({ JSONWebKeySet: { Remote: { URI: 'https://keys.example.com/jwks', JWKSCluster: { TLSCertificates: { TrustedCA } } } } }),
  ),
  {
    besides: [http('outside')],
    entry: {
      Kind: 'terminating-gateway',
      Name: 'exit',
      Services: [
        { Name: 'outside', CAFile: '/ca.pem', CertFile: '/cert.pem', KeyFile: '/key.pem', SNI: 'outside.example.com' },
        { Name: '*', DisableAutoHostRewrite: true },
      ],
    },
  },
  {
    besides: [http('outside')],
    entry: { Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'outside', DisableAutoHostRewrite: true }] },
  },
  {
    besides: [{ Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'partner' }] }],
    entry: { Kind: 'service-defaults', Name: 'partner', Destination: { Addresses: ['partner.example.com'], Port: 443 } },
  },
]
