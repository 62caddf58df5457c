// Several certificates on one listener: which of them a client is shown, by SNI and by what the client can verify. The same table is
// asked of the real Envoy where ENVOY_BIN names it; it holds for both.
import { once } from 'node:events'
import tls, { type ConnectionOptions } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa, type Shape } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, proxyBin, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const ca = new AnyCa()
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

const shapes: readonly (Shape & { readonly commonName: string })[] = [
  { commonName: 'first-rsa', dns: ['first.example'], keyType: 'rsa' },
  { commonName: 'both-rsa', dns: ['both.example'], keyType: 'rsa' },
  { commonName: 'both-ec', dns: ['both.example'] },
  { commonName: 'both-ec-late', dns: ['both.example', 'late.example'] },
  { commonName: 'wild-ec', dns: ['*.wild.example'] },
  { commonName: 'wild-rsa', dns: ['*.wild.example'], keyType: 'rsa' },
  { commonName: 'inside-ec', dns: ['inside.wild.example'] },
  { commonName: 'p384', dns: ['p384.example'], keyType: 'P-384' },
  { commonName: 'name-only.example' },
]

const modern: ConnectionOptions = { minVersion: 'TLSv1.3' }
const rsaOnly: ConnectionOptions = { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256' }
const p256Only: ConnectionOptions = { minVersion: 'TLSv1.3', sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256' }
const old: ConnectionOptions = { maxVersion: 'TLSv1.2' }
const oldRsa: ConnectionOptions = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }
/** Knows ECDSA suites, but no curve of our certificates. */
const oldCurve: ConnectionOptions = { maxVersion: 'TLSv1.2', ecdhCurve: 'X25519' }

/** What, SNI, client, shown without and with full_scan_certs_on_sni_mismatch. */
const cases: readonly [string, string, ConnectionOptions, string, string][] = [
  ['ECDSA is preferred', 'both.example', modern, 'both-ec', 'both-ec'],
  ['RSA for who can verify nothing else', 'both.example', rsaOnly, 'both-rsa', 'both-rsa'],
  ['TLS 1.2, all suites', 'both.example', old, 'both-ec', 'both-ec'],
  ['TLS 1.2, RSA suites only', 'both.example', oldRsa, 'both-rsa', 'both-rsa'],
  ['TLS 1.2, no curve in common', 'both.example', oldCurve, 'both-rsa', 'both-rsa'],
  ['a name of the second SAN', 'late.example', modern, 'both-ec-late', 'both-ec-late'],
  ['an exact name before a wildcard', 'inside.wild.example', modern, 'inside-ec', 'inside-ec'],
  ['the wildcard where the exact one does not serve', 'inside.wild.example', rsaOnly, 'wild-rsa', 'wild-rsa'],
  ['a wildcard', 'x.wild.example', modern, 'wild-ec', 'wild-ec'],
  ['a wildcard stands for one label', 'x.y.wild.example', modern, 'first-rsa', 'both-ec'],
  ['a wildcard stands for at least one', 'wild.example', rsaOnly, 'first-rsa', 'first-rsa'],
  ['the common name where there are no SANs', 'name-only.example', modern, 'name-only.example', 'name-only.example'],
  ['the common name does not count beside SANs', 'both-rsa', modern, 'first-rsa', 'both-ec'],
  ['another curve', 'p384.example', modern, 'p384', 'p384'],
  ['a curve that the client lacks', 'p384.example', p256Only, 'first-rsa', 'both-ec'],
  ['a name that nobody has', 'none.example', modern, 'first-rsa', 'both-ec'],
  ['no name', '', modern, 'both-ec', 'both-ec'],
  ['no name, RSA only', '', rsaOnly, 'first-rsa', 'first-rsa'],
]

async function start(bin: string): Promise<{ first: number; scan: number }> {
  const ports = { first: await freePort(), scan: await freePort() }
  const certificates = shapes.map(shape => {
    const { cert, key } = ca.leaf(shape)
    return { certificate_chain: { inline_string: cert }, private_key: { inline_string: key } }
  })
  const socket = (scan: boolean): object => ({
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        common_tls_context: { tls_certificates: certificates },
        ...(scan ? { full_scan_certs_on_sni_mismatch: true } : {}),
      },
    },
  })
  const serve = (name: string, port: number, scan: boolean): object =>
    listener(name, port, [hcm({ route_config: routesTo('app') })], {}, socket(scan))
  await ProxyProcess.start({
    bin,
    bootstrap: {
      static_resources: {
        listeners: [serve('first', ports.first, false), serve('scan', ports.scan, true)],
        clusters: [staticCluster('app', origin.port)],
      },
    },
    ...(bin === proxyBin ? {} : { flags: ['--base-id', String((process.pid % 30_000) + 30_000)] }),
  })
  return ports
}

async function shown(port: number, servername: string, options: ConnectionOptions): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername, ...options })
  try {
    await once(socket, 'secureConnect')
    return String(socket.getPeerCertificate().subject.CN)
  } catch (error) {
    return (error as Error).message
  } finally {
    socket.destroy()
  }
}

describe.each([
  ['Outrigger', proxyBin],
  ['the real Envoy', process.env['ENVOY_BIN']],
])('%s', (_name, bin) => {
  it.skipIf(bin === undefined)('shows the certificate of the name that the client can verify', async () => {
    const ports = await start(bin!)
    const seen = []
    for (const [what, name, client] of cases)
      seen.push([what, name, client, await shown(ports.first, name, client), await shown(ports.scan, name, client)])
    expect(seen).toEqual(cases)
    // Names of hosts have no case (RFC 6066 section 3); Envoy compares bytes.
    expect(await shown(ports.first, 'LATE.Example', modern)).toBe(bin === proxyBin ? 'both-ec-late' : 'first-rsa')
  })
})
