// Which kinds of keys a listener or cluster may show, as Envoy has it.
import { expect, it } from 'vitest'
import type { ConfigError } from '../../../src/model/config-error.js'
import { checkOwnCertificate } from '../../../src/mtls/tls/own-certificate.js'
import { hasOpenssl, selfSigned } from '../../support/self-signed.js'

const curve = (name: string): string[] => ['ec', '-pkeyopt', `ec_paramgen_curve:${name}`]

it.skipIf(!hasOpenssl).each([
  [['rsa:2048'], null],
  [curve('secp384r1'), null],
  [curve('secp521r1'), null],
  [['ed25519'], null],
  [['rsa:1024'], 'has an RSA key of 1024 bits, proxies take 2048 and more'],
  [curve('secp256k1'), 'has a key of the curve secp256k1, proxies take P-256, P-384 and P-521'],
  [['ed448'], 'has a key of type ed448, proxies take RSA and ECDSA'],
])('a certificate with a key by %j', (kind, reason) => {
  const { cert: chain, key } = selfSigned(...kind)
  const errors: ConfigError[] = []
  const identity = checkOwnCertificate({ chain, key, passphrase: '', ocsp: null, path: '<inline>', at: 'tls_certificates[0]' }, errors)
  expect(errors).toEqual(reason === null ? [] : [{ path: 'tls_certificates[0].certificate_chain', reason }])
  expect(identity === null).toBe(reason !== null)
})
