// The jwt_authn filter and JWKS clusters for the JWT providers that a service's intentions name (newest form):
// the filter only verifies and leaves the payload in metadata, so a missing or bad token passes it; the RBAC filter after it decides.
import type { Any } from '@bufbuild/protobuf/wkt'
import { Cluster_DiscoveryType, type ClusterSchema } from '../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import type { DataSourceSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import {
  JwtAuthenticationSchema,
  type JwtProviderSchema,
  type JwtRequirementSchema,
  PerRouteConfigSchema,
} from '../../xds/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import { RBACPerRouteSchema } from '../../xds/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { UpstreamTlsContextSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { durationMs } from '../config-entries/duration.js'
import type { JwksCluster, JwtProvider, JwtRequirement } from '../config-entries/types.js'
import { compileJwt } from '../intentions/compile.js'
import { toRbacProto } from '../intentions/rbac-proto.js'
import { duration, type Init, inlineString, pack, socketAddress } from './protobuf.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from './proxy-config.js'

type DataSourceInit = Init<typeof DataSourceSchema>

const DEFAULT_REQUEST_TIMEOUT_MS = 1_000

export function jwtAuthn(providers: readonly JwtProvider[]): Any {
  return pack(JwtAuthenticationSchema, {
    providers: Object.fromEntries(providers.map(provider => [provider.Name, jwtProvider(provider)])),
    rules: [
      {
        match: { pathSpecifier: { case: 'prefix', value: '/' } },
        requirementType: {
          case: 'requires',
          value: {
            requiresType: {
              case: 'requiresAny',
              value: {
                requirements: [
                  ...providers.map(provider => ({ requiresType: { case: 'providerName' as const, value: provider.Name } })),
                  { requiresType: { case: 'allowMissingOrFailed' as const, value: {} } },
                ],
              },
            },
          },
        },
      },
    ],
  })
}

/** What routes of a gateway ask of tokens. */
export interface EdgeTokens {
  readonly jwtProviders: readonly JwtProvider[]
  readonly requirements: readonly JwtRequirement[]
}

/** The filter of a gateway: a route names its requirement, and is refused with 401 without a token that is good. */
export function edgeJwtAuthn(providers: readonly JwtProvider[], requirements: readonly JwtRequirement[]): Any {
  return pack(JwtAuthenticationSchema, {
    providers: Object.fromEntries(providers.map(provider => [provider.Name, jwtProvider(provider)])),
    requirementMap: Object.fromEntries(
      requirements.map(requirement => [requirementName(requirement), anyOf(requirement.Providers.map(({ Name }) => Name))]),
    ),
  })
}

/** `typed_per_filter_config` of a route: a token of one of the providers, with the claims that are asked of that one (else 403). */
export function perRouteJwt(requirement: JwtRequirement, providers: readonly JwtProvider[]): Record<string, Any> {
  const issuers = new Map(providers.flatMap(({ Name, Issuer }) => (Issuer ? [[Name, Issuer] as const] : [])))
  return {
    'envoy.filters.http.jwt_authn': pack(PerRouteConfigSchema, {
      requirementSpecifier: { case: 'requirementName', value: requirementName(requirement) },
    }),
    'envoy.filters.http.rbac': pack(RBACPerRouteSchema, { rbac: { rules: toRbacProto(compileJwt(requirement, issuers)) } }),
  }
}

const requirementName = ({ Providers }: JwtRequirement): string => Providers.map(({ Name }) => Name).join(',')

function anyOf(names: readonly string[]): Init<typeof JwtRequirementSchema> {
  const [only] = names
  if (names.length === 1) return { requiresType: { case: 'providerName' as const, value: only! } }
  return {
    requiresType: {
      case: 'requiresAny',
      value: { requirements: names.map(name => ({ requiresType: { case: 'providerName' as const, value: name } })) },
    },
  }
}

function jwtProvider(provider: JwtProvider): Init<typeof JwtProviderSchema> {
  const locations = provider.Locations ?? []
  const cacheSize = provider.CacheConfig?.Size
  return {
    issuer: provider.Issuer ?? '',
    audiences: [...(provider.Audiences ?? [])],
    payloadInMetadata: `jwt_payload_${provider.Name}`,
    forward: locations.some(location => location.Header?.Forward === true),
    forwardPayloadHeader: provider.Forwarding?.HeaderName ?? '',
    padForwardPayloadHeader: provider.Forwarding?.PadForwardPayloadHeader === true,
    fromHeaders: locations.flatMap(({ Header }) =>
      Header === undefined ? [] : [{ name: Header.Name, valuePrefix: Header.ValuePrefix ?? '' }],
    ),
    fromParams: locations.flatMap(({ QueryParam }) => (QueryParam === undefined ? [] : [QueryParam.Name])),
    fromCookies: locations.flatMap(({ Cookie }) => (Cookie === undefined ? [] : [Cookie.Name])),
    jwksSourceSpecifier: jwksSource(provider),
    clockSkewSeconds: provider.ClockSkewSeconds,
    ...(cacheSize ? { jwtCacheConfig: { jwtCacheSize: cacheSize } } : {}),
  }
}

function jwksSource(provider: JwtProvider): NonNullable<Init<typeof JwtProviderSchema>['jwksSourceSpecifier']> {
  const { Local: local, Remote: remote } = provider.JSONWebKeySet
  if (remote === undefined) {
    if (local?.Filename) return { case: 'localJwks', value: { specifier: { case: 'filename', value: local.Filename } } }
    return { case: 'localJwks', value: inlineString(Buffer.from(local?.JWKS ?? '', 'base64').toString('utf8')) }
  }
  const backOff = remote.RetryPolicy?.RetryPolicyBackOff
  return {
    case: 'remoteJwks',
    value: {
      httpUri: {
        uri: remote.URI,
        httpUpstreamType: { case: 'cluster', value: jwksClusterName(provider) },
        timeout: duration(remote.RequestTimeoutMs || DEFAULT_REQUEST_TIMEOUT_MS),
      },
      ...(durationMs(remote.CacheDuration) > 0 ? { cacheDuration: duration(durationMs(remote.CacheDuration)) } : {}),
      asyncFetch: { fastListener: remote.FetchAsynchronously === true },
      ...(remote.RetryPolicy === undefined
        ? {}
        : {
            retryPolicy: {
              ...(remote.RetryPolicy.NumRetries ? { numRetries: remote.RetryPolicy.NumRetries } : {}),
              ...(backOff?.BaseInterval
                ? {
                    retryBackOff: {
                      baseInterval: duration(durationMs(backOff.BaseInterval)),
                      ...(backOff.MaxInterval ? { maxInterval: duration(durationMs(backOff.MaxInterval)) } : {}),
                    },
                  }
                : {}),
            },
          }),
    },
  }
}

function jwksClusterName(provider: JwtProvider): string {
  return `jwks_cluster_${provider.Name}`
}

const DISCOVERY_TYPES: Readonly<Record<NonNullable<JwksCluster['DiscoveryType']>, Cluster_DiscoveryType>> = {
  STRICT_DNS: Cluster_DiscoveryType.STRICT_DNS,
  STATIC: Cluster_DiscoveryType.STATIC,
  LOGICAL_DNS: Cluster_DiscoveryType.LOGICAL_DNS,
  EDS: Cluster_DiscoveryType.EDS,
  ORIGINAL_DST: Cluster_DiscoveryType.ORIGINAL_DST,
}

export function jwksClusters(providers: readonly JwtProvider[]): Init<typeof ClusterSchema>[] {
  return providers.flatMap(provider => {
    const remote = provider.JSONWebKeySet.Remote
    if (remote === undefined || !URL.canParse(remote.URI)) return []
    const url = new URL(remote.URI)
    const tls = url.protocol === 'https:'
    const name = jwksClusterName(provider)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const address = socketAddress(host, Number(url.port) || (tls ? 443 : 80))
    return [
      {
        name,
        clusterDiscoveryType: { case: 'type', value: DISCOVERY_TYPES[remote.JWKSCluster?.DiscoveryType ?? 'STRICT_DNS'] },
        connectTimeout: duration(durationMs(remote.JWKSCluster?.ConnectTimeout) || DEFAULT_CONNECT_TIMEOUT_MS),
        loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }] },
        ...(tls ? { transportSocket: jwksTls(host, remote.JWKSCluster) } : {}),
      },
    ]
  })
}

function jwksTls(host: string, cluster: JwksCluster | undefined): Init<typeof ClusterSchema>['transportSocket'] {
  const ca = cluster?.TLSCertificates?.TrustedCA
  const instance = cluster?.TLSCertificates?.CaCertificateProviderInstance
  const trustedCa: DataSourceInit | undefined = ca?.Filename
    ? { specifier: { case: 'filename', value: ca.Filename } }
    : ca?.EnvironmentVariable
      ? { specifier: { case: 'environmentVariable', value: ca.EnvironmentVariable } }
      : ca?.InlineString
        ? { specifier: { case: 'inlineString', value: ca.InlineString } }
        : ca?.InlineBytes
          ? { specifier: { case: 'inlineBytes', value: Buffer.from(ca.InlineBytes, 'base64') } }
          : undefined
  const context = {
    ...(trustedCa === undefined ? {} : { trustedCa }),
    ...(instance === undefined
      ? {}
      : { caCertificateProviderInstance: { instanceName: instance.InstanceName ?? '', certificateName: instance.CertificateName ?? '' } }),
  }
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        sni: host,
        ...(Object.keys(context).length > 0
          ? { commonTlsContext: { validationContextType: { case: 'validationContext' as const, value: context } } }
          : {}),
      }),
    },
  }
}
