// Field support of transport sockets: TLS contexts, secrets, raw buffer.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const TRANSPORT_SOCKET_SUPPORT: SupportTable = {
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': { supported: '' },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext': {
    supported:
      'trusted_ca system_root_certs watched_directory verify_certificate_spki verify_certificate_hash match_typed_subject_alt_names match_subject_alt_names crl allow_expired_certificate trust_chain_verification custom_validator_config only_verify_leaf_cert_crl max_verify_depth',
    accepted: { suppress_client_ca_list: '' },
    refused: {
      ca_certificate_provider_instance: 'certificate providers are not supported',
      require_signed_certificate_timestamp: 'not implemented (nor in Envoy)',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.SystemRootCerts': { supported: '' },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext': {
    supported:
      'tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config combined_validation_context alpn_protocols',
    accepted: { key_log: '' },
    refused: {
      custom_tls_certificate_selector: 'certificate selectors are not supported',
      tls_certificate_provider_instance: 'certificate providers are not supported',
      tls_certificate_certificate_provider: 'certificate providers are not supported',
      tls_certificate_certificate_provider_instance: 'certificate providers are not supported',
      validation_context_certificate_provider: 'certificate providers are not supported',
      validation_context_certificate_provider_instance: 'certificate providers are not supported',
      custom_handshaker: 'custom handshakers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext': {
    supported: 'default_validation_context validation_context_sds_secret_config',
    refused: {
      validation_context_certificate_provider: 'certificate providers are not supported',
      validation_context_certificate_provider_instance: 'certificate providers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': {
    supported:
      'common_tls_context require_client_certificate require_sni session_ticket_keys session_ticket_keys_sds_secret_config ' +
      'disable_stateless_session_resumption session_timeout full_scan_certs_on_sni_mismatch ocsp_staple_policy',
    accepted: { disable_stateful_session_resumption: 'there is none', prefer_client_ciphers: '' },
  },
  'envoy.extensions.transport_sockets.tls.v3.GenericSecret': {
    supported: 'secret',
    accepted: { secrets: 'nothing here asks for more than one value' },
  },
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig': {
    supported: 'trust_domains',
    refused: { trust_bundles: 'SPIFFE bundle documents are not supported; give trust_domains' },
  },
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain': {
    supported: 'name trust_bundle',
    refused: { workload_trust_domain: 'a workload trust domain is not supported' },
  },
  'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig': { supported: 'name sds_config' },
  'envoy.extensions.transport_sockets.tls.v3.Secret': {
    supported: 'name tls_certificate session_ticket_keys validation_context generic_secret',
  },
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher': { supported: 'san_type matcher', accepted: { oid: '' } },
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate': {
    supported: 'certificate_chain private_key watched_directory password ocsp_staple',
    accepted: { signed_certificate_timestamp: '' },
    refused: {
      tls_params: 'TLS parameters of a single certificate are not supported',
      pkcs12: 'PKCS#12 is not supported; use certificate_chain and private_key',
      private_key_provider: 'private key providers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters': {
    supported: 'tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves signature_algorithms',
    refused: { compliance_policies: 'compliance policies are not supported; give versions, ciphers and curves' },
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys': { supported: 'keys' },
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': {
    supported: 'common_tls_context sni allow_renegotiation max_session_keys auto_host_sni auto_sni_san_validation',
    accepted: { enforce_rsa_key_usage: '' },
  },
}
