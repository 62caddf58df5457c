// The mTLS listener of a sidecar: who is refused, that nothing of a refused client is processed, and what the origin learns of a good one.
import net from 'node:net'
import tls, { type ConnectionOptions } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, downstreamTls, type Leaf, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  allowOnly,
  fileAccessLog,
  freePort,
  hcm,
  httpRbac,
  listener,
  networkRbac,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  until,
} from '../support/proxy-process.js'

const ca = new AnyCa()
const strangerCa = new AnyCa('Another CA')
const hour = 3_600_000
const origin = new HttpOrigin((_, socket) => void socket.write(http('from the service')))
let proxy: ProxyProcess
let httpPort: number
let tcpRulePort: number
let prefix: string
let alpnPort: number

beforeAll(async () => {
  await origin.listen()
  httpPort = await freePort()
  tcpRulePort = await freePort()
  alpnPort = await freePort()
  prefix = `listener.127.0.0.1_${httpPort}`
  const server = ca.service('api')
  const transport = { transport_socket: downstreamTls(server, ca.pem) }
  const xfcc = { forward_client_cert_details: 'APPEND_FORWARD', set_current_client_cert_details: { uri: true, subject: true } }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener(
            'l7',
            httpPort,
            [hcm({ route_config: routesTo('app'), ...xfcc }, [httpRbac(allowOnly(spiffe('web'))), router])],
            {},
            transport,
          ),
          listener(
            'l4',
            tcpRulePort,
            [networkRbac(allowOnly(spiffe('web')), 'l4'), hcm({ stat_prefix: 'behind', route_config: routesTo('app') })],
            {},
            transport,
          ),
          listener(
            'alpn',
            alpnPort,
            [hcm({ stat_prefix: 'alpn', route_config: routesTo('app') })],
            {},
            {
              transport_socket: downstreamTls(server, ca.pem, { alpn_protocols: ['h2', 'http/1.1'] }),
            },
          ),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

/** Shows `options`, sends a request as soon as it may, and gives back what came. */
function attempt(port: number, options: ConnectionOptions | null): Promise<{ bytes: number }> {
  return new Promise(resolve => {
    let bytes = 0
    const ask = 'GET /secret HTTP/1.1\r\nhost: api\r\n\r\n'
    const socket =
      options === null
        ? net.connect({ port, host: '127.0.0.1' }, () => socket.write(ask))
        : tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => socket.write(ask))
    socket.on('data', chunk => (bytes += chunk.length))
    socket.on('error', () => {})
    socket.on('close', () => resolve({ bytes }))
  })
}

const bad: { name: string; leaf: () => Leaf | null; counter: string }[] = [
  { name: 'no certificate', leaf: () => null, counter: 'no_certificate' },
  { name: 'an unknown CA', leaf: () => strangerCa.service('web'), counter: '' },
  { name: 'another trust domain', leaf: () => ca.leaf({ uris: [spiffe('web', 'evil.consul')] }), counter: 'trust_domain' },
  { name: 'an expired certificate', leaf: () => ca.leaf({ uris: [spiffe('web')], fromMs: -2 * hour, untilMs: -hour }), counter: 'expired' },
  { name: 'two SPIFFE ids', leaf: () => ca.leaf({ uris: [spiffe('web'), spiffe('admin')] }), counter: 'uri_san_count' },
]

describe('the mTLS listener', () => {
  it('passes a good client and tells the origin who it is (XFCC)', async () => {
    const answer = await fetchOnce(httpPort, '/hello', {}, clientOptions(ca.service('web'), ca.pem))
    expect([answer.status, answer.body]).toEqual([200, 'from the service'])
    const xfcc = origin.requests.at(-1)!.headers.get('x-forwarded-client-cert')!
    expect(xfcc).toContain(`By=${spiffe('api')}`)
    expect(xfcc).toContain(`URI=${spiffe('web')}`)
    expect(xfcc).toMatch(/Hash=[0-9a-f]{64}/)
  })

  it('takes a ClientHello that comes byte by byte, and lets go of one that ends in its middle', async () => {
    const hop = net.createServer({ noDelay: true }, client => {
      const up = net.connect({ port: httpPort, host: '127.0.0.1', noDelay: true })
      client.on('data', chunk => {
        for (const byte of chunk) up.write(Buffer.of(byte))
      })
      up.pipe(client)
      client.on('close', () => up.destroy())
      for (const socket of [client, up]) socket.on('error', () => {})
    })
    await new Promise<void>(resolve => hop.listen(0, '127.0.0.1', resolve))
    const { port } = hop.address() as net.AddressInfo
    expect((await fetchOnce(port, '/', {}, clientOptions(ca.service('web'), ca.pem))).status).toBe(200)
    hop.close()
    const half = net.connect({ port: httpPort, host: '127.0.0.1' })
    half.end(Buffer.from([0x16, 3, 1, 1, 0, 1]))
    await new Promise(resolve => half.once('close', resolve).resume())
    await proxy.untilStat(`listener.127.0.0.1_${httpPort}.downstream_cx_active`, value => value === 0)
  })

  it('closes a plain client before any HTTP byte is processed', async () => {
    const seen = origin.requests.length
    const before = await proxy.stats()
    const { bytes } = await attempt(httpPort, null)
    expect(bytes).toBeLessThan(20)
    expect(origin.requests.length).toBe(seen)
    await proxy.untilStat(`${prefix}.ssl.connection_error`, value => value === before.get(`${prefix}.ssl.connection_error`)! + 1)
    expect(await proxy.stat('http.ingress.downstream_cx_total')).toBe(before.get('http.ingress.downstream_cx_total'))
  })

  it.each(bad)('refuses $name with a counter of its own', async ({ leaf, counter }) => {
    const seen = origin.requests.length
    const before = await proxy.stats()
    const total = (stats: Map<string, number>) =>
      [...stats].filter(([name]) => name.startsWith(`${prefix}.ssl.refused.`)).reduce((sum, [, value]) => sum + value, 0)
    const { bytes } = await attempt(httpPort, clientOptions(leaf(), ca.pem))
    expect(bytes).toBe(0)
    expect(origin.requests.length).toBe(seen)
    const after = await until('the refusal is counted', async () => {
      const stats = await proxy.stats()
      return total(stats) === total(before) + 1 ? stats : null
    })
    if (counter !== '') {
      const name = `${prefix}.ssl.refused.${counter}`
      expect(after.get(name), [...after.keys()].filter(key => key.includes('refused')).join()).toBe((before.get(name) ?? 0) + 1)
    }
    for (const stat of [
      'http.ingress.downstream_cx_total',
      'http.ingress.downstream_rq_total',
      'http.ingress.downstream_cx_rx_bytes_total',
    ])
      expect(after.get(stat), stat).toBe(before.get(stat))
  })

  it('answers 403 to the wrong service at L7 and closes it at L4 before a byte', async () => {
    const seen = origin.requests.length
    const wrong = clientOptions(ca.service('batch'), ca.pem)
    expect((await fetchOnce(httpPort, '/', {}, wrong)).status).toBe(403)
    expect((await attempt(tcpRulePort, wrong)).bytes).toBe(0)
    expect(await proxy.stat('l4.rbac.denied')).toBe(1)
    expect(await proxy.stat('http.ingress.rbac.denied')).toBe(1)
    // The connection is one of the manager's, as in Envoy; what it sent is none of its business.
    expect(await proxy.stat('http.behind.downstream_cx_total')).toBe(1)
    expect(await proxy.stat('http.behind.downstream_rq_total')).toBe(0)
    expect(origin.requests.length).toBe(seen)
    expect((await fetchOnce(tcpRulePort, '/', {}, clientOptions(ca.service('web'), ca.pem))).status).toBe(200)
  })

  it('judges a resumed session anew and takes it from a good client', async () => {
    const options = clientOptions(ca.service('web'), ca.pem)
    let session: Buffer | undefined
    const first = await Http1Client.connect(httpPort, options)
    first.socket.on('session', ticket => (session = ticket))
    await first.get('/one')
    await until('a session ticket', () => session)
    first.destroy()
    const again = await Http1Client.connect(httpPort, { ...options, session: session! })
    expect((again.socket as tls.TLSSocket).isSessionReused()).toBe(true)
    expect((await again.get('/two')).status).toBe(200)
    expect(origin.requests.at(-1)!.headers.get('x-forwarded-client-cert')).toContain(`URI=${spiffe('web')}`)
    again.destroy()
  })

  it('goes on without ALPN when the client offers only protocols that are not served, as Envoy does', async () => {
    const options = clientOptions(ca.service('web'), ca.pem)
    const answer = await fetchOnce(alpnPort, '/', {}, { ...options, ALPNProtocols: ['consul~something'] })
    expect(answer.status).toBe(200)
    const client = await Http1Client.connect(alpnPort, { ...options, ALPNProtocols: ['http/1.1'] })
    expect((client.socket as tls.TLSSocket).alpnProtocol).toBe('http/1.1')
    client.destroy()
  })

  it('shows no private key in /config_dump, and its certificates in /certs', async () => {
    const dump = (await proxy.get('/config_dump')).body
    expect(dump).toContain('[redacted]')
    expect(dump).not.toContain('PRIVATE KEY')
    expect(dump).not.toContain(Buffer.from('-----BEGIN PRIVATE').toString('base64').slice(0, 20))
    const { certificates } = await proxy.json('/certs')
    expect(certificates[0].cert_chain[0].subject_alt_names).toEqual([{ uri: spiffe('api') }])
    expect(certificates[0].ca_cert[0].serial_number).toMatch(/^[0-9a-f]+$/)
  })
})

describe('mTLS to an upstream', () => {
  it('checks the endpoint’s identity: another service behind the address is 503 with the reason', async () => {
    const right = await freePort()
    const wrong = await freePort()
    const outbound = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [
            listener('right', right, [hcm({ route_config: routesTo('api') })]),
            listener('wrong', wrong, [
              hcm({
                stat_prefix: 'wrong',
                route_config: routesTo('mistaken'),
                access_log: [fileAccessLog('LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%')],
              }),
            ]),
          ],
          clusters: [
            staticCluster('api', httpPort, { transport_socket: upstreamTls(ca.service('web'), ca.pem, spiffe('api')) }),
            staticCluster('mistaken', httpPort, { transport_socket: upstreamTls(ca.service('web'), ca.pem, spiffe('billing')) }),
          ],
        },
      },
    })
    const seen = origin.requests.length
    expect((await fetchOnce(right)).status).toBe(200)
    const refused = await fetchOnce(wrong)
    expect(refused.status).toBe(503)
    expect(refused.body).toMatch(/upstream connect error/)
    await until('the access log line', () => /LOG 503 UF \S/.test(outbound.log))
    expect(origin.requests.length).toBe(seen + 1)
    expect(await outbound.stat('cluster.mistaken.ssl.fail_verify_san')).toBeGreaterThan(0)
    await outbound.stop()
  })
})
