// What a Node team would write instead, and the floors under any proxy on Node. argv: peer port originPort, folder of certificates
//   http-proxy, http-proxy-3, @fastify/http-proxy, undici   the usual ways over node:http
//   pipe          net sockets joined by `data` events, no HTTP at all
//   onread-proxy  heads split and rebuilt on sockets that read into one shared buffer: the least an HTTP proxy on Node can cost
//   tls-pipe      two hops with mTLS between them, sessions resumed, joined by `data` events: the least a new connection through a pair can cost
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import tls from 'node:tls'

const [peer, portText, originText, certificates] = process.argv.slice(2)
const port = Number(portText)
const originPort = Number(originText)
const target = `http://127.0.0.1:${originPort}`

const peers = {
  async 'http-proxy'() {
    const { default: httpProxy } = await import('http-proxy')
    classicProxy(httpProxy)
  },
  async 'http-proxy-3'() {
    classicProxy(await import('http-proxy-3'))
  },
  async '@fastify/http-proxy'() {
    const { default: fastify } = await import('fastify')
    const app = fastify()
    app.register((await import('@fastify/http-proxy')).default, { upstream: target })
    await app.listen({ port, host: '127.0.0.1' })
  },
  async undici() {
    const { Pool } = await import('undici')
    const pool = new Pool(target, { connections: 64, pipelining: 1 })
    http
      .createServer(({ url: path, method, headers }, response) => {
        pool.stream(
          { path, method, headers, opaque: response },
          ({ statusCode, headers, opaque }) => {
            opaque.writeHead(statusCode, headers)
            return opaque
          },
          error => error && response.destroy(),
        )
      })
      .listen(port, '127.0.0.1')
  },
  pipe() {
    const server = net.createServer({ noDelay: true }, down => {
      const up = net.connect({ port: originPort, host: '127.0.0.1', noDelay: true })
      join(down, up)
      join(up, down)
    })
    server.listen(port, '127.0.0.1')
  },
  'onread-proxy': onreadProxy,
  'tls-pipe': tlsPipe,
}

function classicProxy(httpProxy) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })
  const proxy = httpProxy.createProxyServer({ target, agent })
  proxy.on('error', () => {})
  http.createServer((request, response) => proxy.web(request, response)).listen(port, '127.0.0.1')
}

function join(from, to) {
  from.on('data', chunk => to.write(chunk))
  from.on('close', () => to.destroy())
  from.on('error', () => {})
}

function tlsPipe() {
  const pem = name => readFileSync(`${certificates}/${name}`)
  const trusted = { ca: pem('ca.pem'), allowPartialTrustChain: true }
  const connected = options => net.connect({ host: '127.0.0.1', noDelay: true, ...options })
  const own = { ...trusted, cert: pem('server.pem'), key: pem('server.key') }
  const inner = tls.createServer({ ...own, requestCert: true, rejectUnauthorized: true, noDelay: true }, down => {
    const up = connected({ port: originPort })
    join(down, up)
    join(up, down)
  })
  inner.listen(0, '127.0.0.1', () => {
    const secureContext = tls.createSecureContext({ ...trusted, cert: pem('client.pem'), key: pem('client.key') })
    let session
    const server = net.createServer({ noDelay: true }, down => {
      const socket = connected({ port: inner.address().port })
      const up = tls.connect({ socket, secureContext, session, rejectUnauthorized: false, checkServerIdentity: () => undefined })
      up.getPeerCertificate = () => ({})
      up.on('session', given => (session = given))
      join(down, up)
      join(up, down)
    })
    server.listen(port, '127.0.0.1')
  })
}

/** GET only, answers with a Content-Length that come in one piece: enough for the row, and nothing more. */
function onreadProxy() {
  const buffer = Buffer.allocUnsafe(64 * 1024)
  const idle = []
  const rebuilt = text => {
    const lines = text.split('\r\n')
    for (let i = 1; i < lines.length; i++) {
      const colon = lines[i].indexOf(':')
      if (colon > 0) lines[i] = `${lines[i].slice(0, colon).toLowerCase()}:${lines[i].slice(colon + 1)}`
    }
    return lines.join('\r\n')
  }
  const acquire = down => {
    const up = idle.pop()
    if (up !== undefined) {
      up.down = down
      return up
    }
    const made = net.connect({ port: originPort, host: '127.0.0.1', noDelay: true, onread: { buffer, callback: n => onAnswer(made, n) } })
    made.down = down
    made.on('error', () => {})
    return made
  }
  const onAnswer = (up, n) => {
    const text = buffer.latin1Slice(0, n)
    const end = text.indexOf('\r\n\r\n')
    const { down } = up
    idle.push(up)
    down.write(`${rebuilt(text.slice(0, end))}\r\n\r\n${text.slice(end + 4)}`, 'latin1')
    return true
  }
  const server = net.createServer({ pauseOnConnect: true, noDelay: true }, accepted => {
    const handle = accepted._handle
    accepted._handle = null
    const down = new net.Socket({
      handle,
      onread: {
        buffer,
        callback(n) {
          const text = buffer.latin1Slice(0, n)
          acquire(down).write(`${rebuilt(text.slice(0, text.indexOf('\r\n\r\n')))}\r\nx-forwarded-proto: http\r\n\r\n`, 'latin1')
          return true
        },
      },
    })
    down.on('error', () => {})
    down.resume()
  })
  server.listen(port, '127.0.0.1')
}

await peers[peer]()
