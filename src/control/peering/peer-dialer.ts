// The way to a peer's control plane: gRPC over HTTP/2 and TLS that trusts nobody but the CA of the peer, for the peering server name. Called by
// peerings.ts. Invariant: nothing is said before the certificate has been verified; a failure is one line that says what is wrong where.

import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import tls from 'node:tls'
import { serverNameOptions } from '../../io/server-name.js'
import { MAX_MESSAGE_BYTES } from './peer-messages.js'
import { serverAddress } from './peering-token.js'

export interface PeerServers {
  readonly addresses: readonly string[]
  readonly serverName: string
  readonly caPems: readonly string[]
}

/** Why the peer has no answer for us; `status`: gRPC's, where it has answered. */
export class PeerError extends Error {
  constructor(
    message: string,
    readonly status?: number,
  ) {
    super(message)
  }
}

export interface PeerStreamEvents {
  /** `bytes`: of the message as it came. */
  onMessage(json: unknown, bytes: number): void
  /** Once, when the stream has ended, by whoever. */
  onClosed(error: PeerError): void
}

export interface DialledStream {
  send(json: object): void
  /** After what has been sent. */
  close(): void
}

const CONNECT_TIMEOUT_MS = 5_000
const ANSWER_TIMEOUT_MS = 10_000
const PING_MS = 15_000
const CLOSE_TIMEOUT_MS = 1_000
const PREFIX_BYTES = 5
/** What a peer that does not read may keep waiting here. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** One question, one answer, at the first address that answers. Rejects with a `PeerError`. */
export async function askPeer(servers: PeerServers, path: string, question: object): Promise<unknown> {
  const session = await connectAny(servers)
  try {
    return await new Promise((resolve, reject) => {
      let answer: unknown
      const stream = openStream(session, path, {
        onMessage: json => {
          answer = json
        },
        onClosed: error => (answer === undefined ? reject(error) : resolve(answer)),
      })
      const timer = setTimeout(() => {
        reject(new PeerError(`no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`))
        stream.close()
      }, ANSWER_TIMEOUT_MS)
      timer.unref()
      stream.send(question)
      stream.endSending()
    })
  } finally {
    session.close()
  }
}

/** Opens a stream at the first address that answers. Rejects with a `PeerError`; afterwards `onClosed` is told. */
export async function dialPeer(servers: PeerServers, path: string, events: PeerStreamEvents): Promise<DialledStream> {
  const session = await connectAny(servers)
  const ping = setInterval(() => session.ping(() => {}), PING_MS)
  ping.unref()
  return openStream(session, path, {
    onMessage: (json, bytes) => events.onMessage(json, bytes),
    onClosed: error => {
      clearInterval(ping)
      session.destroy()
      events.onClosed(error)
    },
  })
}

async function connectAny(servers: PeerServers): Promise<ClientHttp2Session> {
  const problems: string[] = []
  for (const address of servers.addresses) {
    try {
      return await connect(address, servers)
    } catch (error) {
      problems.push(`${address} ${(error as Error).message}`)
    }
  }
  throw new PeerError(problems.length === 0 ? 'there is no address to dial' : problems.join('; '))
}

function connect(address: string, { serverName, caPems }: PeerServers): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const { host, port } = serverAddress(address)
    const socket = tls.connect({ host, port, ...serverNameOptions(serverName), ca: [...caPems], ALPNProtocols: ['h2'] })
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1_000} s`)), CONNECT_TIMEOUT_MS)
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer)
      reject(new Error(reasonOf(error, serverName)))
    }
    socket.once('error', failed)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.removeListener('error', failed)
      const session = http2.connect(`https://${serverName}`, { createConnection: () => socket })
      session.on('error', () => {})
      resolve(session)
    })
  })
}

const NOT_SIGNED: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
])

function reasonOf(error: NodeJS.ErrnoException, serverName: string): string {
  const code = error.code ?? ''
  if (NOT_SIGNED.has(code)) return `shows a certificate that the CA of the peer did not sign (${code})`
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED') {
    const what = code === 'CERT_HAS_EXPIRED' ? 'is over' : 'is not valid yet'
    return `shows a certificate that ${what} at ${new Date().toISOString()}, which is the time here: are the clocks of the two apart?`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `shows a certificate that is not for ${serverName}`
  if (code.startsWith('ERR_SSL_')) return `does not speak TLS as a peer does (${code})`
  return `can't be reached: ${code === 'ECONNREFUSED' ? 'connection refused' : error.message}`
}

function openStream(session: ClientHttp2Session, path: string, events: PeerStreamEvents): DialledStream & { endSending(): void } {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc+json',
    te: 'trailers',
  })
  const reader = new FrameReader()
  let status: PeerError | undefined
  const readStatus = (headers: Record<string, unknown>): void => {
    const code = headers['grpc-status']
    if (code === undefined) return
    const message = percentDecoded(String(headers['grpc-message'] ?? ''))
    status = new PeerError(message === '' ? `the stream has ended (status ${String(code)})` : message, Number(code))
  }
  stream.on('response', readStatus)
  stream.on('trailers', readStatus)
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const { json, bytes } of reader.read(chunk)) events.onMessage(json, bytes)
    } catch (error) {
      status = new PeerError((error as Error).message)
      stream.destroy()
    }
  })
  stream.once('close', () => events.onClosed(status ?? new PeerError('the connection was lost')))
  return {
    send: json => sendFrame(stream, json),
    endSending: () => void stream.end(),
    close() {
      stream.end()
      // The peer ends it then; one that does not is not waited for.
      setTimeout(() => stream.destroy(), CLOSE_TIMEOUT_MS).unref()
    },
  }
}

/** What is not rightly encoded is told as it came. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function sendFrame(stream: ClientHttp2Stream, json: object): void {
  if (stream.destroyed || stream.writableEnded) return
  if (stream.writableLength > MAX_WAITING_BYTES) return void stream.destroy()
  const body = Buffer.from(JSON.stringify(json))
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + body.length)
  frame[0] = 0
  frame.writeUInt32BE(body.length, 1)
  frame.set(body, PREFIX_BYTES)
  stream.write(frame)
}

/** Messages out of gRPC's frames. */
class FrameReader {
  private pending: Buffer[] = []
  private pendingBytes = 0

  /** Throws one line. */
  read(chunk: Buffer): { readonly json: unknown; readonly bytes: number }[] {
    const messages: { readonly json: unknown; readonly bytes: number }[] = []
    this.pending.push(chunk)
    this.pendingBytes += chunk.length
    while (this.pendingBytes >= PREFIX_BYTES) {
      if (this.pending[0]!.length < PREFIX_BYTES) this.pending = [Buffer.concat(this.pending)]
      const length = this.pending[0]!.readUInt32BE(1)
      if (this.pending[0]![0] !== 0) throw new Error('the peer compresses its messages, which is not read here')
      if (length > MAX_MESSAGE_BYTES) throw new Error(`the peer sends a message of ${length} bytes, the limit is ${MAX_MESSAGE_BYTES}`)
      if (this.pendingBytes < PREFIX_BYTES + length) break
      const all = Buffer.concat(this.pending)
      const rest = all.subarray(PREFIX_BYTES + length)
      this.pending = rest.length === 0 ? [] : [rest]
      this.pendingBytes = rest.length
      messages.push({ json: parse(all.subarray(PREFIX_BYTES, PREFIX_BYTES + length)), bytes: length })
    }
    return messages
  }
}

function parse(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch {
    throw new Error('the peer sends a message that is no JSON')
  }
}
