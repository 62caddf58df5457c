import { once } from 'node:events'
import { connect, createServer, type SecureVersion, type Server } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { sessionWithoutPeer } from '../../../src/mtls/tls/session-without-peer.js'
import { AnyCa } from './tls-support.js'

const ca = new AnyCa()
const leaf = ca.service('api')
/** The certificate's bytes, as they stand in a session. */
const certificate = Buffer.from(leaf.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64')
let server: Server
afterEach(() => server?.close())

async function serve(): Promise<number> {
  server = createServer({ cert: leaf.cert, key: leaf.key }, socket => socket.on('error', () => {}).end('hello'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

async function handshake(
  port: number,
  version: SecureVersion,
  session?: Buffer,
): Promise<{ session: Buffer; authorized: boolean; resumed: boolean }> {
  const options = { port, host: '127.0.0.1', ca: ca.pem, checkServerIdentity: () => undefined, minVersion: version, maxVersion: version }
  const socket = connect({ ...options, ...(session === undefined ? {} : { session }) })
  let made = Buffer.alloc(0)
  let authorized = false
  let resumed = false
  socket.once('secureConnect', () => {
    authorized = socket.authorized
    resumed = socket.isSessionReused()
  })
  socket.on('session', given => {
    made = given
  })
  await once(socket.resume(), 'close')
  return { session: made, authorized, resumed }
}

describe('a TLS 1.3 session without its certificate', () => {
  it('is shorter by it, resumes, and counts as verified', async () => {
    const port = await serve()
    const { session } = await handshake(port, 'TLSv1.3')
    expect(session.includes(certificate)).toBe(true)
    const stripped = sessionWithoutPeer(session)
    // Newer releases of Node 24 wrap together with the server's name: that form stays as it is.
    const plain = session[0] === 0x30
    expect(stripped.includes(certificate)).toBe(!plain)
    expect(session.length - stripped.length > certificate.length).toBe(plain)
    const again = await handshake(port, 'TLSv1.3', stripped)
    expect(again).toMatchObject({ resumed: true, authorized: true })
    // Nothing is left to take out.
    expect(sessionWithoutPeer(stripped)).toEqual(stripped)
  })

  it('leaves TLS 1.2 sessions and everything else as they are', async () => {
    const { session } = await handshake(await serve(), 'TLSv1.2')
    expect(sessionWithoutPeer(session)).toBe(session)
    const odd = [Buffer.alloc(0), Buffer.from('nonsense'), Buffer.from([0x30]), Buffer.from([0x30, 0x80]), Buffer.from([0x30, 5, 2, 1, 1])]
    for (const bytes of odd) expect(sessionWithoutPeer(bytes)).toBe(bytes)
  })

  it('cut anywhere, a session is handed back', async () => {
    const { session } = await handshake(await serve(), 'TLSv1.3')
    for (let length = 0; length < session.length; length++) {
      const cut = session.subarray(0, length)
      expect(sessionWithoutPeer(cut)).toBe(cut)
    }
  })
})
