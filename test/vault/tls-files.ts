// Certificates in files for a Vault over TLS: a CA, a server for 127.0.0.1 and vault.example, a client.
import { mkdirSync, writeFileSync } from 'node:fs'
import type { ServerOptions } from 'node:https'
import { join } from 'node:path'
import { createAgentCa, createAgentCertificate } from '../../src/control/certificates/agent-ca.js'

export async function meshCertificates(folder: string): Promise<{
  readonly server: ServerOptions
  readonly caFile: string
  readonly caPath: string
  readonly clientCertFile: string
  readonly clientKeyFile: string
}> {
  const ca = await createAgentCa({ commonName: 'Test CA', days: 2 })
  const server = await createAgentCertificate(ca, { dns: ['vault.example'], ips: ['127.0.0.1'], days: 1 })
  const client = await createAgentCertificate(ca, { dns: ['mesh.example'], ips: [], days: 1 })
  const write = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const caPath = join(folder, 'cas')
  mkdirSync(caPath, { recursive: true })
  write('cas/ca.pem', ca.certPem)
  return {
    server: { cert: server.certPem, key: server.keyPem, ca: ca.certPem },
    caFile: write('ca.pem', ca.certPem),
    caPath,
    clientCertFile: write('client.pem', client.certPem),
    clientKeyFile: write('client-key.pem', client.keyPem),
  }
}
