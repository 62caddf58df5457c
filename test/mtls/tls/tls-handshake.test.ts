import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamTls, ValidationContext } from '../../../src/model/tls.js'
import {
  AnyCa,
  common,
  downstream,
  downstreamContext,
  inline,
  type Leaf,
  Pair,
  type Shape,
  san,
  side,
  spiffe,
  upstream,
} from './tls-support.js'

const ca = new AnyCa()
const otherCa = new AnyCa()
const trust = { trustedCa: inline(ca.pem) }
const web = ca.service('web')
const api = ca.service('api')
/** As Kuma issues them. */
const kuma = ca.leaf({ uris: ['kuma://version/v1', spiffe('web')] })
const hour = 3_600_000
let pair: Pair | null = null

afterEach(() => {
  pair?.close()
  pair = null
})

function mesh(
  client: Leaf | null,
  server: Leaf,
  given: { up?: Partial<UpstreamTls>; down?: Partial<ValidationContext>; sans?: string[] } = {},
): Pair {
  pair = new Pair(
    downstream(common(server, { ...trust, ...given.down })),
    upstream(common(client, { ...trust, sanMatchers: (given.sans ?? [spiffe('api')]).map(uri => san('URI', uri)) }), given.up),
  )
  return pair
}

describe('a mutual handshake', () => {
  it('gives each side the identity of the other', async () => {
    const { client, server } = await mesh(web, api).dial()
    expect(client).toMatchObject({ ok: true, peer: { uriSans: [spiffe('api')], validated: true } })
    expect(server).toMatchObject({
      ok: true,
      info: { sni: 'api.internal', version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', resumed: false, localUriSans: [spiffe('api')] },
    })
    expect(server?.ok && server.info.peer?.uriSans).toEqual([spiffe('web')])
    expect(pair!.server.stats.main.handshake.value).toBe(1)
  })

  it('takes up the bytes that tls_inspector has read', async () => {
    const p = mesh(web, api)
    p.inspect = true
    expect((await p.dial()).server?.ok).toBe(true)
  })

  it('resumes, and judges the resumed peer again on both sides', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      pair = new Pair(
        downstream(common(api, trust)),
        upstream(common(web, { ...trust, sanMatchers: [san('URI', spiffe('api'))] }, { minVersion: version, maxVersion: version })),
      )
      expect((await pair.dial()).resumed).toBe(false)
      const again = await pair.dial()
      expect(again.resumed).toBe(true)
      expect(again.client).toMatchObject({ ok: true, peer: { uriSans: [spiffe('api')] } })
      expect(again.server).toMatchObject({ ok: true, info: { resumed: true, peer: { uriSans: [spiffe('web')] } } })
      expect(pair.client.stats.main.session_reused.value).toBe(1)
      pair.close()
    }
  })

  it('goes on without ALPN where no protocol overlaps, when the ClientHello was read', async () => {
    pair = new Pair(
      downstream(common(api, trust, { alpnProtocols: ['http/1.1'] })),
      upstream(common(web, trust, { alpnProtocols: ['h2'] })),
    )
    pair.inspect = true
    const { server, clientSocket } = await pair.dial()
    expect(server).toMatchObject({ ok: true, info: { alpn: '' } })
    expect(clientSocket.alpnProtocol).toBe(false)
    expect((await pair.dial({ alpn: ['h2', 'http/1.1'] })).server).toMatchObject({ ok: true, info: { alpn: 'http/1.1' } })
  })

  it('speaks no version below the floor', async () => {
    pair = new Pair(downstream(common(api, trust)), upstream(common(web, trust, { minVersion: 'TLSv1.0', maxVersion: 'TLSv1.1' })))
    const { server, clientError } = await pair.dial()
    expect(server).toBeNull()
    expect(clientError).not.toBeNull()
    expect(pair.client.stats.main.connection_error.value).toBe(1)
  })

  it('chooses the certificate that names the host, whatever SNI holds (CVE-2026-21637, CVE-2026-48928)', async () => {
    const leaves = ['a.example.com', '*.wild.example.com'].map(name => ca.leaf({ dns: [name] }))
    const certificates = leaves.map(leaf => ({ certificateChain: inline(leaf.cert), privateKey: inline(leaf.key), password: null }))
    pair = new Pair(
      downstream(common(null, null, { certificates }), { requireClientCertificate: false }),
      upstream(common(null, trust, {}), { autoSniSanValidation: true }),
    )
    expect((await pair.dial({ sni: 'X.Wild.example.COM' })).client?.ok).toBe(true)
    expect((await pair.dial({ sni: 'a.example.com' })).client?.ok).toBe(true)
    // One label only (CVE-2020-15104).
    expect((await pair.dial({ sni: 'x.y.wild.example.com' })).client).toMatchObject({
      ok: false,
      reason: expect.stringContaining('server-name'),
    })
    for (const sni of ['__proto__', 'a'.repeat(255), '10.0.0.1']) expect((await pair.dial({ sni })).client?.ok).toBe(false)
  })
})

describe('what a server shows', () => {
  /** How many certificates come. */
  async function shown(chain: string, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<number> {
    const s = side()
    const model = downstream(
      common(null, trust, { certificates: [{ certificateChain: inline(chain), privateKey: inline(api.key), password: null }] }),
    )
    const listener = net.createServer(raw => {
      const secured = downstreamContext(s, model).accept(raw, null)
      secured.on('error', () => {})
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as net.AddressInfo
    const client = tls.connect({ port, host: '127.0.0.1', cert: web.cert, key: web.key, rejectUnauthorized: false, ca: [], maxVersion })
    await once(client, 'secureConnect')
    let length = 0
    for (let at = client.getPeerX509Certificate(); at !== undefined; at = at.issuerCertificate) length++
    client.destroy()
    listener.close()
    s.contexts.close()
    return length
  }

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is the chain it was given, never its root behind it: %s', async version => {
    expect(await shown(api.cert, version)).toBe(1)
    expect(await shown(api.cert + ca.pem, version)).toBe(2)
  })
})

describe('the server refuses a client', () => {
  const cases: [string, Leaf | null, Partial<ValidationContext>, string, string][] = [
    ['of another CA', otherCa.service('web'), {}, 'chain', 'fail_verify_error'],
    [
      'whose certificate has expired',
      ca.leaf({ uris: [spiffe('web')], untilMs: Date.now() - hour / 2 }),
      {},
      'expired',
      'fail_verify_error',
    ],
    [
      'whose certificate is not valid yet',
      ca.leaf({ uris: [spiffe('web')], fromMs: Date.now() + hour / 2 }),
      {},
      'not-yet-valid',
      'fail_verify_error',
    ],
    [
      'without the clientAuth usage (CVE-2022-21657)',
      ca.leaf({ uris: [spiffe('web')], usages: ['serverAuth'] }),
      {},
      'key-usage',
      'fail_verify_error',
    ],
    ['with two SPIFFE ids', ca.leaf({ uris: [spiffe('web'), spiffe('admin')] }), {}, 'uri-san-count', 'fail_verify_san'],
    [
      'with two SPIFFE ids around a third URI',
      ca.leaf({ uris: [spiffe('web'), 'kuma://v/1', spiffe('a')] }),
      {},
      'uri-san-count',
      'fail_verify_san',
    ],
    [
      'with a second id whose scheme is in capitals',
      ca.leaf({ uris: [spiffe('web'), 'SPIFFE://td.consul/a'] }),
      {},
      'uri-san-count',
      'fail_verify_san',
    ],
    ['with URIs of other schemes alone', ca.leaf({ uris: ['kuma://version/v1', 'https://web'] }), {}, 'uri-san-count', 'fail_verify_san'],
    [
      'with a matcher for its id alone, and another id',
      kuma,
      { sanMatchers: [san('URI', 'kuma://version/v2'), san('DNS', 'kuma://version/v1')] },
      'san',
      'fail_verify_san',
    ],
    ['with no URI SAN', ca.leaf({ dns: ['web'] }), {}, 'uri-san-count', 'fail_verify_san'],
    ['of another trust domain', ca.leaf({ uris: [spiffe('web', 'other.consul')] }), {}, 'trust-domain', 'fail_verify_san'],
    ['with a CA certificate as leaf', ca.leaf({ uris: [spiffe('web')], ca: true }), {}, 'ca-leaf', 'fail_verify_error'],
    ['of a name that no matcher has', web, { sanMatchers: [san('URI', spiffe('batch'))] }, 'san', 'fail_verify_san'],
    ['whose certificate is not pinned', web, { verifyCertificateHash: ['00'.repeat(32)] }, 'certificate-hash', 'fail_verify_cert_hash'],
    [
      'whose certificate is revoked',
      web,
      { crl: inline(ca.crl([Buffer.from(new X509Certificate(web.cert).serialNumber, 'hex')])) },
      'revoked',
      'fail_verify_error',
    ],
    [
      'whose leaf is revoked, by the leaf alone',
      web,
      { crl: inline(ca.crl([Buffer.from(new X509Certificate(web.cert).serialNumber, 'hex')])), onlyVerifyLeafCertCrl: true },
      'revoked',
      'fail_verify_error',
    ],
    ...['?q=1', '#f', '/../x', '/'].map(
      tail =>
        [`with the id ending in ${tail}`, ca.leaf({ uris: [spiffe('web') + tail] }), {}, 'spiffe-syntax', 'fail_verify_san'] as [
          string,
          Leaf,
          object,
          string,
          string,
        ],
    ),
    ['with a port in its id', ca.leaf({ uris: [spiffe('web', 'td.consul:8443')] }), {}, 'spiffe-syntax', 'fail_verify_san'],
    ['with an upper-case trust domain', ca.leaf({ uris: [spiffe('web', 'TD.consul')] }), {}, 'spiffe-syntax', 'fail_verify_san'],
    ['with an id over 2048 bytes', ca.leaf({ uris: [spiffe('w'.repeat(2048))] }), {}, 'spiffe-syntax', 'fail_verify_san'],
  ]

  it.each(cases)('%s', async (_name, client, down, code, counter) => {
    const p = mesh(client, api, { down })
    const { server } = await p.dial()
    expect(server).toMatchObject({ ok: false, code })
    expect(p.server.stats.main[counter as 'fail_verify_san'].value).toBe(1)
    expect(p.server.stats.scope.counter(`refused.${code.replaceAll('-', '_')}`).value).toBe(1)
    expect(p.server.stats.main.handshake.value).toBe(0)
    expect(p.server.log).toEqual([{ message: 'TLS peer refused', fields: expect.objectContaining({ code, remote: 'test' }) }])
  })

  it.each([
    ['TLSv1.2', '_ALERT_HANDSHAKE_FAILURE'],
    ['TLSv1.3', '_ALERT_CERTIFICATE_REQUIRED'],
  ] as const)('without a certificate, and tells it so by an alert: %s', async (version, alert) => {
    pair = new Pair(downstream(common(api, trust)), upstream(common(null, trust, { maxVersion: version })))
    const { server, clientError } = await pair.dial()
    expect(server).toBeNull()
    expect(clientError).toMatchObject({ code: expect.stringMatching(alert) })
    const { stats, log } = pair.server
    expect(stats.main.fail_verify_no_cert.value).toBe(1)
    expect(stats.main.connection_error.value).toBe(0)
    expect(stats.scope.counter('refused.no_certificate').value).toBe(1)
    expect(log).toEqual([{ message: 'TLS peer refused', fields: expect.objectContaining({ code: 'no-certificate' }) }])
  })

  it('without a certificate only where one is required', async () => {
    pair = new Pair(downstream(common(api, trust), { requireClientCertificate: false }), upstream(common(null, trust)))
    expect((await pair.dial()).server).toMatchObject({ ok: true, info: { peer: null } })
    pair.close()
    const untrusted = { ...trust, trustChainVerification: 'ACCEPT_UNTRUSTED' } as const
    pair = new Pair(downstream(common(api, untrusted)), upstream(common(null, trust)))
    expect((await pair.dial()).server).toMatchObject({ ok: true, info: { peer: null } })
  })

  it('accepts URIs of other schemes beside its id, and matches each against every matcher', async () => {
    for (const name of [spiffe('web'), 'kuma://version/v1']) {
      const sanMatchers = [san('URI', spiffe('nobody')), san('URI', name)]
      const { server } = await mesh(kuma, api, { down: { sanMatchers } }).dial()
      expect(server).toMatchObject({ ok: true, info: { peer: { uriSans: ['kuma://version/v1', spiffe('web')] } } })
      pair!.close()
    }
    // As our own leaf too: its id makes the rules strict, and names its trust domain.
    const { server, client } = await mesh(kuma, kuma, { sans: ['kuma://version/v1'] }).dial()
    expect([server?.ok, client?.ok]).toEqual([true, true])
    pair!.close()
    const foreign = ca.leaf({ uris: ['kuma://version/v1', spiffe('web', 'other.consul')] })
    expect((await mesh(foreign, api).dial()).server).toMatchObject({ ok: false, code: 'trust-domain' })
  })

  it('accepts the one whose serial is not on the CRL, by either rule', async () => {
    const crl = inline(ca.crl([Buffer.from([0x7f])]))
    for (const onlyVerifyLeafCertCrl of [false, true]) {
      expect((await mesh(web, api, { down: { crl, onlyVerifyLeafCertCrl } }).dial()).server?.ok).toBe(true)
      pair!.close()
    }
  })

  it('of an unknown CA even when expired certificates are allowed and this one is expired too', async () => {
    const shape: Shape = { uris: [spiffe('web')], untilMs: Date.now() - hour / 2 }
    const down = { allowExpiredCertificate: true }
    expect((await mesh(otherCa.leaf(shape), api, { down }).dial()).server).toMatchObject({ ok: false, code: 'chain' })
    pair!.close()
    expect((await mesh(ca.leaf(shape), api, { down }).dial()).server?.ok).toBe(true)
  })

  it('that renegotiates (CVE-2026-87018)', async () => {
    const s = side()
    const listener = net.createServer(raw => {
      const secured = downstreamContext(s, model).accept(raw, null)
      secured.on('error', () => {})
      secured.resume()
    })
    const model = downstream(common(api, trust))
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const port = (listener.address() as net.AddressInfo).port
    const client = tls.connect({ port, host: '127.0.0.1', cert: web.cert, key: web.key, rejectUnauthorized: false, maxVersion: 'TLSv1.2' })
    await once(client, 'secureConnect')
    const outcome = await new Promise<Error | null>(resolve => {
      client.on('error', resolve)
      client.once('close', () => resolve(new Error('closed')))
      client.renegotiate({}, error => resolve(error))
    })
    expect(outcome).toBeInstanceOf(Error)
    client.destroy()
    listener.close()
    s.contexts.close()
  })
})

describe('the client refuses a server', () => {
  it('that shows a valid certificate of another service (CVE-2021-32574)', async () => {
    const { client } = await mesh(web, ca.service('batch')).dial()
    expect(client).toMatchObject({ ok: false, reason: expect.stringMatching(/^san:/) })
  })

  it.each([
    ['a DNS SAN that holds the SPIFFE text (CVE-2022-21656)', { dns: [spiffe('api')], uris: [spiffe('evil')] }],
    [
      'a URI SAN with the wanted one behind a comma (CVE-2021-44531, CVE-2021-44532)',
      { uris: [`${spiffe('evil')}", URI:${spiffe('api')}`] },
    ],
    ['an otherName that holds the id (CVE-2025-66220)', { otherNames: [`${spiffe('api')}\0evil`], uris: [spiffe('evil')] }],
  ] as [string, Shape][])('with %s', async (_name, shape) => {
    expect((await mesh(web, ca.leaf(shape)).dial()).client?.ok).toBe(false)
  })

  it('whose session was resumed after the expected names changed (CVE-2022-21654, CVE-2020-8172)', async () => {
    const p = mesh(web, api)
    await p.dial()
    expect((await p.dial()).resumed).toBe(true)
    p.upstream = upstream(common(web, { ...trust, sanMatchers: [san('URI', spiffe('billing'))] }))
    const { resumed, client } = await p.dial()
    expect(resumed).toBe(false)
    expect(client?.ok).toBe(false)
  })

  it('never offers the session of one cluster to another identity (CVE-2026-48934, CVE-2026-58040)', async () => {
    const p = mesh(web, api)
    await p.dial()
    p.upstream = upstream(common(web, { ...trust, sanMatchers: [san('URI', spiffe('api'))] }), { sni: 'other.internal' })
    expect((await p.dial()).resumed).toBe(false)
  })

  it('and the server resumes nothing after its trust bundle changed (CVE-2022-21654, CVE-2025-23419)', async () => {
    const p = mesh(web, api)
    await p.dial()
    p.downstream = downstream(common(api, { trustedCa: inline(otherCa.pem) }))
    const { server } = await p.dial()
    expect(server).toMatchObject({ ok: false, code: 'chain' })
  })

  it('admits exactly the peered trust domain that a matcher names', async () => {
    const peered = ca.leaf({ uris: [spiffe('api', 'peer.consul')] })
    pair = new Pair(
      downstream(common(peered, null), { requireClientCertificate: false }),
      upstream(common(web, { ...trust, sanMatchers: [san('URI', spiffe('api', 'peer.consul'))] })),
    )
    expect((await pair.dial()).client?.ok).toBe(true)
  })

  it('keeps no sessions with max_session_keys 0', async () => {
    const p = mesh(web, api, { up: { maxSessionKeys: 0 } })
    await p.dial()
    expect((await p.dial()).resumed).toBe(false)
    expect((await p.dial()).resumed).toBe(false)
  })
})

describe('ordinary TLS, where nothing speaks SPIFFE', () => {
  it('matches names by type, and needs no URI SAN', async () => {
    const leaf = ca.leaf({ dns: ['api.example.com'], emails: ['ops@example.com'], ips: [[10, 1, 2, 3]], commonName: 'x' })
    for (const [type, value, good] of [
      ['DNS', 'api.example.com', true],
      ['DNS', '10.1.2.3', false],
      ['IP_ADDRESS', '10.1.2.3', true],
      ['EMAIL', 'ops@example.com', true],
      ['URI', 'api.example.com', false],
      ['ANY', 'ops@example.com', true],
      ['OTHER_NAME', 'ops@example.com', false],
    ] as const) {
      pair = new Pair(
        downstream(common(leaf, null), { requireClientCertificate: false }),
        upstream(common(null, { ...trust, sanMatchers: [san(type, value)] })),
      )
      expect([type, value, (await pair.dial()).client?.ok]).toEqual([type, value, good])
      pair.close()
    }
  })

  it('lets ACCEPT_UNTRUSTED pass, not validated', async () => {
    const leaf = ca.leaf({ dns: ['api'] })
    pair = new Pair(
      downstream(common(leaf, { ...trust, trustChainVerification: 'ACCEPT_UNTRUSTED' })),
      upstream(common(otherCa.leaf({ dns: ['web'] }), trust)),
    )
    const { server } = await pair.dial()
    expect(server).toMatchObject({ ok: true, info: { peer: { dnsSans: ['web'], validated: false } } })
  })
})

describe('the SPIFFE validator', () => {
  const peerCa = new AnyCa()
  const domains = new Map([
    ['11111111-2222-3333-4444-555555555555.consul', inline(ca.pem)],
    ['peer.consul', inline(peerCa.pem)],
  ])
  it.each([
    ['own domain, own bundle', web, true],
    ['peer domain, peer bundle', peerCa.leaf({ uris: [spiffe('web', 'peer.consul')] }), true],
    ['own domain, signed by the peer', peerCa.leaf({ uris: [spiffe('web')] }), false],
    ['peer domain, signed by us', ca.leaf({ uris: [spiffe('web', 'peer.consul')] }), false],
    ['unknown domain', ca.leaf({ uris: [spiffe('web', 'x.consul')] }), false],
  ] as [string, Leaf, boolean][])('chooses the bundle by trust domain: %s', async (_name, leaf, good) => {
    const p = mesh(leaf, api, { down: { trustedCa: null, spiffeTrustDomains: domains } })
    expect((await p.dial()).server?.ok).toBe(good)
    if (good) expect((await p.dial()).server?.ok).toBe(true)
  })
})

describe('a record that is broken behind the handshake ends the connection', () => {
  const BROKEN = Buffer.concat([Buffer.from([23, 3, 3, 0, 32]), Buffer.alloc(32)])
  const { contexts, stats } = side()
  afterAll(() => contexts.close())

  async function listening(onConnection: (raw: net.Socket) => void): Promise<{ server: net.Server; port: number }> {
    const server = net.createServer(onConnection).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { server, port: (server.address() as net.AddressInfo).port }
  }

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that a client opened, with an alert before it (%s)', async version => {
    const model = downstream(common(api, trust))
    const ended = new Promise<boolean>((resolve, reject) => {
      listening(raw => {
        const made = contexts.downstream(model, { tls: stats })
        if (!made.ok) return reject(new Error('no context'))
        const secured = made.value.accept(raw, null)
        secured.on('error', () => {})
        secured.resume()
        secured.once('close', () => resolve(raw.destroyed))
      }).then(async ({ server, port }) => {
        const raw = net.connect(port, '127.0.0.1')
        await once(raw, 'connect')
        const client = tls.connect({ socket: raw, cert: web.cert, key: web.key, rejectUnauthorized: false, maxVersion: version })
        client.on('error', error => alerts.push((error as NodeJS.ErrnoException).code ?? ''))
        await once(client, 'secureConnect')
        raw.write(BROKEN)
        client.once('close', () => server.close())
      }, reject)
    })
    const alerts: string[] = []
    expect(await ended).toBe(true)
    await vi.waitFor(() => expect(alerts).toEqual([expect.stringMatching(/^ERR_SSL_.*ALERT_BAD_RECORD_MAC$/)]))
  })

  it('to a server', async () => {
    const { server, port } = await listening(raw => {
      const secured = new tls.TLSSocket(raw, { isServer: true, cert: api.cert, key: api.key })
      secured.on('error', () => {})
      secured.once('secure', () => raw.write(BROKEN))
    })
    const raw = net.connect(port, '127.0.0.1')
    await once(raw, 'connect')
    const client = contexts.upstream(upstream(common(web, trust)), side().cluster).connect(raw, { sni: '', alpn: null })
    client.on('error', () => {})
    await new Promise(resolve => client.once('close', resolve))
    expect(raw.destroyed).toBe(true)
    server.close()
  })
})

it('runs on a Node whose TLS sockets still have what tls-context.ts asks of them', () => {
  const socket = new tls.TLSSocket(new net.Socket()) as unknown as {
    _releaseControl: unknown
    _handle: { verifyError: unknown }
  }
  expect(socket._releaseControl).toBeTypeOf('function')
  expect(socket._handle.verifyError).toBeTypeOf('function')
})
