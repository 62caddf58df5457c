// Origins of the bench, as cheap as Node can: raw sockets with one ready-made answer. argv: kind (http1|http2|tcp-sink|tcp-source) port
import net from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

const [kind, portText] = process.argv.slice(2)
const BODY = 'x'.repeat(65)
const ANSWER = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`, 'latin1')
const ANSWERS = new Map()

/** n pipelined answers in one buffer. */
function answers(n) {
  let buffer = ANSWERS.get(n)
  if (buffer === undefined) {
    buffer = Buffer.concat(Array.from({ length: n }, () => ANSWER))
    if (n <= 64) ANSWERS.set(n, buffer)
  }
  return buffer
}

function http1(socket) {
  let tail = ''
  socket.on('data', chunk => {
    const text = tail + chunk.latin1Slice()
    let n = 0
    let from = 0
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n', from)) {
      n++
      from = end + 4
    }
    tail = from === text.length ? '' : text.slice(from)
    if (n > 0) socket.write(answers(n))
  })
}

async function http2(socket) {
  const { Http2ServerCodec } = await import('../../dist/l7/codec/http2/server-codec.js')
  const { HeaderList } = await import('../../dist/l7/codec/header-list.js')
  const { SocketTransport } = await import('../../dist/upstream/socket-transport.js')
  const body = Buffer.from(BODY)
  const grpcBody = Buffer.concat([Buffer.from([0, 0, 0, 0, BODY.length]), body])
  const headers = HeaderList.of(['content-type', 'text/plain'], ['content-length', String(BODY.length)])
  const grpcHeaders = HeaderList.of(['content-type', 'application/grpc'])
  const grpcTrailers = HeaderList.of(['grpc-status', '0'])
  const respond = (stream, head) => {
    if (head.path === '/grpc.Echo/Unary') {
      stream.sendHead({ status: 200, reason: '', version: 'HTTP/2', headers: grpcHeaders, contentLength: -1, upgraded: false }, false)
      stream.sendData(grpcBody, false)
      stream.sendTrailers(grpcTrailers)
      return
    }
    stream.sendHead({ status: 200, reason: '', version: 'HTTP/2', headers, contentLength: BODY.length, upgraded: false }, false)
    stream.sendData(body, true)
  }
  const handler = {
    onRequest(stream, head, end) {
      stream.events = {
        onData(_chunk, last) {
          if (last) respond(stream, head)
        },
        onTrailers() {
          respond(stream, head)
        },
        onReset() {},
        onDrain() {},
      }
      if (end) respond(stream, head)
    },
    onBadRequest() {},
    onIdle() {},
    onHeadPending() {},
    onConnectionError() {},
  }
  const { defaultHttp2Options } = await import('./defaults.mjs')
  const codec = new Http2ServerCodec(new SocketTransport(socket), handler, {
    http2: defaultHttp2Options,
    limits: { maxHeadBytes: 61440, maxHeaders: 100, underscores: 'ALLOW' },
  })
  socket.on('data', chunk => codec.feed(chunk))
  socket.on('drain', () => codec.onTransportDrain())
  socket.on('close', () => codec.onTransportClose({ code: 'connection-closed', details: '' }))
}

function source(socket) {
  const chunk = Buffer.alloc(256 * 1024, 120)
  let left = 100 * 1024 * 1024
  const push = () => {
    while (left > 0) {
      left -= chunk.length
      if (!socket.write(chunk)) return socket.once('drain', push)
    }
    socket.end()
  }
  socket.once('data', push)
}

const server = net.createServer({ noDelay: true }, socket => {
  socket.on('error', () => {})
  if (kind === 'http2') void http2(socket)
  else if (kind === 'tcp-source') source(socket)
  else http1(socket)
})
server.listen(Number(portText), '127.0.0.1', () => process.send?.('ready') ?? console.log('ready'))
process.on('disconnect', () => process.exit(0))
void wait
