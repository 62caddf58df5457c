// The config entries of the gateways by which traffic comes in (api-gateway and its routes and certificates, ingress-gateway), in Consul's
// canonical JSON form, as those of `types.ts`, which takes them in.
import type {
  Duration,
  EntryCommon,
  HeaderModifiers,
  JwtRequirement,
  PassiveHealthCheck,
  TlsVersion,
  UpstreamLimits,
} from './common-types.js'

/** Names another entry, or one listener of a gateway. */
export interface ResourceReference {
  readonly Kind: string
  readonly Name: string
  readonly SectionName?: string
}

export interface ApiGatewayListenerTls {
  readonly Certificates?: readonly ResourceReference[]
  readonly MinVersion?: TlsVersion
  readonly MaxVersion?: TlsVersion
  readonly CipherSuites?: readonly string[]
}

export interface ApiGatewayListener {
  readonly Name: string
  /** `*`, a host name, or one whose first label is `*`; absent: every host. */
  readonly Hostname?: string
  readonly Port: number
  readonly Protocol: 'http' | 'tcp'
  readonly TLS?: ApiGatewayListenerTls
  /** Stands over what a route says. */
  readonly Override?: { readonly JWT?: JwtRequirement }
  /** Where a route says nothing. */
  readonly Default?: { readonly JWT?: JwtRequirement }
  readonly MaxRequestHeadersKB?: number
}

export interface ApiGateway extends EntryCommon {
  readonly Kind: 'api-gateway'
  readonly Listeners: readonly ApiGatewayListener[]
  readonly Defaults?: UpstreamLimits
}

export interface HttpRouteHeaderMatch {
  readonly Match: 'exact' | 'prefix' | 'suffix' | 'present' | 'regex'
  readonly Name: string
  readonly Value?: string
}

export interface HttpRoutePathMatch {
  readonly Match: 'exact' | 'prefix' | 'regex'
  readonly Value: string
}

export interface HttpRouteQueryMatch {
  readonly Match: 'exact' | 'present' | 'regex'
  readonly Name: string
  readonly Value?: string
}

export interface HttpRouteMatch {
  readonly Path: HttpRoutePathMatch
  readonly Method?: string
  readonly Headers?: readonly HttpRouteHeaderMatch[]
  readonly Query?: readonly HttpRouteQueryMatch[]
}

export interface HttpRouteFilters {
  readonly Headers?: readonly HeaderModifiers[]
  readonly URLRewrite?: { readonly Path?: string }
  readonly RetryFilter?: {
    readonly NumRetries?: number
    readonly RetryOn?: readonly string[]
    readonly RetryOnStatusCodes?: readonly number[]
    readonly RetryOnConnectFailure?: boolean
  }
  readonly TimeoutFilter?: { readonly RequestTimeout?: Duration; readonly IdleTimeout?: Duration }
  readonly JWT?: JwtRequirement
}

export interface HttpRouteService {
  readonly Name: string
  /** 1 when not given. */
  readonly Weight: number
  readonly Filters?: HttpRouteFilters
  readonly ResponseFilters?: { readonly Headers?: readonly HeaderModifiers[] }
}

export interface HttpRouteRule {
  readonly Filters?: HttpRouteFilters
  readonly ResponseFilters?: { readonly Headers?: readonly HeaderModifiers[] }
  /** At least one: a rule without matches takes every request. */
  readonly Matches: readonly HttpRouteMatch[]
  readonly Services: readonly HttpRouteService[]
}

export interface HttpRoute extends EntryCommon {
  readonly Kind: 'http-route'
  readonly Parents: readonly ResourceReference[]
  readonly Hostnames?: readonly string[]
  readonly Rules: readonly HttpRouteRule[]
}

export interface TcpRoute extends EntryCommon {
  readonly Kind: 'tcp-route'
  readonly Parents: readonly ResourceReference[]
  readonly Services: readonly { readonly Name: string }[]
}

export interface InlineCertificate extends EntryCommon {
  readonly Kind: 'inline-certificate'
  /** PEM, the leaf first. */
  readonly Certificate: string
  readonly PrivateKey: string
}

export interface FileSystemCertificate extends EntryCommon {
  readonly Kind: 'file-system-certificate'
  /** Paths on the gateway's machine. */
  readonly Certificate: string
  readonly PrivateKey: string
}

/** A certificate that Envoy fetches from a server of the operator's, by a cluster of the gateway's bootstrap. */
export interface SdsCertificate {
  readonly ClusterName?: string
  readonly CertResource?: string
}

export interface IngressTls {
  readonly Enabled?: boolean
  readonly SDS?: SdsCertificate
  readonly TLSMinVersion?: TlsVersion
  readonly TLSMaxVersion?: TlsVersion
  readonly CipherSuites?: readonly string[]
}

export interface IngressLimits {
  readonly MaxConnections?: number
  readonly MaxPendingRequests?: number
  readonly MaxConcurrentRequests?: number
  readonly PassiveHealthCheck?: PassiveHealthCheck
}

export interface IngressService extends IngressLimits {
  /** `*`: every service of the listener's protocol. */
  readonly Name: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Hosts?: readonly string[]
  readonly TLS?: { readonly SDS?: SdsCertificate }
  readonly RequestHeaders?: HeaderModifiers
  readonly ResponseHeaders?: HeaderModifiers
}

export interface IngressListener {
  readonly Port: number
  readonly Protocol: 'tcp' | 'http' | 'http2' | 'grpc'
  readonly TLS?: IngressTls
  readonly Services: readonly IngressService[]
}

export interface IngressGateway extends EntryCommon {
  readonly Kind: 'ingress-gateway'
  readonly TLS?: IngressTls
  readonly Defaults?: IngressLimits
  readonly Listeners: readonly IngressListener[]
}

export type EdgeEntry = IngressGateway | ApiGateway | HttpRoute | TcpRoute | InlineCertificate | FileSystemCertificate
