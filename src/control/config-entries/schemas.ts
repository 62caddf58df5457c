// The shape of each kind of config entry as a zod schema: field names, types and enums, nothing else.
// Used by `parse-config-entry.ts`; what depends on more than one field is in `rules-*.ts`.
import { z } from 'zod'
import { apiGateway, fileSystemCertificate, httpRoute, ingressGateway, inlineCertificate, tcpRoute } from './edge-schemas.js'
import {
  choice,
  duration,
  explicitFlag,
  flag,
  integer,
  list,
  number,
  optional,
  optionalInteger,
  optionalText,
  record,
  text,
  texts,
  userMap,
} from './fields.js'
import { terminatingGateway } from './gateway-schemas.js'
import { headerModifiers, jwtRequirement, kind, passiveHealthCheck, tlsVersion, upstreamLimits } from './schema-parts.js'
import type { ConfigEntryKind } from './types.js'

export const PROTOCOLS = ['tcp', 'http', 'http2', 'grpc'] as const
const protocol = choice(PROTOCOLS, { lowerCase: true })

const meshGateway = record({ Mode: choice(['none', 'local', 'remote'], { also: ['default'] }) })
const transparentProxy = record({ OutboundListenerPort: optionalInteger(0, 65535), DialedDirectly: flag })
const proxyMode = choice(['direct', 'transparent'], { also: ['default'] })
const mutualTlsMode = choice(['strict', 'permissive'], { also: ['default'] })
const port = integer(1, 65535)

const expose = record({
  Checks: flag,
  Paths: optional(
    list(record({ Path: text, LocalPathPort: integer(0, 65535), ListenerPort: integer(0, 65535), Protocol: choice(['http', 'http2']) })),
  ),
})

const envoyExtensions = list(
  record({
    Name: text,
    Required: flag,
    Arguments: optional(userMap(z.unknown())),
    ConsulVersion: optionalText,
    EnvoyVersion: optionalText,
  }),
)

const upstreamConfig = record({
  Name: optionalText,
  Namespace: optionalText,
  Partition: optionalText,
  Peer: optionalText,
  EnvoyListenerJSON: optionalText,
  EnvoyClusterJSON: optionalText,
  Protocol: protocol,
  ConnectTimeoutMs: optionalInteger(0),
  Limits: optional(upstreamLimits),
  PassiveHealthCheck: optional(passiveHealthCheck),
  MeshGateway: optional(meshGateway),
  BalanceOutboundConnections: choice(['exact_balance']),
})

const rateLimitRoute = record({
  PathExact: optionalText,
  PathPrefix: optionalText,
  PathRegex: optionalText,
  RequestsPerSecond: optionalInteger(0),
  RequestsMaxBurst: optionalInteger(0),
})

const serviceDefaults = kind('service-defaults', {
  Protocol: protocol,
  Mode: proxyMode,
  TransparentProxy: optional(transparentProxy),
  MutualTLSMode: mutualTlsMode,
  MeshGateway: optional(meshGateway),
  Expose: optional(expose),
  ExternalSNI: optionalText,
  UpstreamConfig: optional(record({ Overrides: optional(list(upstreamConfig)), Defaults: optional(upstreamConfig) })),
  Destination: optional(record({ Addresses: texts, Port: port })),
  MaxInboundConnections: optionalInteger(0),
  LocalConnectTimeoutMs: optionalInteger(0),
  LocalRequestTimeoutMs: optionalInteger(0),
  BalanceInboundConnections: choice(['exact_balance']),
  RateLimits: optional(
    record({
      InstanceLevel: optional(
        record({ RequestsPerSecond: optionalInteger(0), RequestsMaxBurst: optionalInteger(0), Routes: optional(list(rateLimitRoute)) }),
      ),
    }),
  ),
  EnvoyExtensions: optional(envoyExtensions),
})

const failoverPolicy = record({
  Mode: choice(['sequential', 'order-by-locality'], { also: ['default'] }),
  Regions: optional(texts),
})
const prioritizeByLocality = record({ Mode: choice(['none', 'failover']) })

const proxyDefaults = kind('proxy-defaults', {
  Config: optional(userMap(z.unknown())),
  Mode: proxyMode,
  TransparentProxy: optional(transparentProxy),
  MutualTLSMode: mutualTlsMode,
  MeshGateway: optional(meshGateway),
  Expose: optional(expose),
  AccessLogs: optional(
    record({
      Enabled: flag,
      DisableListenerLogs: flag,
      Type: choice(['stdout', 'stderr', 'file'], { also: ['default'] }),
      Path: optionalText,
      JSONFormat: optionalText,
      TextFormat: optionalText,
    }),
  ),
  EnvoyExtensions: optional(envoyExtensions),
  FailoverPolicy: optional(failoverPolicy),
  PrioritizeByLocality: optional(prioritizeByLocality),
})

const headerMatch = record({
  Name: optionalText,
  Present: flag,
  Exact: optionalText,
  Prefix: optionalText,
  Suffix: optionalText,
  Contains: optionalText,
  Regex: optionalText,
  Invert: flag,
  IgnoreCase: flag,
})

const serviceRouter = kind('service-router', {
  Routes: optional(
    list(
      record({
        Match: optional(
          record({
            HTTP: optional(
              record({
                PathExact: optionalText,
                PathPrefix: optionalText,
                PathRegex: optionalText,
                CaseInsensitive: flag,
                Header: optional(list(headerMatch)),
                QueryParam: optional(list(record({ Name: optionalText, Present: flag, Exact: optionalText, Regex: optionalText }))),
                Methods: optional(texts),
              }),
            ),
          }),
        ),
        Destination: optional(
          record({
            Service: optionalText,
            ServiceSubset: optionalText,
            Namespace: optionalText,
            Partition: optionalText,
            PrefixRewrite: optionalText,
            RequestTimeout: duration,
            IdleTimeout: duration,
            NumRetries: optionalInteger(0),
            RetryOnConnectFailure: flag,
            RetryOn: optional(texts),
            RetryOnStatusCodes: optional(list(integer(100, 599))),
            RequestHeaders: optional(headerModifiers),
            ResponseHeaders: optional(headerModifiers),
          }),
        ),
      }),
    ),
  ),
})

const serviceSplitter = kind('service-splitter', {
  Splits: optional(
    list(
      record({
        Weight: number.optional(),
        Service: optionalText,
        ServiceSubset: optionalText,
        Namespace: optionalText,
        Partition: optionalText,
        RequestHeaders: optional(headerModifiers),
        ResponseHeaders: optional(headerModifiers),
      }),
    ),
  ),
})

const failoverTarget = record({
  Service: optionalText,
  ServiceSubset: optionalText,
  Namespace: optionalText,
  Partition: optionalText,
  Datacenter: optionalText,
  Peer: optionalText,
})

const serviceResolver = kind('service-resolver', {
  DefaultSubset: optionalText,
  Subsets: optional(userMap(record({ Filter: optionalText, OnlyPassing: flag }))),
  Redirect: optional(
    record({
      Service: optionalText,
      ServiceSubset: optionalText,
      Namespace: optionalText,
      Partition: optionalText,
      Datacenter: optionalText,
      Peer: optionalText,
      SamenessGroup: optionalText,
    }),
  ),
  Failover: optional(
    userMap(
      record({
        Service: optionalText,
        ServiceSubset: optionalText,
        Namespace: optionalText,
        SamenessGroup: optionalText,
        Datacenters: optional(texts),
        Targets: optional(list(failoverTarget)),
        Policy: optional(failoverPolicy),
      }),
    ),
  ),
  ConnectTimeout: duration,
  RequestTimeout: duration,
  PrioritizeByLocality: optional(prioritizeByLocality),
  LoadBalancer: optional(
    record({
      Policy: choice(['random', 'round_robin', 'least_request', 'ring_hash', 'maglev']),
      RingHashConfig: optional(record({ MinimumRingSize: optionalInteger(0), MaximumRingSize: optionalInteger(0) })),
      LeastRequestConfig: optional(record({ ChoiceCount: optionalInteger(0) })),
      HashPolicies: optional(
        list(
          record({
            Field: choice(['header', 'cookie', 'query_parameter']),
            FieldValue: optionalText,
            CookieConfig: optional(record({ Session: flag, TTL: duration, Path: optionalText })),
            SourceIP: flag,
            Terminal: flag,
          }),
        ),
      ),
    }),
  ),
})

const intentionAction = choice(['allow', 'deny'])

const serviceIntentions = kind('service-intentions', {
  Sources: optional(
    list(
      record({
        Name: optionalText,
        Namespace: optionalText,
        Partition: optionalText,
        Peer: optionalText,
        SamenessGroup: optionalText,
        Type: choice(['consul']),
        Action: intentionAction,
        Permissions: optional(
          list(
            record({
              Action: intentionAction,
              HTTP: optional(
                record({
                  PathExact: optionalText,
                  PathPrefix: optionalText,
                  PathRegex: optionalText,
                  Header: optional(list(headerMatch)),
                  Methods: optional(texts),
                }),
              ),
              JWT: optional(jwtRequirement),
            }),
          ),
        ),
        Precedence: z.unknown().optional(),
        Description: optionalText,
        LegacyCreateTime: optionalText,
        LegacyUpdateTime: optionalText,
      }),
    ),
  ),
  JWT: optional(jwtRequirement),
})

const meshTls = record({
  TLSMinVersion: tlsVersion,
  TLSMaxVersion: tlsVersion,
  CipherSuites: optional(texts),
  ECDHCurves: optional(texts),
})

const mesh = kind('mesh', {
  TransparentProxy: optional(record({ MeshDestinationsOnly: flag })),
  AllowEnablingPermissiveMutualTLS: flag,
  ValidateClusters: explicitFlag,
  TLS: optional(record({ Incoming: optional(meshTls), Outgoing: optional(meshTls) })),
  HTTP: optional(
    record({
      SanitizeXForwardedClientCert: flag,
      Incoming: optional(
        record({
          RequestNormalization: optional(
            record({
              InsecureDisablePathNormalization: flag,
              MergeSlashes: flag,
              PathWithEscapedSlashesAction: choice([
                'IMPLEMENTATION_SPECIFIC_DEFAULT',
                'KEEP_UNCHANGED',
                'REJECT_REQUEST',
                'UNESCAPE_AND_REDIRECT',
                'UNESCAPE_AND_FORWARD',
              ]),
              HeadersWithUnderscoresAction: choice(['ALLOW', 'REJECT_REQUEST', 'DROP_HEADER']),
            }),
          ),
        }),
      ),
    }),
  ),
  Peering: optional(record({ PeerThroughMeshGateways: flag })),
})

const exportedServices = kind('exported-services', {
  Services: optional(
    list(
      record({
        Name: optionalText,
        Namespace: optionalText,
        Consumers: optional(list(record({ Partition: optionalText, Peer: optionalText, SamenessGroup: optionalText }))),
      }),
    ),
  ),
})

const jwksCluster = record({
  DiscoveryType: choice(['STRICT_DNS', 'STATIC', 'LOGICAL_DNS', 'EDS', 'ORIGINAL_DST']),
  TLSCertificates: optional(
    record({
      CaCertificateProviderInstance: optional(record({ InstanceName: optionalText, CertificateName: optionalText })),
      TrustedCA: optional(
        record({ Filename: optionalText, EnvironmentVariable: optionalText, InlineString: optionalText, InlineBytes: optionalText }),
      ),
    }),
  ),
  ConnectTimeout: duration,
})

const jwtProvider = kind('jwt-provider', {
  JSONWebKeySet: optional(
    record({
      Local: optional(record({ JWKS: optionalText, Filename: optionalText })),
      Remote: optional(
        record({
          URI: optionalText,
          RequestTimeoutMs: optionalInteger(0),
          CacheDuration: duration,
          FetchAsynchronously: flag,
          RetryPolicy: optional(
            record({
              NumRetries: optionalInteger(0),
              RetryPolicyBackOff: optional(record({ BaseInterval: duration, MaxInterval: duration })),
            }),
          ),
          JWKSCluster: optional(jwksCluster),
        }),
      ),
    }),
  ),
  Issuer: optionalText,
  Audiences: optional(texts),
  Locations: optional(
    list(
      record({
        Header: optional(record({ Name: optionalText, ValuePrefix: optionalText, Forward: flag })),
        QueryParam: optional(record({ Name: optionalText })),
        Cookie: optional(record({ Name: optionalText })),
      }),
    ),
  ),
  Forwarding: optional(record({ HeaderName: optionalText, PadForwardPayloadHeader: flag })),
  ClockSkewSeconds: optionalInteger(0),
  CacheConfig: optional(record({ Size: optionalInteger(0) })),
})

export const SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map<ConfigEntryKind, z.ZodType>([
  ['service-defaults', serviceDefaults],
  ['proxy-defaults', proxyDefaults],
  ['service-router', serviceRouter],
  ['service-splitter', serviceSplitter],
  ['service-resolver', serviceResolver],
  ['service-intentions', serviceIntentions],
  ['mesh', mesh],
  ['exported-services', exportedServices],
  ['jwt-provider', jwtProvider],
  ['terminating-gateway', terminatingGateway],
  ['ingress-gateway', ingressGateway],
  ['api-gateway', apiGateway],
  ['http-route', httpRoute],
  ['tcp-route', tcpRoute],
  ['inline-certificate', inlineCertificate],
  ['file-system-certificate', fileSystemCertificate],
])

const ENTERPRISE = 'it is of Consul Enterprise'

/** Kinds that Consul has and this control plane refuses, with the reason. */
export const REFUSED_KINDS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'bound-api-gateway': 'it is made here, of gateways and their routes, and only read',
    'sameness-group': ENTERPRISE,
    'control-plane-request-limit': ENTERPRISE,
    'rate-limit-ip': ENTERPRISE,
  }).map(([kind, why]) => [kind, `kind ${kind} is not supported: ${why}`]),
)
