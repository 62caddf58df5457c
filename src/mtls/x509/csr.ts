// Certificate requests (PKCS#10): making one for an identity, and judging one that came from outside.
// Called by the authority. Invariant: `checkCsr` returns only a request whose signature proves possession of its key, whose key is
// of an accepted kind, and which names exactly the one identity that the caller has authorised; every other request leaves with a
// code of its own. Nothing of the subject or of the other requested extensions is taken over. Source: RFC 2986.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { parseSpiffeId } from '../spiffe.js'
import { CaError, reasonOf } from './certificate-error.js'
import {
  type Asn1,
  bits,
  DerError,
  integer,
  integerOf,
  isTagged,
  itemsOf,
  oid,
  oidHex,
  oidHexOf,
  readDer,
  readPem,
  sequence,
  set,
  setItemsOf,
  tagged,
  taggedItemsOf,
  wholeBitsOf,
  writeDer,
  writePem,
} from './der.js'
import { CURVE_OIDS, keySpecOf, SIGNATURE_ALGORITHMS, signatureAlgorithmOf, signDer, spkiDer } from './keys.js'
import {
  canonicalIp,
  EXTENSION_OIDS,
  emptyName,
  type Names,
  readBasicConstraints,
  readExtensions,
  readNames,
  readsAsCertSigner,
  subjectAltName,
} from './x509.js'

/** Longest request read, in characters of PEM; one with an RSA 4096 key has about 1,700. */
export const MAX_CSR_CHARS = 16 * 1024
/** RSA sizes accepted in a request. */
const RSA_BITS = { min: 2048, max: 4096 }
const MAX_RSA_EXPONENT = 0x7fffffffn
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const EC_PUBLIC_KEY = oidHex('1.2.840.10045.2.1')
const RSA_ENCRYPTION = oidHex('1.2.840.113549.1.1.1')

/** A request as read, its signature verified. */
export interface Csr {
  readonly publicKey: KeyObject
  readonly names: Names
  /** Names of other types than URI, DNS and IP address. */
  readonly otherNames: number
  readonly caRequested: boolean
}

/** A request for one identity: empty subject, critical SAN with the URI and, for gateways, DNS names. Returns PEM. */
export function createCsr(key: KeyObject, names: Names): string {
  const attribute = sequence(oid(EXTENSION_REQUEST), set(sequence(subjectAltName(names, true))))
  const info = sequence(integer(Buffer.from([0])), emptyName(), readDer(spkiDer(createPublicKey(key))), tagged(0, [attribute]))
  const signature = signDer(writeDer(info), key)
  return writePem('CERTIFICATE REQUEST', writeDer(sequence(info, signatureAlgorithmOf(key), bits(signature))))
}

/**
 * The public key of a request. Its algorithm is looked at before OpenSSL sees it: a curve given by explicit parameters has hung
 * OpenSSL (CVE-2022-0778), and a compressed point is a second spelling of the same key.
 */
function readPublicKey(spki: Asn1): KeyObject {
  const [algorithm, point] = itemsOf(spki)
  const parts = itemsOf(algorithm)
  const type = oidHexOf(parts[0])
  if (type === EC_PUBLIC_KEY) {
    let curve: string
    try {
      curve = oidHexOf(parts[1])
    } catch {
      throw new CaError('csr-key-type', 'the EC key of the request names no curve; explicit curve parameters are refused')
    }
    if (!CURVE_OIDS.has(curve))
      throw new CaError('csr-key-type', 'the EC key of the request is on none of the curves P-224, P-256, P-384, P-521')
    if (wholeBitsOf(point)[0] !== 4) throw new CaError('csr-key-type', 'the EC point of the request is not in uncompressed form')
  } else if (type !== RSA_ENCRYPTION) {
    throw new CaError('csr-key-type', 'the key of the request is neither EC nor RSA')
  }
  let key: KeyObject
  try {
    key = createPublicKey({ key: writeDer(spki), format: 'der', type: 'spki' })
  } catch (error) {
    throw new CaError('csr-malformed', "the public key of the request can't be read", error)
  }
  const spec = keySpecOf(key)
  if (spec?.type === 'rsa') {
    if (spec.bits < RSA_BITS.min || spec.bits > RSA_BITS.max) {
      throw new CaError('csr-key-size', `the RSA key of the request has ${spec.bits} bits, accepted are ${RSA_BITS.min} to ${RSA_BITS.max}`)
    }
    const exponent = key.asymmetricKeyDetails?.publicExponent ?? 0n
    if (exponent < 3n || exponent % 2n === 0n || exponent > MAX_RSA_EXPONENT) {
      throw new CaError('csr-key-type', 'the RSA exponent of the request is not an odd number from 3 to 2^31 - 1')
    }
  } else if (spec === undefined) {
    throw new CaError('csr-key-type', 'the key of the request is neither EC nor RSA')
  }
  return key
}

function readRequestedExtensions(attributes: Asn1[]): Map<string, Asn1> {
  const requests = attributes.filter(item => oidHexOf(itemsOf(item)[0]) === oidHex(EXTENSION_REQUEST))
  if (requests.length === 0) return new Map()
  if (requests.length > 1) throw new DerError('the extension request stands twice')
  const values = setItemsOf(itemsOf(requests[0])[1])
  if (values.length !== 1) throw new DerError('the extension request does not hold exactly one value')
  return readExtensions(itemsOf(values[0]))
}

/** Reads a request and verifies its signature. Throws `CaError` with a `csr-` code. */
export function readCsr(pem: string): Csr {
  if (pem.length > MAX_CSR_CHARS)
    throw new CaError('csr-too-large', `the request is ${pem.length} characters long, the limit is ${MAX_CSR_CHARS}`)
  try {
    const blocks = readPem(pem)
    const label = blocks[0]?.label
    if (blocks.length !== 1 || (label !== 'CERTIFICATE REQUEST' && label !== 'NEW CERTIFICATE REQUEST')) {
      throw new DerError('expected exactly one PEM block "CERTIFICATE REQUEST"')
    }
    const request = itemsOf(readDer(blocks[0]!.der))
    const info = itemsOf(request[0])
    if (request.length !== 3 || info.length < 3 || info.length > 4) throw new DerError('not a PKCS#10 structure')
    if (!integerOf(info[0]).equals(Buffer.from([0]))) throw new DerError('the version is not 0')
    const publicKey = readPublicKey(info[2]!)
    const algorithm = SIGNATURE_ALGORITHMS.get(oidHexOf(itemsOf(request[1])[0]))
    if (algorithm === undefined || algorithm.key !== publicKey.asymmetricKeyType) {
      throw new CaError('csr-signature-algorithm', 'the request must be signed with its own key and SHA-256, SHA-384 or SHA-512')
    }
    if (!verify(algorithm.hash, writeDer(request[0]!), publicKey, wholeBitsOf(request[2]))) {
      throw new CaError('csr-signature', 'the signature of the request does not match its key')
    }
    if (info.length === 4 && !isTagged(info[3], 0)) throw new DerError('the attributes are not tagged [0]')
    const extensions = readRequestedExtensions(info.length === 4 ? taggedItemsOf(info[3]!) : [])
    const names = readNames(extensions.get(EXTENSION_OIDS.subjectAltName))
    const usage = extensions.get(EXTENSION_OIDS.keyUsage)
    return {
      publicKey,
      names: { uris: names.uris, dns: names.dns, ...(names.ips.length === 0 ? {} : { ips: names.ips }) },
      otherNames: names.others,
      caRequested:
        readBasicConstraints(extensions.get(EXTENSION_OIDS.basicConstraints)).ca || (usage !== undefined && readsAsCertSigner(usage)),
    }
  } catch (error) {
    if (error instanceof CaError) throw error
    throw new CaError('csr-malformed', `the request can't be read: ${reasonOf(error)}`, error)
  }
}

/** What the caller has authorised: the identity, and the DNS names that a gateway may carry besides. */
export interface AuthorisedIdentity {
  readonly uri: string
  readonly trustDomain: string
  readonly dnsSans: readonly string[]
  /** Of a server's certificate made here; nobody else is given one. */
  readonly ipSans?: readonly string[]
}

/** Reads a request and holds it against the authorised identity. Throws `CaError` with a `csr-` code, the first rule broken. */
export function checkCsr(pem: string, authorised: AuthorisedIdentity): Csr {
  const csr = readCsr(pem)
  if (csr.caRequested) throw new CaError('csr-ca-requested', 'the request asks for a CA certificate')
  const { ips = [] } = csr.names
  const allowedIps = new Set(authorised.ipSans?.map(canonicalIp))
  if (csr.otherNames > 0 || ips.some(ip => !allowedIps.has(ip)))
    throw new CaError('csr-san-type', 'the request holds a SAN that is neither a URI nor a DNS name')
  const { uris, dns } = csr.names
  if (uris.length === 0) throw new CaError('csr-no-uri-san', 'the request holds no URI SAN')
  if (uris.length > 1) throw new CaError('csr-several-uri-sans', `the request holds ${uris.length} URI SANs, exactly one is allowed`)
  const uri = uris[0]!
  const parsed = parseSpiffeId(uri)
  if (!parsed.ok) throw new CaError('csr-spiffe-syntax', `the URI SAN of the request is no SPIFFE id: ${parsed.error.reason}`)
  if (parsed.id.trustDomain !== authorised.trustDomain) {
    throw new CaError(
      'csr-trust-domain',
      `the request is for the trust domain ${parsed.id.trustDomain}, this CA signs for ${authorised.trustDomain}`,
    )
  }
  if (uri !== authorised.uri) throw new CaError('csr-identity', `the request is for ${uri}, authorised is ${authorised.uri}`)
  const allowed = new Set(authorised.dnsSans)
  for (const name of dns) {
    if (!allowed.has(name))
      throw new CaError('csr-dns-san', `the request holds the DNS SAN ${JSON.stringify(name.slice(0, 255))}, which is not authorised`)
  }
  if (new Set(dns).size !== dns.length) throw new CaError('csr-dns-san', 'the request holds a DNS SAN twice')
  return csr
}
