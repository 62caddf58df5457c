// A small HTTP/2 origin on Http2ServerCodec and a real socket, in the clear or over TLS, for h2spec and for interop tests. `/echo` sends
// the request body back, anything else gets 200 with a short one.

import net from 'node:net'
import tls from 'node:tls'
import type { ServerHandler, ServerStream, StreamReset, Transport } from '../../src/l7/codec/codec.js'
import { HeaderList } from '../../src/l7/codec/header-list.js'
import type { Http2CodecOptions } from '../../src/l7/codec/http2/connection-base.js'
import { Http2ServerCodec } from '../../src/l7/codec/http2/server-codec.js'
import { http2Options } from './http2-pair.js'

const BODY = Buffer.from('hello from outrigger\n')

/** A socket as a Transport. */
export class TestSocketTransport implements Transport {
  constructor(readonly socket: net.Socket) {}
  get writableLength(): number {
    return this.socket.writableLength
  }
  write(data: Buffer | string): boolean {
    if (this.socket.destroyed || this.socket.writableEnded) return true
    return typeof data === 'string' ? this.socket.write(data, 'latin1') : this.socket.write(data)
  }
  end(): void {
    this.socket.end()
  }
  destroy(): void {
    this.socket.destroy()
  }
  pauseRead(): void {
    this.socket.pause()
  }
  resumeRead(): void {
    this.socket.resume()
  }
}

interface Drivable {
  feed(chunk: Buffer): void
  onTransportDrain(): void
  onTransportEnd(): void
  onTransportClose(reason: StreamReset): void
}

/** Wire a socket's events to a codec. */
export function driveCodec(socket: net.Socket, codec: Drivable): void {
  socket.on('data', (chunk: Buffer) => codec.feed(chunk))
  socket.on('drain', () => codec.onTransportDrain())
  socket.on('end', () => codec.onTransportEnd())
  socket.on('error', () => {})
  socket.on('close', () => codec.onTransportClose({ code: 'connection-closed', details: 'test' }))
}

/** Answers each request: echo with backpressure and trailers kept, or a fixed body. */
export function echoHandler(): ServerHandler {
  return {
    onRequest(stream, head, end) {
      const echo = head.path === '/echo'
      const headers = HeaderList.of(['content-type', 'text/plain'])
      if (!echo) headers.append('content-length', String(BODY.length))
      const respond = (): void => {
        stream.sendHead({ status: 200, reason: '', version: 'HTTP/2', headers, contentLength: -1, upgraded: false }, false)
        stream.sendData(BODY, true)
      }
      stream.events = {
        onData(chunk, last) {
          if (echo) {
            if (!stream.sendData(chunk, last)) stream.pause()
          } else if (last) respond()
        },
        onTrailers(trailers) {
          if (echo) stream.sendTrailers(trailers)
          else respond()
        },
        onReset() {},
        onDrain() {
          stream.resume()
        },
      }
      if (echo) stream.sendHead({ status: 200, reason: '', version: 'HTTP/2', headers, contentLength: -1, upgraded: false }, end)
      else if (end) respond()
    },
    onBadRequest(stream: ServerStream, error) {
      const headers = HeaderList.of(['content-type', 'text/plain'])
      stream.sendHead({ status: error.status, reason: '', version: 'HTTP/2', headers, contentLength: -1, upgraded: false }, false)
      stream.sendData(Buffer.from(error.message), true)
    },
    onRefusedHead() {},
    onIdle() {},
    onHeadPending() {},
    onConnectionError() {},
  }
}

export interface EchoServer {
  readonly port: number
  readonly codecs: Http2ServerCodec[]
  close(): Promise<void>
}

/** @param tlsOptions key and cert, for TLS with ALPN h2 */
export async function startEchoServer(
  tlsOptions: tls.TlsOptions | null = null,
  options: Http2CodecOptions = http2Options({}, { now: () => performance.now() }),
  handler: () => ServerHandler = echoHandler,
): Promise<EchoServer> {
  const sockets = new Set<net.Socket>()
  const codecs: Http2ServerCodec[] = []
  const onSocket = (socket: net.Socket): void => {
    sockets.add(socket)
    socket.setNoDelay(true)
    const codec = new Http2ServerCodec(new TestSocketTransport(socket), handler(), options)
    codecs.push(codec)
    driveCodec(socket, codec)
    socket.on('close', () => sockets.delete(socket))
    // After GOAWAY and FIN the peer has a moment to read them.
    socket.on('finish', () => setTimeout(() => socket.destroy(), 200).unref())
  }
  const server =
    tlsOptions === null
      ? net.createServer({ allowHalfOpen: true }, onSocket)
      : tls.createServer({ ...tlsOptions, ALPNProtocols: ['h2'], allowHalfOpen: true } as tls.TlsOptions, onSocket)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    codecs,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** Key and certificate in PEM for one test run. */
export async function selfSigned(): Promise<{ key: string; cert: string }> {
  const forge = (await import('node-forge')).default
  const keys = forge.pki.rsa.generateKeyPair(2048)
  const cert = forge.pki.createCertificate()
  cert.publicKey = keys.publicKey
  cert.serialNumber = '01'
  cert.validity.notBefore = new Date(Date.now() - 3_600_000)
  cert.validity.notAfter = new Date(Date.now() + 3_600_000)
  cert.setSubject([{ name: 'commonName', value: 'localhost' }])
  cert.setIssuer([{ name: 'commonName', value: 'localhost' }])
  cert.sign(keys.privateKey, forge.md.sha256.create())
  return { key: forge.pki.privateKeyToPem(keys.privateKey), cert: forge.pki.certificateToPem(cert) }
}
