// Sockets that read into the shared buffer behave as with `data` events: the same bytes in order, pauses, ends and resets, on plain and TLS
// sockets of both sides. Run it with each Node that is supported: the slots it relies on are not documented.
import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { BulkWriter, MAX_WAITING_BYTES } from '../../src/io/bulk-writer.js'
import { TURN_BYTES } from '../../src/io/read-turn.js'
import { ownBytes, READ_SLOTS, readShared } from '../../src/io/shared-read.js'
import { AnyCa } from '../mtls/tls/tls-support.js'

const ca = new AnyCa('shared-read')
const leaf = ca.leaf({ dns: ['localhost'] })

interface Pair {
  readonly client: Duplex
  readonly server: Duplex
}

const opened: Pair[] = []
afterEach(() => {
  for (const { client, server } of opened.splice(0)) {
    client.destroy()
    server.destroy()
  }
})

async function connect(secure: boolean): Promise<Pair> {
  const listening = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  listening.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const accepted = once(listening, 'connection')
  const raw = net.connect({ port: (listening.address() as net.AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
  const [below] = (await accepted) as [net.Socket]
  listening.close()
  let client: Duplex = raw
  let server: Duplex = below
  if (secure) {
    const secured = new tls.TLSSocket(below, { isServer: true, cert: leaf.cert, key: leaf.key })
    const connected = tls.connect({ socket: raw, ca: ca.pem, servername: 'localhost', checkServerIdentity: () => undefined })
    await Promise.all([once(secured, 'secure'), once(connected, 'secureConnect')])
    client = connected
    server = secured
  }
  client.on('error', () => {})
  server.on('error', () => {})
  opened.push({ client, server })
  return { client, server }
}

function patterned(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = (i * 31 + (i >>> 8)) & 0xff
  return buffer
}

/** Until the kernel and the pipes between are full: then all of it can be read at once. */
async function allThatFits(client: Duplex): Promise<void> {
  for (let same = 0, before = -1; same < 100; before = client.writableLength) {
    await new Promise(resolve => setImmediate(resolve))
    same = client.writableLength === before ? same + 1 : 0
  }
}

async function collect(from: Duplex, slots = READ_SLOTS): Promise<Buffer> {
  const parts: Buffer[] = []
  readShared(from, chunk => parts.push(Buffer.from(chunk)), slots)
  from.resume()
  await once(from, 'end')
  return Buffer.concat(parts)
}

test('this Node has the slots', () => {
  expect(READ_SLOTS).not.toBeNull()
})

describe.each([
  ['a plain socket', false],
  ['a TLS socket', true],
])('%s', (_name, secure) => {
  const BODY = patterned(3_000_000)

  test.each([
    ['into the shared buffer', READ_SLOTS],
    ['by data events where the slots are missing', null],
  ])('reads every byte in order, as server and as client, %s', async (_how, slots) => {
    const { client, server } = await connect(secure)
    const [up, down] = [collect(server, slots), collect(client, slots)]
    client.end(BODY)
    server.end(BODY)
    expect((await up).equals(BODY)).toBe(true)
    expect((await down).equals(BODY)).toBe(true)
  })

  test('lends its bytes: the next read overwrites them, a copy stays', async () => {
    const { client, server } = await connect(secure)
    const lent: Buffer[] = []
    const kept: Buffer[] = []
    const second = new Promise<void>(resolve =>
      readShared(server, chunk => {
        lent.push(chunk)
        kept.push(ownBytes(chunk))
        if (lent.length === 2) resolve()
        else client.write('two')
      }),
    )
    server.resume()
    client.write('one')
    await second
    expect(kept.map(String)).toEqual(['one', 'two'])
    expect(String(lent[0])).toBe('two')
    expect(ownBytes(kept[0]!)).toBe(kept[0])
  })

  test('keeps what comes during a pause, in order, and the end behind it', async () => {
    const { client, server } = await connect(secure)
    const seen: string[] = []
    let paused: (() => void) | null = null
    const first = new Promise<void>(resolve => (paused = resolve))
    readShared(server, chunk => {
      seen.push(String(chunk))
      if (seen.length === 1) {
        server.pause()
        paused!()
      }
    })
    server.on('end', () => seen.push('end'))
    server.resume()
    client.write('a')
    await first
    client.end('b')
    while (server.readableLength === 0) await new Promise(resolve => setImmediate(resolve))
    expect(seen).toEqual(['a'])
    server.resume()
    await once(server, 'end')
    expect(seen).toEqual(['a', 'b', 'end'])
  })

  test('stops the sender when nobody takes the bytes, and goes on', async () => {
    const { client, server } = await connect(secure)
    let bytes = 0
    readShared(server, chunk => (bytes += chunk.length))
    server.resume()
    server.pause()
    const whole = patterned(40_000_000)
    client.end(whole)
    while (server.readableLength === 0) await new Promise(resolve => setImmediate(resolve))
    for (let turns = 0; turns < 200; turns++) await new Promise(resolve => setImmediate(resolve))
    expect(server.readableLength).toBeLessThan(1_000_000)
    expect(bytes).toBe(0)
    server.resume()
    await once(server, 'end')
    expect(bytes).toBe(whole.length)
  })

  test('takes only its share of a turn of the event loop, however much has come', async () => {
    const { client, server } = await connect(secure)
    const whole = patterned(4_000_000)
    client.end(whole)
    await allThatFits(client)
    const turns = [0]
    readShared(server, chunk => {
      turns[turns.length - 1]! += chunk.length
    })
    let counting = true
    const nextTurn = (): void => {
      turns.push(0)
      if (counting) setImmediate(nextTurn)
    }
    setImmediate(nextTurn)
    server.resume()
    await once(server, 'end')
    counting = false
    expect(turns.reduce((sum, bytes) => sum + bytes, 0)).toBe(whole.length)
    // One read more may be on its way when the share is used up, and what was read before anyone listened.
    expect(Math.max(...turns)).toBeLessThanOrEqual(TURN_BYTES + 2 * 64 * 1024)
  })

  test('hears one who says little before many others have brought their bulk', async () => {
    const SENDERS = 10
    const senders = await Promise.all(Array.from({ length: SENDERS }, () => connect(secure)))
    const hurried = await connect(secure)
    const whole = patterned(4_000_000)
    for (const { client } of senders) {
      client.end(whole)
      await allThatFits(client)
    }
    hurried.client.write('now')
    let bulk = 0
    for (const { server } of senders) {
      readShared(server, chunk => (bulk += chunk.length))
      server.resume()
    }
    const before = await new Promise<number>(resolve => {
      readShared(hurried.server, () => resolve(bulk))
      hurried.server.resume()
    })
    expect(before).toBeLessThanOrEqual(SENDERS * TURN_BYTES)
    await Promise.all(senders.map(({ server }) => once(server, 'end')))
    expect(bulk).toBe(SENDERS * whole.length)
  })

  test('relays bulk to a slow reader byte for byte, and holds little of it', async () => {
    const { client, server } = await connect(secure)
    const slow = await connect(secure)
    const whole = patterned(20_000_000)
    client.end(whole)
    const writer = new BulkWriter(slow.server as net.Socket, 1024 * 1024)
    let most = 0
    readShared(server, chunk => {
      if (!writer.write(chunk)) server.pause()
      most = Math.max(most, slow.server.writableLength)
    })
    slow.server.on('drain', () => server.resume())
    server.on('end', () => slow.server.end())
    server.resume()
    const parts: Buffer[] = []
    slow.client.on('data', chunk => {
      parts.push(chunk)
      if (parts.length % 16 !== 0) return
      slow.client.pause()
      setImmediate(() => slow.client.resume())
    })
    await once(slow.client, 'end')
    expect(Buffer.concat(parts).equals(whole)).toBe(true)
    expect(most).toBeLessThanOrEqual(MAX_WAITING_BYTES + 64 * 1024)
  })

  test('notices during a pause that the peer has left', async () => {
    const { client, server } = await connect(secure)
    readShared(server, () => {})
    server.resume()
    server.pause()
    const gone = new Promise(resolve => server.once('end', resolve).once('close', resolve))
    client.destroy()
    await gone
  })

  test('takes what was read before', async () => {
    const { client, server } = await connect(secure)
    server.resume()
    server.pause()
    client.end('early')
    while (server.readableLength === 0) await new Promise(resolve => setImmediate(resolve))
    expect(String(await collect(server))).toBe('early')
  })
})

test('TLS over a stream of JavaScript keeps to data events, which no other read can overwrite', async () => {
  const { client, server } = await connect(true)
  const inner = new tls.TLSSocket(server as net.Socket, { isServer: true, cert: leaf.cert, key: leaf.key })
  const outer = tls.connect({ socket: client as net.Socket, ca: ca.pem, servername: 'localhost', checkServerIdentity: () => undefined })
  await Promise.all([once(inner, 'secure'), once(outer, 'secureConnect')])
  const read = collect(inner)
  outer.end('through two layers')
  expect(String(await read)).toBe('through two layers')
})
