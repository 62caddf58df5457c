// Certificates of the bench mesh, by the product's own CA: SPIFFE ids of web and api, plus a DNS name for the peers that check names.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Written to `dir`, and returned. */
export async function benchCertificates(dir) {
  const { CertificateAuthority } = await import('../../dist/mtls/ca/authority.js')
  let state
  const store = { load: async () => state, save: async saved => void (state = saved) }
  const ca = new CertificateAuthority({ store })
  await ca.init()
  const uri = service => `spiffe://${ca.trustDomain}/ns/default/dc/dc1/svc/${service}`
  const server = await ca.signer.issue({ uri: uri('api'), maxWaitMs: 60_000 })
  const client = await ca.signer.issue({ uri: uri('web'), maxWaitMs: 60_000 })
  const certs = {
    dir,
    ca: ca.trustBundlePem(),
    server: { chain: server.chainPem, key: server.keyPem, uri: uri('api') },
    client: { chain: client.chainPem, key: client.keyPem, uri: uri('web') },
    trustDomain: ca.trustDomain,
  }
  mkdirSync(dir, { recursive: true })
  for (const [name, text] of [
    ['ca.pem', certs.ca],
    ['server.pem', certs.server.chain],
    ['server.key', certs.server.key],
    ['server.both.pem', certs.server.chain + certs.server.key],
    ['client.pem', certs.client.chain],
    ['client.key', certs.client.key],
    ['client.both.pem', certs.client.chain + certs.client.key],
  ])
    writeFileSync(join(dir, name), text, { mode: 0o600 })
  return certs
}
