// Key pairs and signatures, all by node:crypto: which types and sizes there are, how a key is made, named and used to sign DER.
// Called by x509.ts, csr.ts, the providers and the authority. Source: Consul's PrivateKeyType and PrivateKeyBits.
import { createHash, createPrivateKey, generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { CaError } from './certificate-error.js'
import { type Asn1, nul, oid, oidHex, sequence } from './der.js'

export type KeyType = 'ec' | 'rsa'
export interface KeySpec {
  readonly type: KeyType
  /** ec: 224, 256, 384 or 521; rsa: 2048 or 4096. */
  readonly bits: number
}

const CURVE_OF_BITS = new Map([
  [224, 'secp224r1'],
  [256, 'prime256v1'],
  [384, 'secp384r1'],
  [521, 'secp521r1'],
])
const BITS_OF_CURVE = new Map([...CURVE_OF_BITS].map(([size, curve]) => [curve, size]))
const RSA_SIZES = [2048, 4096]

/** OIDs of the named curves accepted in a public key, as hex of their content. */
export const CURVE_OIDS: ReadonlySet<string> = new Set(['1.3.132.0.33', '1.2.840.10045.3.1.7', '1.3.132.0.34', '1.3.132.0.35'].map(oidHex))

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11'

/** Signature algorithms accepted in a request: OID (hex) -> key type and hash. SHA-1 and MD5 are not among them. */
export const SIGNATURE_ALGORITHMS: ReadonlyMap<string, { readonly key: KeyType; readonly hash: string }> = new Map([
  [oidHex(ECDSA_WITH_SHA256), { key: 'ec', hash: 'sha256' }],
  [oidHex('1.2.840.10045.4.3.3'), { key: 'ec', hash: 'sha384' }],
  [oidHex('1.2.840.10045.4.3.4'), { key: 'ec', hash: 'sha512' }],
  [oidHex(SHA256_WITH_RSA), { key: 'rsa', hash: 'sha256' }],
  [oidHex('1.2.840.113549.1.1.12'), { key: 'rsa', hash: 'sha384' }],
  [oidHex('1.2.840.113549.1.1.13'), { key: 'rsa', hash: 'sha512' }],
])

/** Why a key type and size can't be had, or `undefined`. */
export function checkKeySpec(spec: KeySpec): string | undefined {
  if (spec.type === 'ec') return CURVE_OF_BITS.has(spec.bits) ? undefined : `an ec key has 224, 256, 384 or 521 bits, not ${spec.bits}`
  if (spec.type === 'rsa') return RSA_SIZES.includes(spec.bits) ? undefined : `an rsa key has 2048 or 4096 bits, not ${spec.bits}`
  return `the key type is "ec" or "rsa", not ${JSON.stringify(spec.type)}`
}

const generate = promisify(generateKeyPair)

/** Makes a private key off the main thread (RSA 4096 takes seconds). Throws `CaError` `config` for an impossible spec. */
export async function generateKey(spec: KeySpec): Promise<KeyObject> {
  const problem = checkKeySpec(spec)
  if (problem !== undefined) throw new CaError('config', problem)
  const pair =
    spec.type === 'ec'
      ? await generate('ec', { namedCurve: CURVE_OF_BITS.get(spec.bits)! })
      : await generate('rsa', { modulusLength: spec.bits, publicExponent: 0x10001 })
  return pair.privateKey
}

/** The type and size of a key; `undefined` for a key that is neither EC on one of the four curves nor RSA. */
export function keySpecOf(key: KeyObject): KeySpec | undefined {
  if (key.asymmetricKeyType === 'ec') {
    const size = BITS_OF_CURVE.get(key.asymmetricKeyDetails?.namedCurve ?? '')
    return size === undefined ? undefined : { type: 'ec', bits: size }
  }
  if (key.asymmetricKeyType === 'rsa') return { type: 'rsa', bits: key.asymmetricKeyDetails?.modulusLength ?? 0 }
  return undefined
}

export const privateKeyPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string

/** Reads a private key (PKCS#8, SEC 1 or PKCS#1 PEM). `what` names it in the message, which never repeats the input. */
export function readPrivateKey(pem: string, what: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    throw new CaError('config', `${what} is not a private key in PEM`, error)
  }
  if (keySpecOf(key) === undefined) throw new CaError('config', `${what} is neither an EC key on a NIST curve nor an RSA key`)
  return key
}

export const spkiDer = (publicKey: KeyObject): Buffer => publicKey.export({ type: 'spki', format: 'der' })

/** The key id that Consul uses (SubjectKeyId, SigningKeyID): SHA-256 of the SubjectPublicKeyInfo. */
export const keyId = (spki: Buffer): Buffer => createHash('sha256').update(spki).digest()

/** AlgorithmIdentifier of the signatures `signDer` makes with this key: SHA-256 always, as Consul's. */
export function signatureAlgorithmOf(key: KeyObject): Asn1 {
  return key.asymmetricKeyType === 'rsa' ? sequence(oid(SHA256_WITH_RSA), nul()) : sequence(oid(ECDSA_WITH_SHA256))
}

export const signDer = (der: Buffer, key: KeyObject): Buffer => sign('sha256', der, key)

/** Bytes as Consul prints serial numbers and key ids: lower-case hex pairs joined by colons. */
export const colonHex = (bytes: Buffer): string => bytes.toString('hex').replace(/..(?!$)/g, '$&:')
