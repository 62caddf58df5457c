// OCSP stapling: what a client that asks gets, by policy and by the state of the configured response. The same table is asked of the real
// Envoy where ENVOY_BIN names it.
import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkTlsModel } from '../../src/mtls/tls/tls-checks.js'
import { type Asn1, integer, octets, oid, readDer, sequence, tagged, writeDer } from '../../src/mtls/x509/der.js'
import { common, downstream, inline } from '../mtls/tls/tls-support.js'
import { AnyCa, type Leaf } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, proxyBin, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const ca = new AnyCa()
const hour = 3_600_000

function generalized(ms: number): Asn1 {
  const text = `${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`
  return readDer(Buffer.concat([Buffer.from([0x18, text.length]), Buffer.from(text)]))
}

/** An OCSP response as a responder gives it, but for its signature, which nobody checks on this side. */
function ocsp(leaf: Leaf, { nextMs = hour as number | null, status = 0 } = {}): Buffer {
  const serial = Buffer.from(new X509Certificate(leaf.cert).serialNumber, 'hex')
  const algorithm = sequence(oid('1.3.14.3.2.26'))
  const single = sequence(
    sequence(algorithm, octets(Buffer.alloc(20)), octets(Buffer.alloc(20)), integer(serial)),
    tagged(0, Buffer.alloc(0)),
    generalized(Date.now() - 2 * hour),
    ...(nextMs === null ? [] : [tagged(0, [generalized(Date.now() + nextMs)])]),
  )
  const data = sequence(tagged(2, [octets(Buffer.alloc(20))]), generalized(Date.now() - hour), sequence(single))
  const signature = readDer(Buffer.from([0x03, 0x02, 0x00, 0x01]))
  const basic = writeDer(sequence(data, sequence(oid('1.2.840.10045.4.3.2')), signature))
  const code = readDer(Buffer.from([0x0a, 0x01, status]))
  return writeDer(sequence(code, tagged(0, [sequence(oid('1.3.6.1.5.5.7.48.1.1'), octets(basic))])))
}

const leaf = ca.leaf({ dns: ['server'] })
const other = ca.leaf({ dns: ['server'], keyType: 'rsa' })
const good = ocsp(leaf)
const old = ocsp(leaf, { nextMs: -hour })
const endless = ocsp(leaf, { nextMs: null })

type Certificate = readonly [Leaf, Buffer | null]
/** What, policy, certificates; what a client that asks gets (`staple`, `none` or `refused`), and one that does not. */
const rows: readonly (readonly [string, string, readonly Certificate[], string, string])[] = [
  ['no response', 'LENIENT_STAPLING', [[leaf, null]], 'none', 'none'],
  ['a good one', 'LENIENT_STAPLING', [[leaf, good]], 'staple', 'none'],
  ['an expired one', 'LENIENT_STAPLING', [[leaf, old]], 'none', 'none'],
  ['one without an end', 'LENIENT_STAPLING', [[leaf, endless]], 'none', 'none'],
  ['strict: no response', 'STRICT_STAPLING', [[leaf, null]], 'none', 'none'],
  ['strict: a good one', 'STRICT_STAPLING', [[leaf, good]], 'staple', 'none'],
  ['strict: an expired one', 'STRICT_STAPLING', [[leaf, old]], 'refused', 'none'],
  ['must: a good one', 'MUST_STAPLE', [[leaf, good]], 'staple', 'none'],
  ['must: an expired one', 'MUST_STAPLE', [[leaf, old]], 'refused', 'none'],
  [
    'strict: expired, and another certificate without',
    'STRICT_STAPLING',
    [
      [leaf, old],
      [other, null],
    ],
    'none',
    'none',
  ],
]

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

function got(port: number, requestOCSP: boolean): Promise<string> {
  return new Promise(resolve => {
    let answer = 'none'
    const options = { port, host: '127.0.0.1', servername: 'server', rejectUnauthorized: false, requestOCSP }
    const socket = tls.connect(options)
    socket.on('OCSPResponse', (bytes: Buffer | null) => {
      if (bytes !== null && bytes.length > 0) answer = bytes.equals(good) ? 'staple' : 'another'
    })
    socket.once('secureConnect', () => {
      resolve(answer)
      socket.destroy()
    })
    socket.once('error', () => resolve('refused'))
    socket.once('close', () => resolve('refused'))
  })
}

describe.each([
  ['Outrigger', proxyBin],
  ['the real Envoy', process.env['ENVOY_BIN']],
])('%s', (_name, bin) => {
  it.skipIf(bin === undefined)('staples by policy', async () => {
    const listeners: object[] = []
    const ports: number[] = []
    for (const [, ocsp_staple_policy, certificates] of rows) {
      const port = await freePort()
      ports.push(port)
      const tls_certificates = certificates.map(([{ cert, key }, staple]) => ({
        certificate_chain: { inline_string: cert },
        private_key: { inline_string: key },
        ...(staple === null ? {} : { ocsp_staple: { inline_bytes: staple.toString('base64') } }),
      }))
      const transport_socket = {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          common_tls_context: { tls_certificates },
          ocsp_staple_policy,
        },
      }
      listeners.push(listener(`l${port}`, port, [hcm({ route_config: routesTo('app') })], {}, { transport_socket }))
    }
    const proxy = await ProxyProcess.start({
      bin: bin!,
      bootstrap: { static_resources: { listeners, clusters: [staticCluster('app', origin.port)] } },
      ...(bin === proxyBin ? {} : { flags: ['--base-id', String((process.pid % 30_000) + 30_003)] }),
    })
    const seen = []
    for (const [i, [what, policy, certificates]] of rows.entries())
      seen.push([what, policy, certificates, await got(ports[i]!, true), await got(ports[i]!, false)])
    expect(seen).toEqual(rows)
    const stat = (row: number, name: string): Promise<number> => proxy.stat(`listener.127.0.0.1_${ports[row]}.ssl.ocsp_staple_${name}`)
    expect(await stat(1, 'requests')).toBe(1)
    expect(await stat(1, 'responses')).toBe(1)
    expect(await stat(2, 'omitted')).toBe(1)
    expect(await stat(6, 'failed')).toBe(1)
  })
})

it('refuses a response that is none, is of another certificate, was unsuccessful, or is missing where it must be there', () => {
  const problem = (staple: Buffer | null, given: Parameters<typeof downstream>[1] = {}): string => {
    const [certificate] = common(leaf, null).certificates
    const ocspStaple = staple === null ? null : ({ kind: 'inline', text: '', base64: staple.toString('base64') } as const)
    const model = downstream(common(null, null, { certificates: [{ ...certificate!, ocspStaple }] }), {
      requireClientCertificate: false,
      ...given,
    })
    return checkTlsModel(model)
      .map(({ path, reason }) => `${path}: ${reason}`)
      .join()
  }
  const at = 'common_tls_context.tls_certificates[0].ocsp_staple: '
  expect(problem(good)).toBe('')
  expect(problem(ocsp(other))).toBe(`${at}the OCSP response does not match its TLS certificate`)
  expect(problem(ocsp(leaf, { status: 3 }))).toBe(`${at}the OCSP response was unsuccessful`)
  expect(problem(Buffer.from('nonsense'))).toMatch(at)
  expect(problem(good.subarray(0, -1))).toMatch(at)
  expect(problem(null, { ocspStaplePolicy: 'MUST_STAPLE' })).toBe(`${at}Required OCSP response is missing from TLS context`)
  expect(checkTlsModel(downstream(common(leaf, { trustedCa: inline(ca.pem) })))).toEqual([])
})
