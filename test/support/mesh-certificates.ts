// A mesh's certificates for integration tests, of right and wrong shape, signed by a test CA with the code of src/mtls/ca, and the TLS
// contexts that put them into Envoy config the way Consul does (inline). Made at run time, never stored.
import type { ConnectionOptions } from 'node:tls'
import { AnyCa, type Leaf, type Shape, spiffe, trustDomain } from '../mtls/tls/tls-support.js'

export { AnyCa, type Leaf, type Shape, spiffe, trustDomain }

function common(leaf: Leaf, caPem: string, uri: string | null): object {
  return {
    tls_certificates: [{ certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } }],
    validation_context: {
      trusted_ca: { inline_string: caPem },
      ...(uri === null ? {} : { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: uri } }] }),
    },
  }
}

/** Consul's public listener: a client certificate is required; who may call is the RBAC filter's affair. */
export function downstreamTls(leaf: Leaf, caPem: string, more: object = {}): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: { ...common(leaf, caPem, null), ...more },
    },
  }
}

/** Consul's upstream cluster: the server must be `uri`. */
export function upstreamTls(leaf: Leaf, caPem: string, uri: string): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: 'api.default.dc1.internal',
      common_tls_context: common(leaf, caPem, uri),
    },
  }
}

/** Options for a test client that shows `leaf`. */
export function clientOptions(leaf: Leaf | null, caPem: string): ConnectionOptions {
  return { ca: caPem, ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }) }
}
