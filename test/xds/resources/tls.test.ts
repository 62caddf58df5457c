import { describe, expect, it } from 'vitest'
import {
  clusterJson,
  decodeClusterJson,
  decoded,
  decodeListenerJson,
  decodeSecretJson,
  errorsOf,
  hcm,
  type Json,
  listenerJson,
  TYPE,
  tls,
} from './messages.js'

const upstream = (config: Json) => decodeClusterJson(clusterJson({ transport_socket: tls('Upstream', config) }))
const validation = (context: Json) =>
  upstream({ common_tls_context: { validation_context: { trusted_ca: { inline_string: 'CA' }, ...context } } })
const downstream = (config: Json) => decodeListenerJson(listenerJson({ filters: [hcm()], transport_socket: tls('Downstream', config) }))
const CERTIFICATE = { certificate_chain: { inline_string: 'CERT' }, private_key: { inline_string: 'KEY' } }
const AT = 'transport_socket.typed_config.common_tls_context'

describe('TLS contexts', () => {
  it('have Envoy’s floor of TLS 1.2, and 1.3 above it', () => {
    expect(decoded(upstream({})).tls!.common).toMatchObject({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      cipherSuites: [],
      validation: null,
    })
    const params = {
      tls_minimum_protocol_version: 'TLSv1_0',
      tls_maximum_protocol_version: 'TLSv1_2',
      cipher_suites: ['A'],
      ecdh_curves: ['X25519:P-256', 'P-384'],
    }
    expect(decoded(upstream({ common_tls_context: { tls_params: params } })).tls!.common).toMatchObject({
      minVersion: 'TLSv1.0',
      maxVersion: 'TLSv1.2',
      cipherSuites: ['A'],
      ecdhCurves: ['X25519', 'P-256', 'P-384'],
    })
    expect(
      errorsOf(
        upstream({
          common_tls_context: { tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_2' } },
        }),
      ),
    ).toEqual([`${AT}.tls_params.tls_minimum_protocol_version: TLSv1.3 is above the maximum, TLSv1.2`])
  })

  it('leave out of a list of groups the one that Node may be too old for, and list it', () => {
    const groups = (ecdh_curves: string[]) => upstream({ common_tls_context: { tls_params: { ecdh_curves } } })
    const young = 'X25519MLKEM768'
    const known = process.versions.openssl.split('.').slice(0, 2).map(Number) as [number, number]
    const has = known[0] > 3 || (known[0] === 3 && known[1] >= 5)
    const mixed = groups([young, 'X25519'])
    expect(decoded(mixed).tls!.common.ecdhCurves).toEqual(has ? [young, 'X25519'] : ['X25519'])
    expect(mixed.unsupported).toEqual(has ? [] : [`${AT}.tls_params.ecdh_curves`])
    // Alone it stays, and is refused with the context.
    expect(decoded(groups([young])).tls!.common.ecdhCurves).toEqual([young])
  })

  it('read SAN matchers of both forms: typed as they are, untyped as any type', () => {
    const matcher = { kind: 'exact', value: 'spiffe://a', ignoreCase: false }
    expect(
      decoded(validation({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'spiffe://a' } }] })).tls!.common
        .validation!.sanMatchers,
    ).toEqual([{ sanType: 'URI', matcher }])
    expect(decoded(validation({ match_subject_alt_names: [{ exact: 'spiffe://a' }] })).tls!.common.validation!.sanMatchers).toEqual(
      ['DNS', 'URI', 'EMAIL', 'IP_ADDRESS'].map(sanType => ({ sanType, matcher })),
    )
  })

  it('read the SPIFFE validator with a bundle per trust domain', () => {
    const config = {
      name: 'envoy.tls.cert_validator.spiffe',
      typed_config: {
        '@type': `${TYPE}envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig`,
        trust_domains: [
          { name: 'a', trust_bundle: { inline_string: 'A' } },
          { name: 'b', trust_bundle: { filename: '/b' } },
        ],
      },
    }
    expect(
      decoded(upstream({ common_tls_context: { validation_context: { custom_validator_config: config } } })).tls!.common.validation!
        .spiffeTrustDomains,
    ).toEqual(
      new Map([
        ['a', { kind: 'inline', text: 'A' }],
        ['b', { kind: 'file', path: '/b', watchedDirectory: '' }],
      ]),
    )
  })

  it('read SDS references of every source, and combine them with a default', () => {
    const sds = (name: string, source?: Json): Json => ({ name, ...(source === undefined ? {} : { sds_config: source }) })
    const grpc = {
      api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'sds' } }] },
    }
    const listener = decoded(
      downstream({
        require_client_certificate: true,
        common_tls_context: {
          tls_certificate_sds_secret_configs: [
            sds('a', { ads: {}, initial_fetch_timeout: '0s' }),
            sds('b', { ...grpc, initial_fetch_timeout: '2.5s' }),
            sds('c'),
          ],
          combined_validation_context: {
            default_validation_context: { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }] },
            validation_context_sds_secret_config: sds('ca', { ads: {} }),
          },
        },
      }),
    )
    const { common, requireClientCertificate } = listener.filterChains[0]!.tls!
    expect(requireClientCertificate).toBe(true)
    expect(common.certificateSds).toMatchObject([
      { name: 'a', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 },
      { name: 'b', source: { kind: 'api', api: { apiType: 'GRPC', services: [{ cluster: 'sds' }] } }, initialFetchTimeoutMs: 2500 },
      { name: 'c', source: { kind: 'static' } },
    ])
    expect(common.validation).toMatchObject({ trustedCa: null, sanMatchers: [{ sanType: 'URI' }] })
    expect(common.validationSds).toEqual({ name: 'ca', source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 })
  })

  it('with certificates of their own look at no secret, as Envoy’s', () => {
    const certificates = { tls_certificates: [CERTIFICATE], tls_certificate_sds_secret_configs: [{ name: 'a', sds_config: { ads: {} } }] }
    const { common } = decoded(downstream({ common_tls_context: certificates })).filterChains[0]!.tls!
    expect([common.certificates.length, common.certificateSds]).toEqual([1, []])
    expect(errorsOf(upstream({ common_tls_context: certificates }))).toEqual([expect.stringContaining('multiple TLS certificates')])
  })

  it('normalise certificate hashes', () => {
    const hash = 'AB'.repeat(32)
    const colons = hash.match(/../g)!.join(':')
    expect(decoded(validation({ verify_certificate_hash: [hash, colons] })).tls!.common.validation!.verifyCertificateHash).toEqual([
      hash.toLowerCase(),
      hash.toLowerCase(),
    ])
  })

  const refused: [what: string, config: Json, error: RegExp][] = [
    [
      'SAN matchers without a trusted CA',
      { validation_context: { match_subject_alt_names: [{ exact: 'a' }] } },
      /validation_context\.match_typed_subject_alt_names: SAN-based verification/,
    ],
    [
      'a certificate without a key',
      { tls_certificates: [{ certificate_chain: { inline_string: 'a' } }] },
      /tls_certificates\[0\]\.private_key: value is required/,
    ],
    [
      'two client certificates',
      { tls_certificates: [CERTIFICATE, CERTIFICATE] },
      /tls_certificates: multiple TLS certificates are not supported/,
    ],
    [
      'a bad regex',
      {
        validation_context: {
          trusted_ca: { inline_string: 'a' },
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { safe_regex: { regex: '(' } } }],
        },
      },
      /match_typed_subject_alt_names\[0\]\.matcher\.safe_regex\.regex: invalid regex/,
    ],
    [
      'a custom handshaker',
      { custom_handshaker: { name: 'x', typed_config: { '@type': `${TYPE}envoy.extensions.filters.http.cors.v3.Cors` } } },
      /custom_handshaker: custom handshakers are not supported/,
    ],
    [
      'a certificate provider',
      { validation_context: { ca_certificate_provider_instance: { instance_name: 'x' } } },
      /ca_certificate_provider_instance: certificate providers are not supported/,
    ],
    [
      'an unknown certificate validator',
      {
        validation_context: {
          custom_validator_config: { name: 'x', typed_config: { '@type': `${TYPE}envoy.extensions.filters.http.cors.v3.Cors` } },
        },
      },
      /custom_validator_config: unknown certificate validator 'x'/,
    ],
    [
      'a hash that is none',
      { validation_context: { trusted_ca: { inline_string: 'a' }, verify_certificate_hash: ['zz'] } },
      /verify_certificate_hash/,
    ],
    ['PKCS#12', { tls_certificates: [{ pkcs12: { inline_bytes: 'YQ==' } }] }, /tls_certificates\[0\]\.pkcs12: PKCS#12 is not supported/],
  ]
  for (const [what, common, error] of refused) {
    it(`refuse ${what}, with the path`, () => {
      expect(errorsOf(upstream({ common_tls_context: common }))).toEqual(expect.arrayContaining([expect.stringMatching(error)]))
    })
  }

  it('refuse an OCSP response as text, as Envoy does: it is DER', () => {
    const tls_certificates = [{ ...CERTIFICATE, ocsp_staple: { inline_string: 'x' } }]
    expect(errorsOf(downstream({ common_tls_context: { tls_certificates }, ocsp_staple_policy: 'MUST_STAPLE' }))).toEqual([
      'filter_chains[0].transport_socket.typed_config.common_tls_context.tls_certificates[0].ocsp_staple: OCSP staple cannot be provided via inline_string',
    ])
  })
})

describe('decodeSecret', () => {
  it('reads certificates, validation contexts, ticket keys and generic secrets', () => {
    expect(
      decoded(
        decodeSecretJson({
          name: 'a',
          tls_certificate: { ...CERTIFICATE, private_key: { filename: '/k', watched_directory: { path: '/d' } } },
        }),
      ),
    ).toEqual({
      name: 'a',
      kind: 'certificate',
      certificate: {
        certificateChain: { kind: 'inline', text: 'CERT' },
        privateKey: { kind: 'file', path: '/k', watchedDirectory: '/d' },
        password: null,
      },
    })
    expect(decoded(decodeSecretJson({ name: 'b', validation_context: { trusted_ca: { environment_variable: 'CA' } } }))).toMatchObject({
      kind: 'validation',
      validation: { trustedCa: { kind: 'env', name: 'CA' } },
    })
    expect(decoded(decodeSecretJson({ name: 'c', session_ticket_keys: { keys: [{ inline_bytes: 'YQ==' }] } }))).toEqual({
      name: 'c',
      kind: 'ticketKeys',
      keys: [{ kind: 'inline', text: 'a' }],
    })
    expect(decoded(decodeSecretJson({ name: 'd', generic_secret: { secret: { inline_string: 's' } } }))).toEqual({
      name: 'd',
      kind: 'generic',
      secret: { kind: 'inline', text: 's' },
    })
  })

  it('refuses an empty one and a certificate without a chain', () => {
    expect(errorsOf(decodeSecretJson({ name: 'a' }))).toHaveLength(1)
    expect(errorsOf(decodeSecretJson({ name: 'a', tls_certificate: { private_key: { inline_string: 'k' } } }))).toEqual([
      'tls_certificate.certificate_chain: value is required',
    ])
  })
})
