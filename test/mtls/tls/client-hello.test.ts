import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClientHelloParser, type ClientHelloResult, readClientHello } from '../../../src/mtls/tls/client-hello.js'

async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = tls.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', ...options })
  client.on('error', () => {})
  const [raw] = (await once(server, 'connection')) as [net.Socket]
  const [bytes] = (await once(raw, 'data')) as [Buffer]
  client.destroy()
  raw.destroy()
  server.close()
  return bytes
}

const vector = (size: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(size)
  head.writeUIntBE(body.length, 0, size)
  return Buffer.concat([head, body])
}
const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff])
const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), vector(2, body)])
const serverName = (name: Buffer): Buffer => extension(0, vector(2, Buffer.from([0]), vector(2, name)))

function message(...extensions: Buffer[]): Buffer {
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    vector(1),
    vector(2, u16(0x1301)),
    vector(1, Buffer.from([0])),
    vector(2, ...extensions),
  ])
  return Buffer.concat([Buffer.from([1]), vector(3, body)])
}

function records(bytes: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(Buffer.from([22, 3, 1]), vector(2, bytes.subarray(at, at + size)))
  return Buffer.concat(parts)
}

const hello = (result: ClientHelloResult) => {
  expect(result.kind).toBe('hello')
  return result as Extract<ClientHelloResult, { kind: 'hello' }>
}

describe('ClientHelloParser', () => {
  it('reads SNI, ALPN and versions of a real client, whole and byte by byte', async () => {
    const bytes = await helloOf({ servername: 'api.example.com', ALPNProtocols: ['h2', 'http/1.1'] })
    const whole = hello(readClientHello(bytes))
    expect(whole).toMatchObject({ sni: 'api.example.com', alpn: ['h2', 'http/1.1'] })
    expect(whole.versions).toContain(0x0304)
    const parser = new ClientHelloParser()
    for (let i = 0; i < bytes.length - 1; i++) expect(parser.feed(bytes.subarray(i, i + 1)).kind).toBe('more')
    expect(parser.feed(bytes.subarray(bytes.length - 1))).toEqual(whole)
  })

  it('folds the case of SNI (CVE-2026-48928)', () => {
    expect(hello(readClientHello(records(message(serverName(Buffer.from('API.Example.COM')))))).sni).toBe('api.example.com')
  })

  it('puts a message together from several records', () => {
    const bytes = records(message(serverName(Buffer.from('a.b')), extension(21, Buffer.alloc(40_000))), 999)
    expect(hello(readClientHello(bytes)).sni).toBe('a.b')
  })

  it.each([
    ['empty', Buffer.alloc(0), ''],
    ['255 bytes', Buffer.alloc(255, 0x61), 'a'.repeat(255)],
    ['256 bytes', Buffer.alloc(256, 0x61), ''],
    ['NUL', Buffer.from('good.com\0.evil.com'), ''],
    ['IP', Buffer.from('10.0.0.1'), '10.0.0.1'],
    ['__proto__', Buffer.from('__proto__'), '__proto__'],
    ['not ASCII', Buffer.from('münchen.de'), ''],
  ])('never throws on an odd SNI: %s (CVE-2026-21637, CVE-2026-48930)', (_name, bytes, sni) => {
    expect(hello(readClientHello(records(message(serverName(bytes))))).sni).toBe(sni)
  })

  it('knows at the first byte that plain text is not TLS', () => {
    expect(readClientHello(Buffer.from('G')).kind).toBe('notTls')
    expect(readClientHello(Buffer.from('PRI * HTTP/2.0\r\n')).kind).toBe('notTls')
  })

  it('ends at 64 KiB and at 256 records', () => {
    const large = Buffer.from([1, 0x01, 0x00, 0x00])
    expect(readClientHello(records(large))).toMatchObject({ kind: 'error', reason: expect.stringContaining('65536') })
    expect(readClientHello(records(message(extension(21, Buffer.alloc(600))), 1))).toMatchObject({
      kind: 'error',
      reason: expect.stringContaining('256'),
    })
  })

  it('refuses an extension that stands twice or is cut off', () => {
    expect(readClientHello(records(message(serverName(Buffer.from('a')), serverName(Buffer.from('b'))))).kind).toBe('error')
    expect(readClientHello(records(message(Buffer.from([0, 0, 0, 9])))).kind).toBe('error')
  })

  it('never throws and gives the same answer however the bytes are cut', () => {
    const good = records(message(serverName(Buffer.from('x.y')), extension(16, vector(2, vector(1, Buffer.from('h2'))))))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
        (changes, cuts) => {
          const bytes = Buffer.from(good)
          for (const [at, value] of changes) bytes[at] = value
          const parser = new ClientHelloParser()
          let result = parser.feed(bytes.subarray(0, 0))
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const next = at + cuts[i % cuts.length]!
            result = parser.feed(bytes.subarray(at, next))
            at = next
          }
          expect(result).toEqual(readClientHello(bytes))
        },
      ),
      { seed: 6, numRuns: 500 },
    )
  })
})
