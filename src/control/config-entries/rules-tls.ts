// Rules of TLS parameters, wherever an entry has them: order of the versions, known cipher suites. Called by the `rules-*.ts` of mesh and
// of gateways.
import type { Report } from './rules-common.js'
import type { MeshTls } from './types.js'

const TLS_ORDER = ['TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3']

/** The suites Consul lets one choose, all of TLS 1.2 and before. */
const CIPHER_SUITES: ReadonlySet<string> = new Set([
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA',
  'TLS_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_RSA_WITH_AES_128_CBC_SHA',
  'TLS_RSA_WITH_AES_256_CBC_SHA',
])

/** `names`: those of the two versions, where they are called otherwise. */
export function tlsRules(
  path: string,
  tls: MeshTls | undefined,
  report: Report,
  names: { readonly min: string; readonly max: string } = { min: 'TLSMinVersion', max: 'TLSMaxVersion' },
) {
  if (tls === undefined) return
  const min = TLS_ORDER.indexOf(tls.TLSMinVersion ?? '')
  const max = TLS_ORDER.indexOf(tls.TLSMaxVersion ?? '')
  if (max >= 0 && max < min) report(`${path}.${names.max}`, `${tls.TLSMaxVersion} is less than ${names.min} ${tls.TLSMinVersion}`)
  if (tls.CipherSuites !== undefined && tls.TLSMinVersion === 'TLSv1_3') {
    report(`${path}.CipherSuites`, `applies only up to TLS 1.2, and ${names.min} is TLSv1_3`)
  }
  for (const [i, suite] of (tls.CipherSuites ?? []).entries()) {
    if (!CIPHER_SUITES.has(suite)) report(`${path}.CipherSuites[${i}]`, `unknown cipher suite ${JSON.stringify(suite)}`)
  }
}
