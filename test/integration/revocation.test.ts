// CRLs: for the whole path of a client or (only_verify_leaf_cert_crl) for its leaf, expired, not valid yet, missing, forged. The same
// table is asked of the real Envoy where ENVOY_BIN names it. Each case runs through OpenSSL and (max_verify_depth) our own path check.
import { X509Certificate } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, type Leaf } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, proxyBin, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const root = new AnyCa('Root')
const intermediate = new AnyCa('Intermediate', root)
const server = root.leaf({ dns: ['server'] })
const direct = root.leaf({ dns: ['direct'] })
const under = intermediate.leaf({ dns: ['under'] })
const clients: Record<'direct' | 'under', ConnectionOptions> = {
  direct: { cert: direct.cert, key: direct.key },
  under: { cert: under.cert + intermediate.pem, key: under.key },
}
const serialOf = (pem: string): Buffer => Buffer.from(new X509Certificate(pem).serialNumber, 'hex')
const revokes = (leaf: Leaf): Buffer[] => [serialOf(leaf.cert)]

/** What, CRLs (and whether they stand in the bundle); who is let in by the whole path, and by the leaf alone. */
type Row = readonly [what: string, crl: string, all: readonly string[], leafOnly: readonly string[], inBundle?: boolean]
const rows: readonly Row[] = [
  ["the root's", root.crl([]), ['direct'], ['direct']],
  ["the intermediate's", intermediate.crl([]), [], ['under']],
  ['both', root.crl([]) + intermediate.crl([]), ['direct', 'under'], ['direct', 'under']],
  ["the root's has expired", root.crl([], [-2, -1]) + intermediate.crl([]), [], ['under']],
  ["the intermediate's has expired", root.crl([]) + intermediate.crl([], [-2, -1]), ['direct'], ['direct']],
  ["the root's is not valid yet", root.crl([], [1, 2]), [], []],
  ["the root's never expires", root.crl([], [-1, null]), ['direct'], ['direct']],
  ['the intermediate is revoked', root.crl([serialOf(intermediate.pem)]) + intermediate.crl([]), ['direct'], ['direct', 'under']],
  ['the leaf is revoked', root.crl(revokes(direct)) + intermediate.crl(revokes(under)), [], []],
  ['of another CA with the name of the root', new AnyCa('Root').crl([]), [], []],
  ['an old and a new list', root.crl([], [-9, -8]) + root.crl([]), ['direct'], ['direct']],
  ['in the bundle, the leaf is revoked', root.crl(revokes(direct)) + intermediate.crl([]), ['under'], ['under'], true],
]

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

async function admitted(port: number): Promise<string[]> {
  const names: string[] = []
  for (const [name, options] of Object.entries(clients)) {
    try {
      const client = await Http1Client.connect(port, options)
      if ((await client.get('/')).status === 200) names.push(name)
      client.destroy()
    } catch {
      // Not let in.
    }
  }
  return names
}

describe.each([
  ['Outrigger', proxyBin],
  ['the real Envoy', process.env['ENVOY_BIN']],
])('%s', (_name, bin) => {
  it.skipIf(bin === undefined)('lets in whom the CRLs vouch for', async () => {
    const listeners: object[] = []
    const serve = async ([, crl, , , inBundle]: Row, more: object): Promise<number> => {
      const port = await freePort()
      const validation_context = {
        trusted_ca: { inline_string: root.pem + (inBundle ? crl : '') },
        ...(inBundle ? {} : { crl: { inline_string: crl } }),
        ...more,
      }
      const transport_socket = {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          require_client_certificate: true,
          common_tls_context: {
            tls_certificates: [{ certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } }],
            validation_context,
          },
        },
      }
      listeners.push(listener(`l${port}`, port, [hcm({ route_config: routesTo('app') })], {}, { transport_socket }))
      return port
    }
    const ports: (readonly [Row, ...number[]])[] = []
    for (const row of rows) {
      const leaf = { only_verify_leaf_cert_crl: true }
      const depth = { max_verify_depth: 5 }
      ports.push([row, await serve(row, {}), await serve(row, depth), await serve(row, leaf), await serve(row, { ...leaf, ...depth })])
    }
    await ProxyProcess.start({
      bin: bin!,
      bootstrap: { static_resources: { listeners, clusters: [staticCluster('app', origin.port)] } },
      ...(bin === proxyBin ? {} : { flags: ['--base-id', String((process.pid % 30_000) + 30_001)] }),
    })
    const seen = []
    for (const [[what], ...four] of ports) seen.push([what, ...(await Promise.all(four.map(admitted)))])
    expect(seen).toEqual(rows.map(([what, , all, leafOnly]) => [what, all, all, leafOnly, leafOnly]))
  })
})
