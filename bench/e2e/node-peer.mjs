// What a Node team would write instead: http-proxy, or node:http with undici. argv: peer port originPort
import http from 'node:http'

const [peer, port, origin] = process.argv.slice(2)

if (peer === 'http-proxy') {
  const { default: httpProxy } = await import('http-proxy')
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })
  const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${origin}`, agent })
  proxy.on('error', () => {})
  http.createServer((request, response) => proxy.web(request, response)).listen(Number(port), '127.0.0.1')
} else {
  const { Pool } = await import('undici')
  const pool = new Pool(`http://127.0.0.1:${origin}`, { connections: 64, pipelining: 1 })
  http
    .createServer((request, response) => {
      pool.stream(
        {
          path: request.url,
          method: request.method,
          headers: request.headers,
          body: request.method === 'GET' ? null : request,
          opaque: response,
        },
        ({ statusCode, headers, opaque }) => {
          opaque.writeHead(statusCode, headers)
          return opaque
        },
        error => error && response.destroy(),
      )
    })
    .listen(Number(port), '127.0.0.1')
}
