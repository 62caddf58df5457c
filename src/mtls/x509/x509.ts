// Certificates: how the CA's root, intermediate, cross-signed root and leaves are written, and how a certificate is read.
// Called by the providers (issuing) and the authority (reading). Writes DER by der.ts, signs by keys.ts.
// Invariant: the issuer name of a certificate is the very bytes of its issuer's subject, and the AuthorityKeyId is its issuer's
// SubjectKeyId, so every verifier builds the same chain. Source: RFC 5280.
import { createHash, createPublicKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { CaError, reasonOf } from './certificate-error.js'
import {
  type Asn1,
  bits,
  bool,
  bytesOf,
  DerError,
  integer,
  integerOf,
  isBool,
  isTagged,
  itemsOf,
  octets,
  octetsOf,
  oid,
  oidHex,
  oidHexOf,
  readDer,
  readPem,
  readTime,
  sequence,
  set,
  setItemsOf,
  tagged,
  taggedItemsOf,
  time,
  utf8,
  writeDer,
  writePem,
} from './der.js'
import { type KeySpec, keyId, keySpecOf, signatureAlgorithmOf, signDer, spkiDer } from './keys.js'

const OIDS = {
  commonName: '2.5.4.3',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** OIDs as hex of their content, for reading extensions here and in csr.ts. */
export const EXTENSION_OIDS = {
  subjectKeyId: oidHex(OIDS.subjectKeyId),
  keyUsage: oidHex(OIDS.keyUsage),
  subjectAltName: oidHex(OIDS.subjectAltName),
  basicConstraints: oidHex(OIDS.basicConstraints),
  authorityKeyId: oidHex(OIDS.authorityKeyId),
} as const

/** digitalSignature, keyEncipherment, dataEncipherment, keyAgreement. */
const leafKeyUsage = bits(Buffer.from([0xb8]), 3)
/** digitalSignature, keyCertSign, cRLSign. */
const caKeyUsage = bits(Buffer.from([0x86]), 1)
const KEY_CERT_SIGN_BIT = 0x04

/** Clocks of a mesh differ a little: what is signed is valid from one minute ago. */
export const BACKDATE_MS = 60_000

export interface Names {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  /** Of certificates of servers made here. */
  readonly ips?: readonly string[]
}

/** A certificate read and checked for form. Times are epoch milliseconds. */
export interface Certificate {
  readonly pem: string
  readonly der: Buffer
  /** Magnitude, without a leading zero byte. */
  readonly serial: Buffer
  readonly subject: Asn1
  readonly publicKey: KeyObject
  readonly keySpec: KeySpec | undefined
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** From the extension; by Consul's rule where there is none. */
  readonly subjectKeyId: Buffer
  readonly names: Names
  readonly ca: boolean
  readonly pathLength: number | undefined
  readonly canSignCertificates: boolean
  readonly commonName: string
  /** SHA-1 of the DER, hex: Consul's root id without its colons. */
  readonly sha1: string
  readonly x509: X509Certificate
}

export interface Signer {
  readonly certificate: Certificate
  readonly key: KeyObject
}

/**
 * A random positive serial number of 20 octets (RFC 5280 section 4.1.2.2 allows no more), 146 bits of it random.
 * Consul's CARoot carries the low 64 bits as a JSON number; bits 53 to 63 are zero so that this number is exact in JavaScript too.
 */
export function newSerial(): Buffer {
  const serial = randomBytes(20)
  serial[0] = (serial[0]! & 0x7f) | 0x40
  serial[12] = 0
  serial[13] = serial[13]! & 0x1f
  return serial
}

export const commonName = (name: string): Asn1 => sequence(set(sequence(oid(OIDS.commonName), utf8(name))))
export const emptyName = (): Asn1 => sequence()

function extension(id: string, critical: boolean, content: Asn1): Asn1 {
  const value = octets(writeDer(content))
  return critical ? sequence(oid(id), bool(true), value) : sequence(oid(id), value)
}

/** SubjectAltName: URIs ([6]), DNS names ([2]) and IP addresses ([7]). Critical when the subject is empty (RFC 5280 section 4.2.1.6). */
export function subjectAltName(names: Names, critical: boolean): Asn1 {
  const items = [
    ...names.dns.map(name => tagged(2, Buffer.from(name, 'latin1'))),
    ...names.uris.map(uri => tagged(6, Buffer.from(uri, 'latin1'))),
    ...(names.ips ?? []).map(ip => tagged(7, ipBytes(ip))),
  ]
  return extension(OIDS.subjectAltName, critical, sequence(...items))
}

/** 4 or 16 bytes of an address in its text form. */
function ipBytes(ip: string): Buffer {
  if (!ip.includes(':')) return Buffer.from(ip.split('.').map(Number))
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(ip)
  const [, head = '', a, b, c, d] = dotted ?? []
  const text = dotted === null ? ip : `${head}${((Number(a) << 8) | Number(b)).toString(16)}:${((Number(c) << 8) | Number(d)).toString(16)}`
  const [left = '', right] = text.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [before, after] = [groups(left), groups(right ?? '')]
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return Buffer.from([...before, ...zeros, ...after].map(group => group.padStart(4, '0')).join(''), 'hex')
}

/** One spelling for each address. */
export const canonicalIp = (ip: string): string => ipText(ipBytes(ip))

function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return bytes.toString('hex').replace(/....(?!$)/g, '$&:')
}

function basicConstraints(ca: boolean, pathLength: number | undefined): Asn1 {
  const items = ca ? [bool(true)] : []
  if (pathLength !== undefined) items.push(integer(Buffer.from([pathLength])))
  return extension(OIDS.basicConstraints, true, sequence(...items))
}

const authorityKeyId = (id: Buffer): Asn1 => extension(OIDS.authorityKeyId, false, sequence(tagged(0, id)))
const subjectKeyId = (id: Buffer): Asn1 => extension(OIDS.subjectKeyId, false, octets(id))

interface ToBeSigned {
  readonly issuer: Asn1
  readonly subject: Asn1
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly spki: Asn1
  readonly extensions: Asn1[]
}

/** A certificate just made, with what is known of it without reading it. Times are whole seconds, epoch ms. */
export interface Issued {
  readonly pem: string
  readonly serial: Buffer
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000

function signCertificate(content: ToBeSigned, key: KeyObject): Issued {
  const algorithm = signatureAlgorithmOf(key)
  const serial = newSerial()
  const tbs = sequence(
    tagged(0, [integer(Buffer.from([2]))]),
    integer(serial),
    algorithm,
    content.issuer,
    sequence(time(content.notBeforeMs), time(content.notAfterMs)),
    content.subject,
    content.spki,
    tagged(3, [sequence(...content.extensions)]),
  )
  const signature = signDer(writeDer(tbs), key)
  return {
    pem: writePem('CERTIFICATE', writeDer(sequence(tbs, algorithm, bits(signature)))),
    serial,
    notBeforeMs: wholeSeconds(content.notBeforeMs),
    notAfterMs: wholeSeconds(content.notAfterMs),
  }
}

function signCa(content: ToBeSigned, key: KeyObject): Certificate {
  return readCertificate(signCertificate(content, key).pem)
}

/** A self-signed root; of a mesh with its signing SPIFFE id (`spiffe://<trust domain>`) as URI SAN. */
export function issueRoot(root: {
  key: KeyObject
  name: string
  trustDomain?: string
  notBeforeMs: number
  notAfterMs: number
}): Certificate {
  const spki = spkiDer(createPublicKey(root.key))
  const id = keyId(spki)
  const name = commonName(root.name)
  const extensions = [
    extension(OIDS.keyUsage, true, caKeyUsage),
    basicConstraints(true, undefined),
    subjectKeyId(id),
    authorityKeyId(id),
    ...(root.trustDomain === undefined ? [] : [subjectAltName({ uris: [`spiffe://${root.trustDomain}`], dns: [] }, false)]),
  ]
  return signCa({ ...root, issuer: name, subject: name, spki: readDer(spki), extensions }, root.key)
}

/** An intermediate of path length 0. */
export function issueIntermediate(
  issuer: Signer,
  intermediate: { publicKey: KeyObject; name: string; trustDomain: string; notBeforeMs: number; notAfterMs: number },
): Certificate {
  const spki = spkiDer(intermediate.publicKey)
  const extensions = [
    extension(OIDS.keyUsage, true, caKeyUsage),
    basicConstraints(true, 0),
    subjectKeyId(keyId(spki)),
    authorityKeyId(issuer.certificate.subjectKeyId),
    subjectAltName({ uris: [`spiffe://${intermediate.trustDomain}`], dns: [] }, false),
  ]
  const subject = commonName(intermediate.name)
  return signCa({ ...intermediate, issuer: issuer.certificate.subject, subject, spki: readDer(spki), extensions }, issuer.key)
}

/** A leaf: empty subject, so the SAN is critical; for TLS clients and servers; never a CA. */
export function issueLeafCertificate(
  issuer: Signer,
  leaf: { publicKey: KeyObject; names: Names; notBeforeMs: number; notAfterMs: number },
): Issued {
  const spki = spkiDer(leaf.publicKey)
  const extensions = [
    extension(OIDS.keyUsage, true, leafKeyUsage),
    extension(OIDS.extKeyUsage, false, sequence(oid(OIDS.clientAuth), oid(OIDS.serverAuth))),
    basicConstraints(false, undefined),
    subjectKeyId(keyId(spki)),
    authorityKeyId(issuer.certificate.subjectKeyId),
    subjectAltName(leaf.names, true),
  ]
  return signCertificate({ ...leaf, issuer: issuer.certificate.subject, subject: emptyName(), spki: readDer(spki), extensions }, issuer.key)
}

/**
 * `root` signed by another root: same subject, key and extensions, so that it stands in the chain between what `root` signs and
 * `issuer`. Only serial, validity, issuer and AuthorityKeyId differ.
 */
export function crossSign(issuer: Signer, root: Certificate, validity: { notBeforeMs: number; notAfterMs: number }): Certificate {
  const fields = tbsFields(root.der)
  const extensions = fields.extensions.filter(item => oidHexOf(itemsOf(item)[0]) !== EXTENSION_OIDS.authorityKeyId)
  extensions.push(authorityKeyId(issuer.certificate.subjectKeyId))
  return signCa({ ...validity, issuer: issuer.certificate.subject, subject: fields.subject, spki: fields.spki, extensions }, issuer.key)
}

function tbsFields(der: Buffer) {
  const tbs = itemsOf(itemsOf(readDer(der))[0])
  const at = isTagged(tbs[0], 0) ? 1 : 0
  const last = tbs.find(item => isTagged(item, 3))
  const validity = itemsOf(tbs[at + 3])
  return {
    serial: integerOf(tbs[at]),
    notBefore: validity[0],
    notAfter: validity[1],
    subject: tbs[at + 4]!,
    spki: tbs[at + 5]!,
    extensions: last === undefined ? [] : itemsOf(taggedItemsOf(last)[0]),
  }
}

const READ_CONTENTS: ReadonlySet<string> = new Set(Object.values(EXTENSION_OIDS))

/** The content of each extension that is read here, by OID (hex). Throws `DerError` when one stands twice (RFC 5280 section 4.2). */
export function readExtensions(items: readonly Asn1[]): Map<string, Asn1> {
  const found = new Map<string, Asn1>()
  const seen = new Set<string>()
  for (const item of items) {
    const parts = itemsOf(item)
    const id = oidHexOf(parts[0])
    if (seen.has(id)) throw new DerError('an extension stands twice')
    seen.add(id)
    if (READ_CONTENTS.has(id)) found.set(id, readDer(octetsOf(isBool(parts[1]) ? parts[2] : parts[1])))
  }
  return found
}

/** Names of a SubjectAltName from its DER, by type; `others` counts names of types the mesh has no use for. */
export function readNames(san: Asn1 | undefined): { uris: string[]; dns: string[]; ips: string[]; others: number } {
  const names = { uris: [] as string[], dns: [] as string[], ips: [] as string[], others: 0 }
  for (const item of san === undefined ? [] : itemsOf(san)) {
    if (isTagged(item, 6)) names.uris.push(bytesOf(item).toString('latin1'))
    else if (isTagged(item, 2)) names.dns.push(bytesOf(item).toString('latin1'))
    else if (isTagged(item, 7) && [4, 16].includes(bytesOf(item).length)) names.ips.push(ipText(bytesOf(item)))
    else names.others++
  }
  return names
}

/** What BasicConstraints says; absent means an end entity. */
export function readBasicConstraints(node: Asn1 | undefined): { ca: boolean; pathLength: number | undefined } {
  if (node === undefined) return { ca: false, pathLength: undefined }
  const items = itemsOf(node)
  const ca = isBool(items[0]) && bytesOf(items[0])[0] !== 0
  const length = isBool(items[0]) ? items[1] : items[0]
  return { ca, pathLength: length === undefined ? undefined : Number.parseInt(integerOf(length).toString('hex'), 16) }
}

/** Whether a KeyUsage holds keyCertSign; an absent one allows everything (RFC 5280 section 4.2.1.3). */
export function readsAsCertSigner(node: Asn1 | undefined): boolean {
  return node === undefined || ((bytesOf(node)[1] ?? 0) & KEY_CERT_SIGN_BIT) !== 0
}

function readCommonName(subject: Asn1): string {
  for (const set of itemsOf(subject)) {
    for (const attribute of setItemsOf(set)) {
      const parts = itemsOf(attribute)
      if (oidHexOf(parts[0]) === oidHex(OIDS.commonName)) return bytesOf(parts[1]).toString('utf8')
    }
  }
  return ''
}

/** Reads one certificate (the first block of the text). Throws `CaError` `certificate-malformed`. */
export function readCertificate(pem: string): Certificate {
  try {
    const block = readPem(pem).find(entry => entry.label === 'CERTIFICATE')
    if (block === undefined) throw new DerError('no PEM block "CERTIFICATE"')
    const { der } = block
    const x509 = new X509Certificate(der)
    const fields = tbsFields(der)
    const extensions = readExtensions(fields.extensions)
    const { ca, pathLength } = readBasicConstraints(extensions.get(EXTENSION_OIDS.basicConstraints))
    const ski = extensions.get(EXTENSION_OIDS.subjectKeyId)
    return {
      pem: writePem('CERTIFICATE', der),
      der,
      serial: fields.serial[0] === 0 && fields.serial.length > 1 ? fields.serial.subarray(1) : fields.serial,
      subject: fields.subject,
      publicKey: x509.publicKey,
      keySpec: keySpecOf(x509.publicKey),
      notBeforeMs: readTime(fields.notBefore!),
      notAfterMs: readTime(fields.notAfter!),
      subjectKeyId: ski === undefined ? keyId(writeDer(fields.spki)) : octetsOf(ski),
      names: readNames(extensions.get(EXTENSION_OIDS.subjectAltName)),
      ca,
      pathLength,
      canSignCertificates: ca && readsAsCertSigner(extensions.get(EXTENSION_OIDS.keyUsage)),
      commonName: readCommonName(fields.subject),
      sha1: createHash('sha1').update(der).digest('hex'),
      x509,
    }
  } catch (error) {
    throw new CaError('certificate-malformed', `a certificate can't be read: ${reasonOf(error)}`, error)
  }
}

/** Whether `child` is issued and signed by `parent`. */
export function isIssuedBy(child: Certificate, parent: Certificate): boolean {
  return child.x509.checkIssued(parent.x509) && child.x509.verify(parent.publicKey)
}
