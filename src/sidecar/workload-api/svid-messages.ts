// What the Workload API sends, read: identities and trust bundles as PEM, everything checked that the SPIFFE specifications want checked (X509-SVID,
// sections 2 to 5; Workload API, section 4.5). Called by WorkloadApiClient with each message of a stream. Pure. Invariant: a message with one
// thing wrong is refused whole, with the place and the reason and no key material; what was held before stays.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { CertificateIdentity } from '../../mtls/peer/certificate-identity.js'
import { parseSpiffeId } from '../../mtls/spiffe.js'
import { reasonOf } from '../../mtls/x509/certificate-error.js'
import { writePem } from '../../mtls/x509/der.js'
import type { X509BundlesResponse, X509SVID, X509SVIDResponse } from '../../xds/gen/spiffe/workload_pb.js'

/** Identities of one message; more are refused. */
export const MAX_SVIDS = 256
/** Trust domains of one message. */
export const MAX_BUNDLES = 1024
/** Certificates of one chain or bundle. */
const MAX_CERTIFICATES = 256

export interface Svid {
  readonly id: string
  /** '' or what its operator calls it by. */
  readonly hint: string
  /** `spiffe://…`, its trust domain's id. */
  readonly trustDomainId: string
  readonly chainPem: string
  readonly keyPem: string
}

/** Trust domain id (`spiffe://example.org`) -> PEM. */
export type Bundles = ReadonlyMap<string, string>

/** What a workload is, and whom it may trust: of its own trust domains and of federated ones. */
export interface WorkloadSvids {
  readonly svids: readonly Svid[]
  readonly bundles: Bundles
  /** Of all trust domains; '' where there is none. */
  readonly crlPem: string
}

export type WorkloadBundles = Pick<WorkloadSvids, 'bundles' | 'crlPem'>

class MessageError extends Error {}

export type ReadMessage<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string }

export function readSvids({ svids, federatedBundles, crl }: X509SVIDResponse): ReadMessage<WorkloadSvids> {
  return reading(() => {
    if (svids.length === 0) throw new MessageError('svids: there is none')
    if (svids.length > MAX_SVIDS) throw new MessageError(`svids: there are ${svids.length}, the limit is ${MAX_SVIDS}`)
    const bundles = new Map(readBundleMap(federatedBundles, 'federated_bundles'))
    const read = svids.map((svid, i) => {
      const at = `svids[${i}]`
      const value = readSvid(svid, at)
      // Of several identities of one trust domain each brings the same bundle.
      bundles.set(value.trustDomainId, readBundle(svid.bundle, `${at}.bundle`))
      return value
    })
    return { svids: read, bundles, crlPem: readLists(crl) }
  })
}

export function readBundles({ bundles, crl }: X509BundlesResponse): ReadMessage<WorkloadBundles> {
  return reading(() => {
    const read = readBundleMap(bundles, 'bundles')
    if (read.size === 0) throw new MessageError('bundles: there is none')
    return { bundles: read, crlPem: readLists(crl) }
  })
}

function reading<T>(read: () => T): ReadMessage<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (!(error instanceof MessageError)) throw error
    return { ok: false, reason: error.message }
  }
}

function readSvid({ spiffeId, x509Svid, x509SvidKey, hint }: X509SVID, at: string): Svid {
  const parsed = parseSpiffeId(spiffeId)
  if (!parsed.ok) throw new MessageError(`${at}.spiffe_id: ${parsed.error.reason}`)
  if (parsed.id.path === '') throw new MessageError(`${at}.spiffe_id: '${spiffeId}' is a trust domain, not a workload of it`)
  const chain = readCertificates(x509Svid, `${at}.x509_svid`)
  const key = readKey(x509SvidKey, `${at}.x509_svid_key`)
  checkLeaf(chain[0]!, spiffeId, key, at)
  return {
    id: spiffeId,
    hint,
    trustDomainId: `spiffe://${parsed.id.trustDomain}`,
    chainPem: chain.map(pemOf).join(''),
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

function checkLeaf(leaf: X509Certificate, id: string, key: KeyObject, at: string): void {
  let identity: CertificateIdentity
  try {
    identity = new CertificateIdentity(leaf, true)
  } catch (error) {
    throw new MessageError(`${at}.x509_svid: ${reasonOf(error)}`)
  }
  if (identity.uriSans.length !== 1 || identity.uriSans[0] !== id)
    throw new MessageError(`${at}.x509_svid: its URI SANs are ${JSON.stringify(identity.uriSans.slice(0, 4))}, not '${id}' alone`)
  if (identity.ca || identity.mayCertSign) throw new MessageError(`${at}.x509_svid: the first certificate is one of a CA`)
  if (!leaf.checkPrivateKey(key)) throw new MessageError(`${at}.x509_svid_key: does not belong to the certificate`)
}

function readKey(der: Uint8Array, at: string): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  } catch (error) {
    throw new MessageError(`${at}: is no private key in PKCS#8: ${reasonOf(error)}`)
  }
}

function readBundleMap(map: Readonly<Record<string, Uint8Array>>, at: string): Map<string, string> {
  const entries = Object.entries(map)
  if (entries.length > MAX_BUNDLES) throw new MessageError(`${at}: there are ${entries.length}, the limit is ${MAX_BUNDLES}`)
  return new Map(
    entries.map(([id, der]) => {
      const parsed = parseSpiffeId(id)
      if (!parsed.ok || parsed.id.path !== '') throw new MessageError(`${at}: '${id}' is no id of a trust domain`)
      return [id, readBundle(der, `${at}['${id}']`)]
    }),
  )
}

function readBundle(der: Uint8Array, at: string): string {
  return readCertificates(der, at).map(pemOf).join('')
}

/** DER certificates one after the other; at least one. */
function readCertificates(bytes: Uint8Array, at: string): X509Certificate[] {
  const values = splitDer(bytes, at)
  if (values.length === 0) throw new MessageError(`${at}: there is no certificate`)
  try {
    return values.map(der => new X509Certificate(der))
  } catch (error) {
    throw new MessageError(`${at}: is no certificate in DER: ${reasonOf(error)}`)
  }
}

function readLists(lists: readonly Uint8Array[]): string {
  if (lists.length > MAX_BUNDLES) throw new MessageError(`crl: there are ${lists.length}, the limit is ${MAX_BUNDLES}`)
  return lists.map(der => writePem('X509 CRL', Buffer.from(der))).join('')
}

const SEQUENCE = 0x30

/** Where one DER value ends and the next begins: tag and length of each are enough. */
function splitDer(bytes: Uint8Array, at: string): Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values: Buffer[] = []
  for (let start = 0; start < buffer.length; ) {
    const first = buffer[start + 1]
    const lengthBytes = first !== undefined && first > 0x80 ? first - 0x80 : 0
    if (buffer[start] !== SEQUENCE || first === undefined || first === 0x80 || lengthBytes > 4 || start + 2 + lengthBytes > buffer.length)
      throw new MessageError(`${at}: is not DER at byte ${start}`)
    const length = lengthBytes === 0 ? first : buffer.readUIntBE(start + 2, lengthBytes)
    const end = start + 2 + lengthBytes + length
    if (end > buffer.length) throw new MessageError(`${at}: the value at byte ${start} is cut off`)
    if (values.length === MAX_CERTIFICATES) throw new MessageError(`${at}: there are more than ${MAX_CERTIFICATES} certificates`)
    values.push(buffer.subarray(start, end))
    start = end
  }
  return values
}

function pemOf(certificate: X509Certificate): string {
  return writePem('CERTIFICATE', certificate.raw)
}
