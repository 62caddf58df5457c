// TLS contexts of the mesh, with certificates inline as Consul sends them: the public listener's DownstreamTlsContext (client
// certificate required) and the clusters' UpstreamTlsContext (server's URI SAN matched).
import { serviceSpiffeId } from '../../mtls/spiffe.js'
import type { TransportSocketSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
  type TlsParametersSchema,
} from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import {
  type CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import type { MeshTls, TlsVersion } from '../config-entries/types.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import type { PeerBundle } from '../peering/peering-types.js'
import { fileSource, grpcConfigSource, type Init, inlineString, pack } from './protobuf.js'
import { isHttp2, type ProxyIdentity, type ProxyView, type TargetPeer } from './proxy-view.js'

type ValidationInit = Init<typeof CertificateValidationContextSchema>
export type TransportSocketInit = Init<typeof TransportSocketSchema>

/** A client that asks for it on a TCP service wants a tunnel. */
export const TUNNEL_ALPN: readonly string[] = ['h2']
const HTTP2_FIRST = ['h2', 'http/1.1']
const HTTP1_ONLY = ['http/1.1']

/**
 * What the public listener offers. For `http` Consul offers HTTP/1.1 only; here also h2, because HTTP/1 requests between two sidecars
 * then share connections, writes and TLS records (the fast path of our sidecar; Envoy understands it as well).
 */
export function publicAlpn(protocol: string, httpMeshProtocol: 'auto' | 'http1'): string[] {
  if (isHttp2(protocol)) return HTTP2_FIRST
  if (protocol === 'http') return httpMeshProtocol === 'auto' ? HTTP2_FIRST : HTTP1_ONLY
  return []
}

/** `alpn`: what is offered, by default what the service's protocol asks for. */
export function downstreamTls(
  view: Pick<ProxyView, 'identity' | 'mesh' | 'protocol' | 'config'>,
  alpn: readonly string[] = publicAlpn(view.protocol, view.config.httpMeshProtocol),
): TransportSocketInit {
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          ...commonTls(view.identity, view.mesh?.TLS?.Incoming, inboundValidation(view.identity)),
          alpnProtocols: [...alpn],
        },
        requireClientCertificate: true,
      }),
    },
  }
}

/** Shown to clients from outside; files are the gateway's own. */
export type ShownCertificate =
  | { readonly chainPem: string; readonly keyPem: string }
  | { readonly chainFile: string; readonly keyFile: string }
  | { readonly sdsCluster: string; readonly secret: string }

/** TLS of clients from outside, who show no certificate: which one they are shown, their server name decides. */
export function edgeTls(certificates: readonly ShownCertificate[], params: MeshTls, alpn: readonly string[]): TransportSocketInit {
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(DownstreamTlsContextSchema, {
        commonTlsContext: {
          tlsParams: tlsParameters(params),
          tlsCertificates: certificates.flatMap(shown =>
            'sdsCluster' in shown
              ? []
              : 'chainPem' in shown
                ? { certificateChain: inlineString(shown.chainPem), privateKey: inlineString(shown.keyPem) }
                : { certificateChain: fileSource(shown.chainFile), privateKey: fileSource(shown.keyFile) },
          ),
          tlsCertificateSdsSecretConfigs: certificates.flatMap(shown =>
            'sdsCluster' in shown ? { name: shown.secret, sdsConfig: grpcConfigSource(shown.sdsCluster) } : [],
          ),
          alpnProtocols: [...alpn],
        },
        requireClientCertificate: false,
      }),
    },
  }
}

/**
 * TLS towards `target`: its SNI, and exactly its identity expected; of a peer's target, whoever the peer has said, by the peer's own roots.
 * `alpn`: what to ask for; none, and the proxy's pools decide.
 */
export function upstreamTls(
  view: Pick<ProxyView, 'identity' | 'mesh'>,
  target: DiscoveryTarget,
  peer: TargetPeer | undefined,
  alpn: readonly string[] = [],
): TransportSocketInit {
  const own = {
    trustDomain: view.identity.trustDomain,
    namespace: target.Namespace,
    partition: target.Partition,
    datacenter: target.Datacenter,
    service: target.Service,
  }
  const expected = peer?.spiffeIds ?? [serviceSpiffeId(own)]
  const trustedCa = inlineString(peer?.rootsPem ?? view.identity.rootsPem)
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        commonTlsContext: {
          ...commonTls(view.identity, view.mesh?.TLS?.Outgoing, { trustedCa, matchTypedSubjectAltNames: uriMatchers(expected) }),
          alpnProtocols: [...alpn],
        },
        sni: target.SNI,
      }),
    },
  }
}

function commonTls(identity: ProxyIdentity, params: MeshTls | undefined, validation: ValidationInit): Init<typeof CommonTlsContextSchema> {
  return {
    tlsParams: tlsParameters(params),
    tlsCertificates: [{ certificateChain: inlineString(identity.certificateChainPem), privateKey: inlineString(identity.privateKeyPem) }],
    validationContextType: { case: 'validationContext', value: validation },
  }
}

const uriMatchers = (uris: readonly string[]): NonNullable<ValidationInit['matchTypedSubjectAltNames']> =>
  uris.map(uri => ({ sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern: { case: 'exact', value: uri } } }))

/** Callers of our own mesh, and of the peers that may call: each by the roots of its own trust domain. */
function inboundValidation({ trustDomain, rootsPem, peerBundles }: ProxyIdentity): ValidationInit {
  if (peerBundles.length === 0) return { trustedCa: inlineString(rootsPem) }
  const bundles: PeerBundle[] = [{ trustDomain, rootPems: [rootsPem] }, ...peerBundles]
  const sorted = bundles.sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
  return {
    customValidatorConfig: {
      name: 'envoy.tls.cert_validator.spiffe',
      typedConfig: pack(SPIFFECertValidatorConfigSchema, {
        trustDomains: sorted.map(bundle => ({ name: bundle.trustDomain, trustBundle: inlineString(bundle.rootPems.join('\n')) })),
      }),
    },
  }
}

const TLS_VERSIONS: Readonly<Record<TlsVersion, TlsParameters_TlsProtocol>> = {
  TLS_AUTO: TlsParameters_TlsProtocol.TLS_AUTO,
  TLSv1_0: TlsParameters_TlsProtocol.TLSv1_0,
  TLSv1_1: TlsParameters_TlsProtocol.TLSv1_1,
  TLSv1_2: TlsParameters_TlsProtocol.TLSv1_2,
  TLSv1_3: TlsParameters_TlsProtocol.TLSv1_3,
}

export function tlsParameters(params: MeshTls | undefined): Init<typeof TlsParametersSchema> {
  return {
    tlsMinimumProtocolVersion: TLS_VERSIONS[params?.TLSMinVersion ?? 'TLS_AUTO'],
    tlsMaximumProtocolVersion: TLS_VERSIONS[params?.TLSMaxVersion ?? 'TLS_AUTO'],
    cipherSuites: [...(params?.CipherSuites ?? [])],
    ecdhCurves: [...(params?.ECDHCurves ?? [])],
  }
}
