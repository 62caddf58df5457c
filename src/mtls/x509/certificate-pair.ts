// Whether a proxy can show a certificate chain with a private key, both PEM from outside: each certificate of the chain can be read, the key is
// the leaf's, and of a kind that TLS stacks take. Called where such a pair is taken in (config entries, secrets in Vault), so that none comes to a
// listener, which would be refused as a whole; of a TLS context it judges the kind of key. Invariant: what is wrong is one line for each of the two.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'

export interface PairProblems {
  readonly chain?: string
  readonly key?: string
}

const CERTIFICATES = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END (?:X509 |TRUSTED )?CERTIFICATE-----)?/g
/** Envoy's, and our own proxy's. */
const MIN_RSA_BITS = 2048
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/** Undefined: that one is not known yet, and is not judged. */
export function pairProblems(chainPem: string | undefined, keyPem: string | undefined): PairProblems {
  const chain = chainPem === undefined ? undefined : readChain(chainPem)
  const key = keyPem === undefined ? undefined : readKey(keyPem)
  const problems = {
    ...(typeof chain === 'string' ? { chain } : {}),
    ...(typeof key === 'string' ? { key } : {}),
  }
  if (chain === undefined || key === undefined || typeof chain === 'string' || typeof key === 'string') return problems
  const place = chain.findIndex(certificate => certificate.checkPrivateKey(key))
  if (place === 0) return {}
  return {
    key:
      place < 0 ? 'does not belong to the certificate' : `belongs to certificate ${place + 1} of the chain: that of the server comes first`,
  }
}

function readChain(pem: string): X509Certificate[] | string {
  // What is none at all the same parser is to say.
  const blocks: readonly string[] = pem.match(CERTIFICATES) ?? [pem]
  const chain: X509Certificate[] = []
  for (const [i, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block))
    } catch (error) {
      const which = i === 0 ? '' : `certificate ${i + 1} of the chain `
      return `${which}is no PEM certificate: ${(error as Error).message}`
    }
  }
  const [leaf] = chain
  const unusable = keyKindProblem(leaf!.publicKey)
  return unusable === undefined ? chain : unusable
}

function readKey(pem: string): KeyObject | string {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    return `is no PEM private key: ${(error as Error).message}`
  }
}

export function keyKindProblem({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string | undefined {
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0
    return bits < MIN_RSA_BITS ? `has an RSA key of ${bits} bits, proxies take ${MIN_RSA_BITS} and more` : undefined
  }
  if (type === 'ec') {
    const curve = details?.namedCurve ?? ''
    return CURVES.has(curve) ? undefined : `has a key of the curve ${curve}, proxies take P-256, P-384 and P-521`
  }
  return `has a key of type ${type}, proxies take RSA and ECDSA`
}
