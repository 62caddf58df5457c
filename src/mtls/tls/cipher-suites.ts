// The names that tls_params.cipher_suites may hold: those of BoringSSL, so that what Envoy refuses is refused here too, though OpenSSL knows
// more. Called by secure-contexts.ts. A name of the TLS registry (TLS_ECDHE_…) is the same suite under OpenSSL's name.

/** Suites of TLS 1.2 and before; those of 1.3 cannot be chosen. */
const SUITES: ReadonlyMap<string, string> = new Map([
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES128-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256'],
  ['ECDHE-ECDSA-AES128-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-ECDSA-AES256-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-RSA-AES128-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256'],
  ['ECDHE-RSA-AES128-SHA', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-RSA-AES256-SHA', 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA'],
  ['AES128-GCM-SHA256', 'TLS_RSA_WITH_AES_128_GCM_SHA256'],
  ['AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384'],
  ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
  ['AES256-SHA', 'TLS_RSA_WITH_AES_256_CBC_SHA'],
  ['DES-CBC3-SHA', 'TLS_RSA_WITH_3DES_EDE_CBC_SHA'],
])

const BY_REGISTRY_NAME: ReadonlyMap<string, string> = new Map([...SUITES].map(([name, registered]) => [registered, name]))

/** Names of many suites at once. */
const ALIASES: ReadonlySet<string> = new Set(
  'ALL HIGH DEFAULT FIPS kRSA RSA aRSA ECDHE EECDH kECDHE ECDSA aECDSA AES AES128 AES256 AESGCM CHACHA20 3DES SHA SHA1 SSLv3 TLSv1 TLSv1.2'.split(
    ' ',
  ),
)

/** Each suite or alias of an entry by OpenSSL's name; of `[A|B]` (equal preference), `A:B`, and aliases that are joined by `+`. */
export function cipherNames(entry: string): string[] {
  const list = entry.startsWith('[') && entry.endsWith(']') ? entry.slice(1, -1).split('|') : entry.split(':')
  return list.map(name => BY_REGISTRY_NAME.get(name) ?? name)
}

export function isCipherName(name: string): boolean {
  return SUITES.has(name) || name.split('+').every(part => ALIASES.has(part))
}
