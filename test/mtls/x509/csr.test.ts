import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { CaError } from '../../../src/mtls/x509/certificate-error.js'
import { checkCsr, createCsr, MAX_CSR_CHARS, readCsr } from '../../../src/mtls/x509/csr.js'
import {
  type Asn1,
  bits,
  bool,
  integer,
  itemsOf,
  nul,
  octets,
  oid,
  readDer,
  readPem,
  sequence,
  set,
  tagged,
  writeDer,
  writePem,
} from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { commonName, emptyName } from '../../../src/mtls/x509/x509.js'
import { makeCa, seeded } from '../ca/support.js'

const td = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee.consul'
const web = `spiffe://${td}/ns/default/dc/dc1/svc/web`
const api = `spiffe://${td}/ns/default/dc/dc1/svc/api`
const authorised = { uri: web, trustDomain: td, dnsSans: [] }

let key: KeyObject
beforeAll(async () => {
  key = await generateKey({ type: 'ec', bits: 256 })
})

const uriName = (uri: string): Asn1 => tagged(6, Buffer.from(uri, 'latin1'))
const extension = (id: string, content: Asn1): Asn1 => sequence(oid(id), bool(true), octets(writeDer(content)))
const san = (...names: Asn1[]): Asn1 => extension('2.5.29.17', sequence(...names))
const requested = (...extensions: Asn1[]): Asn1 => sequence(oid('1.2.840.113549.1.9.14'), set(sequence(...extensions)))

/** A request as an attacker would make it: every part can be replaced. */
function request(parts: {
  extensions?: Asn1[]
  attributes?: Asn1[]
  spki?: Asn1
  signer?: KeyObject
  subject?: Asn1
  algorithm?: Asn1
  hash?: string
  version?: number
}): string {
  const signer = parts.signer ?? key
  const spki = parts.spki ?? readDer(createPublicKey(signer).export({ type: 'spki', format: 'der' }))
  const attributes = parts.attributes ?? [requested(...(parts.extensions ?? [san(uriName(web))]))]
  const info = sequence(integer(Buffer.from([parts.version ?? 0])), parts.subject ?? emptyName(), spki, tagged(0, attributes))
  const signature = sign(parts.hash ?? 'sha256', writeDer(info), signer)
  const algorithm = parts.algorithm ?? sequence(oid('1.2.840.10045.4.3.2'))
  return writePem('CERTIFICATE REQUEST', writeDer(sequence(info, algorithm, bits(signature))))
}

function codeOf(pem: string, identity = authorised): string {
  try {
    checkCsr(pem, identity)
    return 'ok'
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    expect(error.message).not.toContain('\n')
    return error.code
  }
}

describe('requests that are signed', () => {
  it.each([
    ['ec', 224],
    ['ec', 256],
    ['ec', 384],
    ['ec', 521],
    ['rsa', 2048],
  ] as const)('of %s %i keys', async (type, size) => {
    const own = await generateKey({ type, bits: size })
    const csr = checkCsr(createCsr(own, { uris: [web], dns: [] }), authorised)
    expect(csr.names).toEqual({ uris: [web], dns: [] })
    expect(csr.publicKey.equals(createPublicKey(own))).toBe(true)
  })

  it('signed with SHA-384 or SHA-512, with a subject, with the old PEM label, without the tag of an empty key usage', () => {
    expect(codeOf(request({ hash: 'sha384', algorithm: sequence(oid('1.2.840.10045.4.3.3')) }))).toBe('ok')
    expect(codeOf(request({ hash: 'sha512', algorithm: sequence(oid('1.2.840.10045.4.3.4')) }))).toBe('ok')
    expect(codeOf(request({ subject: commonName('web') }))).toBe('ok')
    expect(codeOf(request({}).replaceAll('CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'))).toBe('ok')
    expect(codeOf(request({ extensions: [san(uriName(web)), extension('2.5.29.15', bits(Buffer.from([0x80]), 7))] }))).toBe('ok')
    expect(codeOf(request({ extensions: [san(uriName(web)), extension('2.5.29.19', sequence())] }))).toBe('ok')
  })

  it('lose their subject and whatever else they asked for', async () => {
    const { ca, uri } = makeCa()
    await ca.init()
    const wish = extension('2.5.29.32', sequence(sequence(oid('2.5.29.32.0'))))
    const pem = request({ subject: commonName('root'), extensions: [san(uriName(uri('web'))), wish] })
    const leaf = new X509Certificate((await ca.signer.sign(pem, { uri: uri('web') })).certPem)
    // Node 24 and later say '' of an empty name.
    expect(leaf.subject || undefined).toBeUndefined()
    expect(leaf.raw.includes(Buffer.from('551d20', 'hex'))).toBe(false)
    expect(leaf.publicKey.equals(createPublicKey(key))).toBe(true)
  })

  it('may hold exactly the DNS names that are authorised', () => {
    const csr = createCsr(key, { uris: [web], dns: ['a.example'] })
    expect(codeOf(csr, { ...authorised, dnsSans: ['a.example', 'b.example'] } as never)).toBe('ok')
    expect(codeOf(csr)).toBe('csr-dns-san')
    expect(codeOf(csr, { ...authorised, dnsSans: ['A.example'] } as never)).toBe('csr-dns-san')
    expect(
      codeOf(createCsr(key, { uris: [web], dns: ['a.example', 'a.example'] }), { ...authorised, dnsSans: ['a.example'] } as never),
    ).toBe('csr-dns-san')
  })
})

describe('requests that are refused', () => {
  it('CVE-2022-40716 class, golang/vulndb#1029: several URI SANs', () => {
    expect(codeOf(createCsr(key, { uris: [web, api], dns: [] }))).toBe('csr-several-uri-sans')
    expect(codeOf(createCsr(key, { uris: [web, web], dns: [] }))).toBe('csr-several-uri-sans')
    expect(codeOf(request({ extensions: [san(uriName(web)), san(uriName(api))] }))).toBe('csr-malformed')
    const twice = [requested(san(uriName(web))), requested(san(uriName(api)))]
    expect(codeOf(request({ attributes: twice }))).toBe('csr-malformed')
    const twoValues = sequence(oid('1.2.840.113549.1.9.14'), set(sequence(san(uriName(web))), sequence(san(uriName(api)))))
    expect(codeOf(request({ attributes: [twoValues] }))).toBe('csr-malformed')
  })

  it('CVE-2022-40716 class: another service, none, another trust domain', () => {
    expect(codeOf(createCsr(key, { uris: [api], dns: [] }))).toBe('csr-identity')
    expect(codeOf(createCsr(key, { uris: [web.replace('dc1', 'dc2')], dns: [] }))).toBe('csr-identity')
    expect(codeOf(createCsr(key, { uris: [], dns: [] }))).toBe('csr-no-uri-san')
    expect(codeOf(request({ attributes: [] }))).toBe('csr-no-uri-san')
    expect(codeOf(createCsr(key, { uris: [web.replace(td, 'other.consul')], dns: [] }))).toBe('csr-trust-domain')
  })

  it('consul#23900: a name that looks alike is another name', () => {
    expect(
      codeOf(createCsr(key, { uris: [api.replace('/api', '/web.api')], dns: [] }), { ...authorised, uri: api.replace('/api', '/web-api') }),
    ).toBe('csr-identity')
  })

  it.each([
    ['?a=b', 'query'],
    ['#a', 'fragment'],
    ['/', '"/"'],
    ['/../api', '..'],
    ['%00', 'percent-encoded'],
    ['\0evil', 'letters'],
    [',URI:x', 'letters'],
  ])('SPIFFE spec negatives: the id followed by %j', (suffix, reason) => {
    const pem = createCsr(key, { uris: [web + suffix], dns: [] })
    expect(codeOf(pem)).toBe('csr-spiffe-syntax')
    expect(() => checkCsr(pem, authorised)).toThrow(reason)
  })

  it('SPIFFE spec negatives: upper-case trust domain, port, userinfo, over 2048 bytes', () => {
    for (const uri of [
      web.replace(td, td.toUpperCase()),
      web.replace(td, `${td}:8443`),
      web.replace(td, `root@${td}`),
      web + 'a'.repeat(2048),
    ]) {
      expect(codeOf(createCsr(key, { uris: [uri], dns: [] }))).toBe('csr-spiffe-syntax')
    }
  })

  it('SPIFFE spec negatives: CA:TRUE or keyCertSign asked for', () => {
    expect(codeOf(request({ extensions: [san(uriName(web)), extension('2.5.29.19', sequence(bool(true)))] }))).toBe('csr-ca-requested')
    expect(codeOf(request({ extensions: [san(uriName(web)), extension('2.5.29.15', bits(Buffer.from([0x04]), 2))] }))).toBe(
      'csr-ca-requested',
    )
  })

  it('CVE-2025-66220, CVE-2022-21656: SANs of other types, and a SPIFFE id in a DNS SAN', () => {
    const otherName = tagged(0, [oid('1.3.6.1.4.1.311.20.2.3'), tagged(0, [octets(Buffer.from('victim\0evil'))])])
    expect(codeOf(request({ extensions: [san(uriName(web), otherName)] }))).toBe('csr-san-type')
    expect(codeOf(request({ extensions: [san(uriName(web), tagged(7, Buffer.from([127, 0, 0, 1])))] }))).toBe('csr-san-type')
    expect(codeOf(request({ extensions: [san(uriName(web), tagged(1, Buffer.from('a@b')))] }))).toBe('csr-san-type')
    expect(codeOf(request({ extensions: [san(tagged(2, Buffer.from(web)))] }))).toBe('csr-no-uri-san')
    expect(codeOf(request({ extensions: [san(uriName(web), tagged(2, Buffer.from(api)))] }))).toBe('csr-dns-san')
  })

  it('a signature by another key, over other content, or damaged', async () => {
    const other = await generateKey({ type: 'ec', bits: 256 })
    const spki = readDer(createPublicKey(other).export({ type: 'spki', format: 'der' }))
    expect(codeOf(request({ spki }))).toBe('csr-signature')
    const whole = itemsOf(readDer(readPem(createCsr(key, { uris: [web], dns: [] }))[0]!.der))
    const foreign = itemsOf(readDer(readPem(createCsr(key, { uris: [api], dns: [] }))[0]!.der))
    const mixed = writePem('CERTIFICATE REQUEST', writeDer(sequence(foreign[0]!, whole[1]!, whole[2]!)))
    expect(codeOf(mixed, { ...authorised, uri: api })).toBe('csr-signature')
    const empty = writePem('CERTIFICATE REQUEST', writeDer(sequence(whole[0]!, whole[1]!, bits(Buffer.alloc(0)))))
    expect(codeOf(empty)).toBe('csr-signature')
  })

  it('CVE-2022-21449 class: a signature of zeros', () => {
    const whole = itemsOf(readDer(readPem(createCsr(key, { uris: [web], dns: [] }))[0]!.der))
    const zeros = writeDer(sequence(integer(Buffer.from([0])), integer(Buffer.from([0]))))
    expect(codeOf(writePem('CERTIFICATE REQUEST', writeDer(sequence(whole[0]!, whole[1]!, bits(zeros)))))).toBe('csr-signature')
  })

  it('SHA-1, an unknown algorithm, one of another key type', () => {
    const code = 'csr-signature-algorithm'
    expect(codeOf(request({ hash: 'sha1', algorithm: sequence(oid('1.2.840.10045.4.1')) }))).toBe(code)
    expect(codeOf(request({ algorithm: sequence(oid('1.2.3.4')) }))).toBe(code)
    expect(codeOf(request({ algorithm: sequence(oid('1.2.840.113549.1.1.11'), nul()) }))).toBe(code)
  })

  it('CVE-2022-0778: explicit curve parameters never reach OpenSSL; nor do compressed points and foreign curves', () => {
    const point = Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)])
    const ec = (parameters: Asn1, at = point) => sequence(sequence(oid('1.2.840.10045.2.1'), parameters), bits(at))
    const explicit = sequence(integer(Buffer.from([1])), sequence(oid('1.2.840.10045.1.1'), integer(Buffer.from([17]))))
    expect(codeOf(request({ spki: ec(explicit) }))).toBe('csr-key-type')
    expect(codeOf(request({ spki: ec(oid('1.2.840.10045.3.1.7'), Buffer.concat([Buffer.from([2]), Buffer.alloc(32, 1)])) }))).toBe(
      'csr-key-type',
    )
    expect(codeOf(request({ spki: ec(oid('1.3.132.0.10')) }))).toBe('csr-key-type')
    expect(codeOf(request({ spki: ec(oid('1.2.840.10045.3.1.7')) }))).toBe('csr-malformed')
  })

  it('Ed25519 keys, small and huge RSA keys, an RSA exponent of 1', () => {
    const ed = generateKeyPairSync('ed25519')
    const spki = readDer(ed.publicKey.export({ type: 'spki', format: 'der' }))
    expect(codeOf(request({ spki }))).toBe('csr-key-type')
    const rsa = (modulus: Buffer, exponent: number) =>
      sequence(sequence(oid('1.2.840.113549.1.1.1'), nul()), bits(writeDer(sequence(integer(modulus), integer(Buffer.from([exponent]))))))
    const modulus = (bytes: number) => Buffer.concat([Buffer.from([0xc1]), Buffer.alloc(bytes - 1, 0x5b)])
    expect(codeOf(request({ spki: rsa(modulus(128), 3) }))).toBe('csr-key-size')
    expect(codeOf(request({ spki: rsa(modulus(1024), 3) }))).toBe('csr-key-size')
    expect(codeOf(request({ spki: rsa(modulus(256), 1) }))).toBe('csr-key-type')
  })

  it('what is no request: other PEM, several blocks, cut off, too long, BER, another version', () => {
    const good = createCsr(key, { uris: [web], dns: [] })
    expect(codeOf('')).toBe('csr-malformed')
    expect(codeOf(privateKeyPem(key))).toBe('csr-malformed')
    expect(codeOf(good + good)).toBe('csr-malformed')
    expect(codeOf(good.slice(0, -30))).toBe('csr-malformed')
    expect(codeOf(`${good}${' '.repeat(MAX_CSR_CHARS)}`)).toBe('csr-too-large')
    expect(codeOf(request({ version: 1 }))).toBe('csr-malformed')
    const der = readPem(good)[0]!.der
    expect(codeOf(writePem('CERTIFICATE REQUEST', Buffer.concat([der, Buffer.from([5, 0])])))).toBe('csr-malformed')
    // The same structure with a length of more bytes than needed: BER, not DER.
    const content = der.subarray(der[1] === 0x81 ? 3 : 4)
    const long = Buffer.concat([Buffer.from([0x30, 0x83, 0, content.length >> 8, content.length & 255]), content])
    expect(codeOf(writePem('CERTIFICATE REQUEST', long))).toBe('csr-malformed')
    // CVE-2025-66031: nesting without end.
    let nested = Buffer.alloc(0)
    for (let i = 0; i < 2000; i++) nested = writeDerHeader(nested)
    expect(codeOf(writePem('CERTIFICATE REQUEST', nested))).toBe('csr-malformed')
  })

  it('anything else: fuzzed bytes give a code, never another error and never a signature', () => {
    const der = readPem(createCsr(key, { uris: [web], dns: [] }))[0]!.der
    const random = seeded(11)
    for (let i = 0; i < 400; i++) {
      const bad = Buffer.from(der)
      const at = Math.floor(random() * bad.length)
      bad[at] = bad[at]! ^ (1 << Math.floor(random() * 8))
      expect(codeOf(writePem('CERTIFICATE REQUEST', bad))).toMatch(/^csr-/)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes =>
        codeOf(writePem('CERTIFICATE REQUEST', Buffer.from(bytes))).startsWith('csr-'),
      ),
      { seed: 5, numRuns: 300 },
    )
  })
})

function writeDerHeader(content: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const { length } = content
  const header = length < 128 ? [0x30, length] : length < 256 ? [0x30, 0x81, length] : [0x30, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(header), content])
}

it('a request made here is read by nobody as somebody else: the key stays the one that signed', () => {
  const csr = readCsr(createCsr(key, { uris: [web], dns: [] }))
  expect(csr.publicKey.equals(createPublicKey(createPrivateKey(privateKeyPem(key))))).toBe(true)
  expect(csr).toMatchObject({ caRequested: false, otherNames: 0 })
})
