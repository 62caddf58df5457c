// What each row asks once before it is timed: a proxy that gives another answer is not a peer. Rows whose load checks every answer need none.
import http from 'node:http'
import http2 from 'node:http2'

const TIMEOUT_MS = 10_000

/** GET (or POST with a body) over HTTP/1.1; the answer's body must have this length. */
export function answers({ path = '/', length = 65, bodyBytes = 0 } = {}) {
  return port =>
    get(port, path, bodyBytes).then(body => expect(body.length === length, `${path}: ${body.length} bytes instead of ${length}`))
}

export function get(port, path, bodyBytes = 0) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { port, host: '127.0.0.1', path, method: bodyBytes > 0 ? 'POST' : 'GET', agent: false, timeout: TIMEOUT_MS },
      response => {
        const chunks = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('end', () => {
          const body = Buffer.concat(chunks)
          if (response.statusCode === 200) resolve(body)
          else reject(new Error(`status ${response.statusCode}: ${body.toString().slice(0, 200)}`))
        })
        response.on('error', reject)
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)))
    request.on('error', reject)
    request.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 98) : undefined)
  })
}

/** The same over HTTP/2 with prior knowledge; `grpc`: a unary call. */
export function answersHttp2({ grpc = false } = {}) {
  return port =>
    new Promise((resolve, reject) => {
      const session = http2.connect(`http://127.0.0.1:${port}`)
      const stream = session.request(
        grpc ? { ':method': 'POST', ':path': '/grpc.Echo/Unary', 'content-type': 'application/grpc', te: 'trailers' } : { ':path': '/' },
        { endStream: !grpc },
      )
      let bytes = 0
      let status = ''
      stream.on('data', chunk => (bytes += chunk.length))
      stream.on('trailers', trailers => (status = trailers['grpc-status']))
      stream.on('end', () => {
        session.close()
        const good = grpc ? status === '0' && bytes === 70 : bytes === 65
        if (good) resolve()
        else reject(new Error(`${bytes} bytes, grpc-status '${status}'`))
      })
      stream.on('error', reject)
      session.on('error', reject)
      if (grpc) stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, 65]), Buffer.alloc(65, 120)]))
    })
}

export function expect(good, message) {
  if (!good) throw new Error(`wrong answer: ${message}`)
}
