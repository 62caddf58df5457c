// A certificate as an identity: its names by type, subject, times and text forms. Made by peer verification for peers and by the secure
// contexts for our own leaf; read through PeerIdentity by RBAC, XFCC and access logs. Names come from the DER, never from a text that is
// split (CVE-2021-44531, CVE-2021-44532). Invariant: the names are read when it is made (a malformed certificate throws DerError there and
// nowhere else); everything that only a formatter asks for is made on first use and kept.

import type { X509Certificate } from 'node:crypto'
import { ipText } from '../../io/ip-text.js'
import { type Asn1, bytesOf, isBool, isTagged, itemsOf, octetsOf, oidHex, oidHexOf, readDer, readTime, setItemsOf } from '../x509/der.js'
import type { PeerIdentity } from './peer-identity.js'

/** Issuers followed when a chain's PEM is written. */
const MAX_CHAIN_CERTIFICATES = 10

const SAN_OID = oidHex('2.5.29.17')
const KEY_USAGE_OID = oidHex('2.5.29.15')
const EXT_KEY_USAGE_OID = oidHex('2.5.29.37')
const BASIC_CONSTRAINTS_OID = oidHex('2.5.29.19')
const ANY_EXT_KEY_USAGE = oidHex('2.5.29.37.0')
const USAGE_OIDS = { serverAuth: oidHex('1.3.6.1.5.5.7.3.1'), clientAuth: oidHex('1.3.6.1.5.5.7.3.2') } as const

/** Short names as OpenSSL writes them in RFC 2253 form. */
const ATTRIBUTE_NAMES = new Map(
  Object.entries({
    '2.5.4.3': 'CN',
    '2.5.4.4': 'SN',
    '2.5.4.5': 'serialNumber',
    '2.5.4.6': 'C',
    '2.5.4.7': 'L',
    '2.5.4.8': 'ST',
    '2.5.4.9': 'street',
    '2.5.4.10': 'O',
    '2.5.4.11': 'OU',
    '2.5.4.12': 'title',
    '2.5.4.42': 'GN',
    '0.9.2342.19200300.100.1.1': 'UID',
    '0.9.2342.19200300.100.1.25': 'DC',
    '1.2.840.113549.1.9.1': 'emailAddress',
  }).map(([oid, name]) => [oidHex(oid), name]),
)

export class CertificateIdentity implements PeerIdentity {
  readonly x509: X509Certificate
  readonly validated: boolean
  readonly uriSans: readonly string[]
  readonly dnsSans: readonly string[]
  readonly emailSans: readonly string[]
  readonly ipSans: readonly string[]
  readonly otherNames: readonly string[]
  readonly sha256: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** BasicConstraints CA:TRUE, or KeyUsage with keyCertSign or cRLSign: never a leaf's (X509-SVID section 4). */
  readonly ca: boolean
  readonly mayCertSign: boolean
  private readonly extKeyUsages: readonly string[] | null
  private readonly subjectNode: Asn1
  private readonly issuerNode: Asn1
  private subjectText: string | null = null
  private issuerText: string | null = null
  private pemText: string | null = null
  private chainText: string | null = null

  /** Throws `DerError` when the certificate can't be read. */
  constructor(x509: X509Certificate, validated: boolean) {
    this.x509 = x509
    this.validated = validated
    this.sha256 = fingerprintOf(x509)
    const tbs = itemsOf(itemsOf(readDer(x509.raw))[0])
    const at = isTagged(tbs[0], 0) ? 1 : 0
    this.issuerNode = tbs[at + 2]!
    const validity = itemsOf(tbs[at + 3])
    this.notBeforeMs = readTime(validity[0]!)
    this.notAfterMs = readTime(validity[1]!)
    this.subjectNode = tbs[at + 4]!
    const extensions = readExtensionContents(tbs.find(item => isTagged(item, 3)))
    const names = readGeneralNames(extensions.get(SAN_OID))
    this.uriSans = names.uris
    this.dnsSans = names.dns
    this.emailSans = names.emails
    this.ipSans = names.ips
    this.otherNames = names.others
    const usages = extensions.get(EXT_KEY_USAGE_OID)
    this.extKeyUsages = usages === undefined ? null : itemsOf(usages).map(oidHexOf)
    const constraints = extensions.get(BASIC_CONSTRAINTS_OID)
    const flag = constraints === undefined ? undefined : itemsOf(constraints)[0]
    this.ca = isBool(flag) && bytesOf(flag)[0] !== 0
    const keyUsage = extensions.get(KEY_USAGE_OID)
    this.mayCertSign = keyUsage !== undefined && ((bytesOf(keyUsage)[1] ?? 0) & 0x06) !== 0
  }

  /** Absent extended key usages allow everything (RFC 5280 section 4.2.1.12). */
  allowsUsage(usage: keyof typeof USAGE_OIDS): boolean {
    return this.extKeyUsages === null || this.extKeyUsages.includes(USAGE_OIDS[usage]) || this.extKeyUsages.includes(ANY_EXT_KEY_USAGE)
  }

  get subject(): string {
    return (this.subjectText ??= nameText(this.subjectNode))
  }

  get issuer(): string {
    return (this.issuerText ??= nameText(this.issuerNode))
  }

  get serialNumber(): string {
    return this.x509.serialNumber.toLowerCase()
  }

  get notBefore(): Date {
    return new Date(this.notBeforeMs)
  }

  get notAfter(): Date {
    return new Date(this.notAfterMs)
  }

  get pem(): string {
    return (this.pemText ??= this.x509.toString())
  }

  get chainPem(): string {
    return (this.chainText ??= this.pem + issuersOf(this.x509).map(String).join(''))
  }
}

/** Lower-case hex SHA-256 of a certificate. */
export function fingerprintOf(x509: X509Certificate): string {
  return x509.fingerprint256.replaceAll(':', '').toLowerCase()
}

/** The certificates that the peer sent behind its leaf, as far as each is the issuer of the one before. */
export function issuersOf(leaf: X509Certificate): X509Certificate[] {
  const found: X509Certificate[] = []
  let next = leaf.issuerCertificate
  while (next !== undefined && found.length < MAX_CHAIN_CERTIFICATES) {
    found.push(next)
    next = next.issuerCertificate
  }
  return found
}

function readExtensionContents(tagged: Asn1 | undefined): Map<string, Asn1> {
  const found = new Map<string, Asn1>()
  if (tagged === undefined) return found
  const list = tagged.value as Asn1[]
  for (const item of itemsOf(list[0])) {
    const parts = itemsOf(item)
    const id = oidHexOf(parts[0])
    if (id !== SAN_OID && id !== KEY_USAGE_OID && id !== EXT_KEY_USAGE_OID && id !== BASIC_CONSTRAINTS_OID) continue
    // OpenSSL refuses a certificate in which an extension stands twice, so the first is the only one.
    if (!found.has(id)) found.set(id, readDer(octetsOf(isBool(parts[1]) ? parts[2] : parts[1])))
  }
  return found
}

function readGeneralNames(san: Asn1 | undefined) {
  const names = { uris: [] as string[], dns: [] as string[], emails: [] as string[], ips: [] as string[], others: [] as string[] }
  for (const item of san === undefined ? [] : itemsOf(san)) {
    if (isTagged(item, 6)) names.uris.push(bytesOf(item).toString('latin1'))
    else if (isTagged(item, 2)) names.dns.push(bytesOf(item).toString('latin1'))
    else if (isTagged(item, 1)) names.emails.push(bytesOf(item).toString('latin1'))
    else if (isTagged(item, 7)) names.ips.push(ipText(bytesOf(item)))
    else if (isTagged(item, 0)) {
      const text = otherNameText(item)
      if (text !== null) names.others.push(text)
    }
  }
  return names
}

/** The value of an otherName (RFC 5280 §4.2.1.6) that is a string; null for any other type. */
function otherNameText(item: Asn1): string | null {
  const wrapped = Array.isArray(item.value) ? item.value[1] : undefined
  const value = wrapped !== undefined && isTagged(wrapped, 0) && Array.isArray(wrapped.value) ? wrapped.value[0] : undefined
  if (value === undefined || Array.isArray(value.value)) return null
  return STRING_TYPES.has(value.type) ? valueBytes(value).toString('latin1') : null
}

/** UTF8String, PrintableString, T61String, IA5String, VisibleString, BMPString. */
const STRING_TYPES = new Set([12, 19, 20, 22, 26, 30])

/** RFC 2253: last RDN first; control characters and bytes outside ASCII as `\XX`, as OpenSSL's XN_FLAG_RFC2253 does. */
export function nameText(name: Asn1): string {
  return itemsOf(name)
    .map(rdn =>
      setItemsOf(rdn)
        .map(attribute => {
          const [type, value] = itemsOf(attribute)
          const id = oidHexOf(type)
          return `${ATTRIBUTE_NAMES.get(id) ?? dottedOf(id)}=${escapeValue(valueBytes(value!))}`
        })
        .join('+'),
    )
    .reverse()
    .join(',')
}

function valueBytes(value: Asn1): Buffer {
  const bytes = bytesOf(value)
  const bmpString = 30
  return value.type === bmpString ? Buffer.from(Buffer.from(bytes).swap16().toString('utf16le'), 'utf8') : bytes
}

function escapeValue(bytes: Buffer): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    const char = String.fromCharCode(byte)
    const edge = (i === 0 && (char === '#' || char === ' ')) || (i === bytes.length - 1 && char === ' ')
    if (byte < 0x20 || byte >= 0x7f) text += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`
    else text += edge || ',+"\\<>;'.includes(char) ? `\\${char}` : char
  }
  return text
}

function dottedOf(hex: string): string {
  const parts: bigint[] = []
  let value = 0n
  for (const byte of Buffer.from(hex, 'hex')) {
    value = (value << 7n) | BigInt(byte & 0x7f)
    if (byte & 0x80) continue
    if (parts.length === 0) {
      const first = value < 80n ? value / 40n : 2n
      parts.push(first, value - first * 40n)
    } else parts.push(value)
    value = 0n
  }
  return parts.join('.')
}
