// DER by node-forge's ASN.1 code: builders, a strict reader and PEM.
// Called by x509.ts and csr.ts. node-forge's own certificate and CSR classes know only RSA keys; its ASN.1 layer carries any key,
// as the SubjectPublicKeyInfo comes ready-made from node:crypto. Invariant: what `readDer` returns writes back to the very bytes
// it was read from, so what was parsed is what was signed; anything in another encoding is refused.
// The ASN.1 file alone is loaded: the whole of node-forge is 600 KB of ciphers that nothing here asks for.
import type forge from 'node-forge'
import asn1 from 'node-forge/lib/asn1.js'

export type Asn1 = forge.asn1.Asn1

/** Nesting allowed; certificates need about ten levels. */
const MAX_DEPTH = 32
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class
const { Type } = asn1

export class DerError extends Error {}

const latin1 = (bytes: Buffer): string => bytes.toString('latin1')

export const sequence = (...items: Asn1[]): Asn1 => asn1.create(UNIVERSAL, Type.SEQUENCE, true, items)
export const set = (...items: Asn1[]): Asn1 => asn1.create(UNIVERSAL, Type.SET, true, items)
export const oid = (dotted: string): Asn1 => asn1.create(UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes())
export const nul = (): Asn1 => asn1.create(UNIVERSAL, Type.NULL, false, '')
export const bool = (value: boolean): Asn1 => asn1.create(UNIVERSAL, Type.BOOLEAN, false, value ? '\xff' : '\0')
export const utf8 = (text: string): Asn1 => asn1.create(UNIVERSAL, Type.UTF8, false, latin1(Buffer.from(text, 'utf8')))
export const octets = (bytes: Buffer): Asn1 => asn1.create(UNIVERSAL, Type.OCTETSTRING, false, latin1(bytes))
/** `bytes` is the magnitude, big endian; a zero byte is put in front where the number would read as negative. */
export const integer = (bytes: Buffer): Asn1 =>
  asn1.create(UNIVERSAL, Type.INTEGER, false, bytes.length === 0 || bytes[0]! >= 0x80 ? `\0${latin1(bytes)}` : latin1(bytes))
export const bits = (bytes: Buffer, unused = 0): Asn1 =>
  asn1.create(UNIVERSAL, Type.BITSTRING, false, String.fromCharCode(unused) + latin1(bytes))
/** `[n]` around items (constructed), or `[n]` in place of a primitive (bytes). */
export const tagged = (n: number, content: Asn1[] | Buffer): Asn1 =>
  Array.isArray(content) ? asn1.create(CONTEXT_SPECIFIC, n, true, content) : asn1.create(CONTEXT_SPECIFIC, n, false, latin1(content))

/** A time as RFC 5280 section 4.1.2.5 wants it: UTCTime up to 2049, GeneralizedTime from 2050. Milliseconds are dropped. */
export function time(ms: number): Asn1 {
  const date = new Date(Math.floor(ms / 1000) * 1000)
  return date.getUTCFullYear() < 2050
    ? asn1.create(UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date))
}

export function readTime(node: Asn1): number {
  const text = bytesOf(node).toString('latin1')
  if (node.tagClass === UNIVERSAL && node.type === Type.UTCTIME && /^\d{12}Z$/.test(text)) return asn1.utcTimeToDate(text).getTime()
  if (node.tagClass === UNIVERSAL && node.type === Type.GENERALIZEDTIME && /^\d{14}Z$/.test(text))
    return asn1.generalizedTimeToDate(text).getTime()
  throw new DerError('a time is neither UTCTime nor GeneralizedTime in the form of RFC 5280')
}

export const writeDer = (node: Asn1): Buffer => Buffer.from(asn1.toDer(node).getBytes(), 'latin1')

/** Reads one DER value. Throws `DerError` for anything that is not DER, or where bytes are left over. */
export function readDer(der: Buffer): Asn1 {
  let node: Asn1
  try {
    const options = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: MAX_DEPTH }
    // The published types know only a boolean here.
    node = asn1.fromDer(latin1(der), options as unknown as boolean)
  } catch (error) {
    throw new DerError(error instanceof Error ? error.message : 'not ASN.1')
  }
  if (!writeDer(node).equals(der)) throw new DerError('the encoding is not DER')
  return node
}

/** The children of a constructed value of universal type `type` (SEQUENCE unless given). */
export function itemsOf(node: Asn1 | undefined, type: number = Type.SEQUENCE): Asn1[] {
  if (node === undefined || node.tagClass !== UNIVERSAL || node.type !== type || !Array.isArray(node.value)) {
    throw new DerError(`expected a ${type === Type.SET ? 'SET' : 'SEQUENCE'}`)
  }
  return node.value
}

export const setItemsOf = (node: Asn1 | undefined): Asn1[] => itemsOf(node, Type.SET)

/** The children of a `[n]` value. */
export function taggedItemsOf(node: Asn1): Asn1[] {
  if (node.tagClass !== CONTEXT_SPECIFIC || !Array.isArray(node.value)) throw new DerError('expected a tagged, constructed value')
  return node.value
}

/** The bytes of a primitive value. */
export function bytesOf(node: Asn1 | undefined): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new DerError('expected a primitive value')
  return Buffer.from(node.value, 'latin1')
}

function primitive(node: Asn1 | undefined, type: number, name: string): Buffer {
  if (node === undefined || node.tagClass !== UNIVERSAL || node.type !== type) throw new DerError(`expected ${name}`)
  return bytesOf(node)
}

export const octetsOf = (node: Asn1 | undefined): Buffer => primitive(node, Type.OCTETSTRING, 'an OCTET STRING')
export const integerOf = (node: Asn1 | undefined): Buffer => primitive(node, Type.INTEGER, 'an INTEGER')

/** A serial number as it is compared: lower-case hex without leading zero octets. */
export const serialText = (bytes: Buffer): string => bytes.toString('hex').replace(/^(00)+(?=..)/, '')

/** The bytes of a BIT STRING that has no unused bits. */
export function wholeBitsOf(node: Asn1 | undefined): Buffer {
  const content = primitive(node, Type.BITSTRING, 'a BIT STRING')
  if (content[0] !== 0) throw new DerError('a BIT STRING has unused bits')
  return content.subarray(1)
}

/** An OID as the hex of its content: compared whole, never decoded (a decoder that drops bits makes two OIDs look alike, CVE-2025-66030). */
export const oidHexOf = (node: Asn1 | undefined): string => primitive(node, Type.OID, 'an OBJECT IDENTIFIER').toString('hex')
export const oidHex = (dotted: string): string => asn1.oidToDer(dotted).toHex()

export const isTagged = (node: Asn1 | undefined, n: number): node is Asn1 =>
  node !== undefined && node.tagClass === CONTEXT_SPECIFIC && node.type === n
export const isBool = (node: Asn1 | undefined): node is Asn1 =>
  node !== undefined && node.tagClass === UNIVERSAL && node.type === Type.BOOLEAN
export const isSequence = (node: Asn1 | undefined): node is Asn1 =>
  node !== undefined && node.tagClass === UNIVERSAL && node.type === Type.SEQUENCE

/** One PEM block, ending in a newline. */
export function writePem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/**
 * The PEM blocks of a text, in order. Text between blocks is ignored, as OpenSSL does (RFC 7468 section 2). Throws `DerError` for a block
 * that is cut off or holds anything but base64.
 */
export function readPem(text: string): { label: string; der: Buffer }[] {
  const blocks: { label: string; der: Buffer }[] = []
  const begin = /-----BEGIN ([A-Z0-9 ]+)-----/g
  for (let match = begin.exec(text); match !== null; match = begin.exec(text)) {
    const label = match[1]!
    const bodyStart = begin.lastIndex
    const end = `-----END ${label}-----`
    const bodyEnd = text.indexOf(end, bodyStart)
    if (bodyEnd === -1) throw new DerError(`the PEM block "${label}" has no end`)
    const body = text.slice(bodyStart, bodyEnd).replace(/[\r\n\t ]/g, '')
    if (body === '' || body.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(body))
      throw new DerError(`the PEM block "${label}" is not base64`)
    blocks.push({ label, der: Buffer.from(body, 'base64') })
    begin.lastIndex = bodyEnd + end.length
  }
  return blocks
}

/** Every block labelled CERTIFICATE, each as PEM of its own in canonical form. Throws `DerError`. */
export function certificatePems(text: string): string[] {
  return readPem(text)
    .filter(block => block.label === 'CERTIFICATE')
    .map(block => writePem('CERTIFICATE', block.der))
}
