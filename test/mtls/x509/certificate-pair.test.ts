// Which certificates and keys of others are taken for a listener, and the one line of each that is not.
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { pairProblems } from '../../../src/mtls/x509/certificate-pair.js'
import { hasOpenssl, selfSigned } from '../../support/self-signed.js'
import { AnyCa } from '../tls/tls-support.js'

const ca = new AnyCa()
const { cert, key } = ca.leaf({ dns: ['example.com'] })
const other = ca.leaf({ dns: ['example.com'] })

describe('a certificate and its key', () => {
  it('are good with the chain behind the leaf, and text beside it', () => {
    expect(pairProblems(cert, key)).toEqual({})
    expect(pairProblems(`subject: x\n${cert}\n# issuer\n${ca.pem}`, key)).toEqual({})
    expect(pairProblems(cert, undefined)).toEqual({})
    expect(pairProblems(undefined, key)).toEqual({})
  })

  it.each([
    [
      'nonsense',
      'nonsense',
      { chain: expect.stringMatching(/^is no PEM certificate: /), key: expect.stringMatching(/^is no PEM private key: /) },
    ],
    [key, key, { chain: expect.stringMatching(/^is no PEM certificate: /) }],
    [cert, other.key, { key: 'does not belong to the certificate' }],
    [cert.slice(0, -60), key, { chain: expect.stringMatching(/^is no PEM certificate: /) }],
    [`${cert}${ca.pem.slice(0, 200)}`, key, { chain: expect.stringMatching(/^certificate 2 of the chain is no PEM certificate: /) }],
    [`${other.cert}${cert}`, key, { key: 'belongs to certificate 2 of the chain: that of the server comes first' }],
    [
      cert,
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      { key: 'does not belong to the certificate' },
    ],
  ])('are not good: case %#', (chain, secret, problems) => {
    expect(pairProblems(chain, secret)).toEqual(problems)
  })

  it.skipIf(!hasOpenssl).each([
    [['rsa:1024'], 'has an RSA key of 1024 bits, proxies take 2048 and more'],
    [['ed25519'], 'has a key of type ed25519, proxies take RSA and ECDSA'],
    [['ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'], 'has a key of the curve secp256k1, proxies take P-256, P-384 and P-521'],
  ])('of a kind that TLS stacks do not take: %j', (kind, chain) => {
    const made = selfSigned(...kind)
    expect(pairProblems(made.cert, made.key)).toEqual({ chain })
  })
})
