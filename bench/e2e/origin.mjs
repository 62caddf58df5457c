// Origins of the bench, as cheap as Node can: raw sockets with ready-made answers. argv: kind (http1|http2|tcp-source) port
//   http1       65 bytes for every path, 64 KiB for /64k, 10 MiB for /10m, echo after an upgrade on /ws; bodies of requests are read and dropped
//   http2       the same 65 bytes, /grpc.Echo/Unary and /grpc.Echo/Stream, on the HTTP/2 engine of this project
//   tcp-source  100 MiB after the first byte
import net from 'node:net'

const [kind, portText] = process.argv.slice(2)
const BODY = 'x'.repeat(65)
const SOURCE_BYTES = 100 * 1024 * 1024

function answer(body) {
  return Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`, 'latin1')
}
const SMALL = answer(BODY)
const BIG = answer('y'.repeat(64 * 1024))
const HUGE = answer('z'.repeat(10 * 1024 * 1024))
const UPGRADED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

function http1(socket) {
  let tail = ''
  let skip = 0
  let echo = false
  socket.on('data', chunk => {
    if (echo) {
      socket.write(chunk)
      return
    }
    if (skip >= chunk.length) {
      skip -= chunk.length
      if (skip === 0) socket.write(SMALL)
      return
    }
    const text = tail + chunk.latin1Slice()
    tail = ''
    let from = 0
    while (from < text.length) {
      const end = text.indexOf('\r\n\r\n', from)
      if (end === -1) {
        tail = text.slice(from)
        return
      }
      const head = text.slice(from, end)
      from = end + 4
      if (head.startsWith('GET /ws')) {
        echo = true
        socket.write(UPGRADED, 'latin1')
        return
      }
      const length = head.startsWith('POST') ? Number(/content-length: (\d+)/i.exec(head)[1]) : 0
      from += length
      if (from > text.length) skip = from - text.length
      else socket.write(head.startsWith('GET /64k') ? BIG : head.startsWith('GET /10m') ? HUGE : SMALL)
    }
  })
}

async function http2Origin() {
  const { Http2ServerCodec } = await import('../../dist/l7/codec/http2/server-codec.js')
  const { HeaderList } = await import('../../dist/l7/codec/header-list.js')
  const { SocketTransport } = await import('../../dist/io/socket-transport.js')
  const { defaultHttp2Options } = await import('./defaults.mjs')
  const body = Buffer.from(BODY)
  const grpcBody = Buffer.concat([Buffer.from([0, 0, 0, 0, BODY.length]), body])
  const headers = HeaderList.of(['content-type', 'text/plain'], ['content-length', String(BODY.length)])
  const grpcHeaders = HeaderList.of(['content-type', 'application/grpc'])
  const grpcTrailers = HeaderList.of(['grpc-status', '0'])
  const head = (fields, contentLength) => ({ status: 200, reason: '', version: 'HTTP/2', headers: fields, contentLength, upgraded: false })
  const respond = (stream, path) => {
    if (path === '/grpc.Echo/Unary') {
      stream.sendHead(head(grpcHeaders, -1), false)
      stream.sendData(grpcBody, false)
      stream.sendTrailers(grpcTrailers)
      return
    }
    stream.sendHead(head(headers, BODY.length), false)
    stream.sendData(body, true)
  }
  const handler = {
    onRequest(stream, { path }, end) {
      const echo = path === '/grpc.Echo/Stream'
      if (echo) stream.sendHead(head(grpcHeaders, -1), false)
      stream.events = {
        onData(chunk, last) {
          if (echo) stream.sendData(chunk, false)
          if (last && echo) stream.sendTrailers(grpcTrailers)
          else if (last) respond(stream, path)
        },
        onTrailers() {
          respond(stream, path)
        },
        onReset() {},
        onDrain() {},
      }
      if (end) respond(stream, path)
    },
    onBadRequest() {},
    onIdle() {},
    onHeadPending() {},
    onConnectionError() {},
  }
  return socket => {
    const codec = new Http2ServerCodec(new SocketTransport(socket), handler, {
      http2: defaultHttp2Options,
      limits: { maxHeadBytes: 61440, maxHeaders: 100, underscores: 'ALLOW' },
    })
    socket.on('data', chunk => codec.feed(chunk))
    socket.on('drain', () => codec.onTransportDrain())
    socket.on('close', () => codec.onTransportClose({ code: 'connection-closed', details: '' }))
  }
}

function tcpSource(socket) {
  const chunk = Buffer.alloc(256 * 1024, 120)
  let left = SOURCE_BYTES
  const push = () => {
    while (left > 0) {
      left -= chunk.length
      if (!socket.write(chunk)) return socket.once('drain', push)
    }
    socket.end()
  }
  socket.once('data', push)
}

const serve = kind === 'http2' ? await http2Origin() : kind === 'tcp-source' ? tcpSource : http1
const server = net.createServer({ noDelay: true }, socket => {
  socket.on('error', () => {})
  serve(socket)
})
// On every loopback address: the row `churn` dials several.
server.listen({ port: Number(portText), host: '0.0.0.0', backlog: 4096 })
