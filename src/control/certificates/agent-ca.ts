// A certificate authority for the agents' own TLS (not the mesh's), and certificates of servers and clients of it: what Consul's `tls ca create`
// and `tls cert create` make. Called by the command line, which writes the files. Keys are EC P-256.
import { createPublicKey } from 'node:crypto'
import { generateKey, privateKeyPem, readPrivateKey } from '../../mtls/x509/keys.js'
import { BACKDATE_MS, issueLeafCertificate, issueRoot, readCertificate } from '../../mtls/x509/x509.js'

export interface PemPair {
  readonly certPem: string
  readonly keyPem: string
}

export interface AgentCertificate {
  readonly dns: readonly string[]
  readonly ips: readonly string[]
  readonly days: number
}

const DAY_MS = 24 * 3_600_000
const EC = { type: 'ec', bits: 256 } as const

export async function createAgentCa(options: { readonly commonName: string; readonly days: number }): Promise<PemPair> {
  const key = await generateKey(EC)
  const now = Date.now()
  const root = issueRoot({ key, name: options.commonName, notBeforeMs: now - BACKDATE_MS, notAfterMs: now + options.days * DAY_MS })
  return { certPem: root.pem, keyPem: privateKeyPem(key) }
}

/** Never valid for longer than its CA. Throws one line where the CA's files do not go together or sign no certificates. */
export async function createAgentCertificate(ca: PemPair, { dns, ips, days }: AgentCertificate): Promise<PemPair> {
  const certificate = readCertificate(ca.certPem)
  const caKey = readPrivateKey(ca.keyPem, 'the key of the CA')
  if (!certificate.canSignCertificates) throw new Error('the certificate of the CA is that of no CA')
  if (!certificate.x509.checkPrivateKey(caKey)) throw new Error('certificate and key of the CA do not go together')
  const key = await generateKey(EC)
  const now = Date.now()
  const issued = issueLeafCertificate(
    { certificate, key: caKey },
    {
      publicKey: createPublicKey(key),
      names: { uris: [], dns, ips },
      notBeforeMs: now - BACKDATE_MS,
      notAfterMs: Math.min(now + days * DAY_MS, certificate.notAfterMs),
    },
  )
  return { certPem: issued.pem, keyPem: privateKeyPem(key) }
}
