// OpenSSL contexts: from the parameters of a model to Node's options, and contexts found again by content (a thousand clusters with one leaf
// share one). Called by tls-material.ts. Invariant: a name that this OpenSSL does not know is refused by name, never dropped from a list.

import tls, { type SecureContext, type SecureContextOptions, type SecureVersion } from 'node:tls'
import type { ConfigError } from '../../model/config-error.js'
import type { CommonTlsContext, TlsVersion } from '../../model/tls.js'
import { cipherList } from './cipher-suites.js'
import { ContentCache, contentKey } from './content-cache.js'
import type { TicketKeys } from './ticket-keys.js'

/** Envoy's default order for TLS 1.2; AES-128 first for 1.3 too, which costs least where AES is in hardware. */
const DEFAULT_CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]
const TLS13_CIPHERS = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']

const NODE_VERSIONS: Record<TlsVersion, SecureVersion> = {
  'TLSv1.0': 'TLSv1',
  'TLSv1.1': 'TLSv1.1',
  'TLSv1.2': 'TLSv1.2',
  'TLSv1.3': 'TLSv1.3',
}

export function parameterOptions(common: CommonTlsContext): SecureContextOptions {
  const old = common.minVersion === 'TLSv1.0' || common.minVersion === 'TLSv1.1'
  const ciphers = cipherList(common.cipherSuites)?.suites ?? DEFAULT_CIPHERS
  return {
    minVersion: NODE_VERSIONS[common.minVersion],
    maxVersion: NODE_VERSIONS[common.maxVersion],
    // OpenSSL 3 speaks TLS 1.0 and 1.1 (SHA-1) at security level 0 alone.
    ciphers: [...TLS13_CIPHERS, ...ciphers, ...(old ? ['@SECLEVEL=0'] : [])].join(':'),
    ...(common.ecdhCurves.length === 0 ? {} : { ecdhCurve: common.ecdhCurves.join(':') }),
    ...(common.signatureAlgorithms.length === 0 ? {} : { sigalgs: common.signatureAlgorithms.join(':') }),
  }
}

const VERSION_ORDER: readonly TlsVersion[] = ['TLSv1.0', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

export function checkParameters(common: CommonTlsContext, errors: ConfigError[]): void {
  const at = 'common_tls_context.tls_params'
  if (VERSION_ORDER.indexOf(common.minVersion) > VERSION_ORDER.indexOf(common.maxVersion))
    errors.push({ path: `${at}.tls_minimum_protocol_version`, reason: `${common.minVersion} is above the maximum ${common.maxVersion}` })
  checkCiphers(common.cipherSuites, `${at}.cipher_suites`, errors)
  for (const name of common.ecdhCurves)
    if (!knows({ ecdhCurve: name })) errors.push({ path: `${at}.ecdh_curves`, reason: `this OpenSSL has no group ${JSON.stringify(name)}` })
  for (const name of common.signatureAlgorithms)
    if (!knows({ sigalgs: name }))
      errors.push({ path: `${at}.signature_algorithms`, reason: `this OpenSSL has no signature algorithm ${JSON.stringify(name)}` })
  for (const name of common.alpnProtocols) {
    const length = Buffer.byteLength(name, 'latin1')
    if (length === 0 || length > 255)
      errors.push({ path: 'common_tls_context.alpn_protocols', reason: 'a protocol name has 1 to 255 bytes' })
  }
}

function checkCiphers(entries: readonly string[], path: string, errors: ConfigError[]): void {
  const list = cipherList(entries)
  if (list === null) return
  const { suites, unknown } = list
  for (const name of unknown) errors.push({ path, reason: `there is no cipher suite ${JSON.stringify(name)}` })
  for (const name of suites)
    if (!knows({ ciphers: name })) errors.push({ path, reason: `this OpenSSL has no cipher ${JSON.stringify(name)}` })
  if (suites.length === 0 && unknown.length === 0) errors.push({ path, reason: 'leaves no cipher suite' })
}

function knows(option: SecureContextOptions): boolean {
  const value = Object.values(option)[0] as string
  // A list or a rule of OpenSSL's own language is no name.
  if (value === '' || /[:,\s@!+]/.test(value.replace(/^\w+(-\w+)*\+SHA\d+$/, ''))) return false
  try {
    tls.createSecureContext({ ...option, ca: [] })
    return true
  } catch {
    return false
  }
}

const contexts = new ContentCache<SecureContext>()

/** Throws what OpenSSL says. */
export function obtainContext(options: SecureContextOptions, ticketKeys: TicketKeys | null): SecureContext {
  const key = contentKey(JSON.stringify([options, ticketKeys?.content]))
  let context = contexts.get(key)
  if (context === undefined) {
    const all = { ...options, allowPartialTrustChain: true } as SecureContextOptions
    context = ticketKeys === null ? tls.createSecureContext(all) : ticketKeys.createContext(all)
    contexts.put(key, context)
  }
  return context
}
