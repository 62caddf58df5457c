// A reset always ends the connection: also while its own end is on the way, when libuv refuses to reset.
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { resetSocket, setCarrier } from '../../src/io/reset-socket.js'
import { AnyCa } from '../mtls/tls/tls-support.js'

const ca = new AnyCa()
const { cert, key } = ca.service('api')
const opened: { destroy(): unknown }[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

interface Pair {
  readonly client: Socket
  readonly served: Socket
  /** The raw socket below `served`, or `served` itself. */
  readonly raw: Socket
}

async function pairOf(secured: boolean): Promise<Pair> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const dialled = net.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
  const [raw] = (await once(server, 'connection')) as [Socket]
  server.close()
  opened.push(dialled, raw)
  for (const socket of [dialled, raw]) socket.on('error', () => {})
  if (!secured) return { client: dialled, served: raw, raw }
  const served = new tls.TLSSocket(raw, { isServer: true, cert, key, allowHalfOpen: true } as tls.TLSSocketOptions)
  setCarrier(served, raw)
  const client = tls.connect({ socket: dialled, rejectUnauthorized: false })
  for (const socket of [served, client]) socket.on('error', () => {})
  await Promise.all([once(client, 'secureConnect'), once(served, 'secure')])
  // What comes after the handshake is read: libuv tells a reset right behind unread bytes as an end.
  served.write('welcome')
  client.on('data', () => {})
  await once(client, 'data')
  return { client, served, raw }
}

describe.each([
  ['plain', false],
  ['TLS', true],
])('a reset of a %s socket', (_name, secured) => {
  test('is an error to the peer', async () => {
    const { client, served } = await pairOf(secured)
    client.on('data', () => {})
    const told = new Promise<NodeJS.ErrnoException>(resolve => client.once('error', resolve))
    resetSocket(served)
    expect((await told).code).toBe('ECONNRESET')
  })

  test('while its own end is on the way closes it all the same', async () => {
    const { served, raw } = await pairOf(secured)
    const closed = new Promise(resolve => raw.once('close', resolve))
    // With nothing to be sent before it the shutdown begins at once, and is over in the next turn at the earliest.
    served.end()
    resetSocket(served)
    await closed
    expect(served.destroyed).toBe(true)
  })

  test('that is said twice closes it once', async () => {
    const { served, raw } = await pairOf(secured)
    let closes = 0
    raw.on('close', () => closes++)
    resetSocket(served)
    resetSocket(served)
    await once(raw, 'close')
    resetSocket(served)
    await new Promise(resolve => setImmediate(resolve))
    expect(closes).toBe(1)
  })
})

const DOING: Record<string, (stream: Socket) => unknown> = {
  nothing: () => {},
  'sending its end': stream => stream.end('last words'),
  'sending much to a peer that reads nothing': stream => stream.write(Buffer.alloc(8 * 1024 * 1024)),
  'sending much, and its end': stream => stream.end(Buffer.alloc(8 * 1024 * 1024)),
}

describe.each([
  ['plain', false],
  ['TLS', true],
])('whatever a %s socket was doing, and is told in the same turn, both sides are done with it', (_name, secured) => {
  test.each(Object.keys(DOING))('%s', async doing => {
    const { client, served, raw } = await pairOf(secured)
    const ended = [raw, served, client].map(socket => new Promise(resolve => socket.once('close', resolve).once('end', resolve)))
    DOING[doing]!(served)
    resetSocket(served)
    // Over TLS each of these would end the process, were it to reach the session.
    served.write(Buffer.alloc(20_000))
    served.end()
    served.destroy()
    client.resume()
    await Promise.all(ended)
    expect(raw.destroyed).toBe(true)
  })
})

// Node's own TLS client calls any end of the socket below it an end.
test('what is cut off does not look finished', async () => {
  const { client, served } = await pairOf(false)
  served.end(Buffer.alloc(8 * 1024 * 1024))
  resetSocket(served)
  let ended = false
  client.on('end', () => {
    ended = true
  })
  const closed = new Promise(resolve => client.once('close', resolve))
  client.resume()
  await closed
  expect(ended).toBe(false)
})
