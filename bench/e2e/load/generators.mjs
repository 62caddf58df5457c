// Load generators on raw sockets (and node:http2 for gRPC streams): closed loops, one open loop, new connections, bulk, WebSocket. Each
// resolves to `{units, seconds, p50Ms, p99Ms ...}` and rejects on the first wrong answer.
import http2 from 'node:http2'
import net from 'node:net'
import { percentiles } from '../measure/statistics.mjs'

const HOST = '127.0.0.1'
const secondsSince = started => (performance.now() - started) / 1000

function summary(latencies, started) {
  return { units: latencies.length, seconds: secondsSince(started), ...percentiles(latencies) }
}

/** Reads answers with a Content-Length off a socket; `onAnswer` for each whole one. */
function readAnswers(socket, onAnswer, onWrong) {
  let got = 0
  let need = -1
  socket.on('data', chunk => {
    if (need === -1) {
      const text = chunk.latin1Slice()
      const end = text.indexOf('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(text)
      if (!text.startsWith('HTTP/1.1 200') || end === -1 || length === null) {
        onWrong(new Error(`wrong answer: ${text.slice(0, 120)}`))
        return
      }
      need = end + 4 + Number(length[1])
    }
    got += chunk.length
    if (got < need) return
    if (got > need) {
      onWrong(new Error(`${got - need} bytes too many`))
      return
    }
    got = 0
    need = -1
    onAnswer()
  })
}

function requestBytes(path, bodyBytes) {
  const body = bodyBytes > 0 ? `content-length: ${bodyBytes}\r\n\r\n${'b'.repeat(bodyBytes)}` : '\r\n'
  return Buffer.from(`${bodyBytes > 0 ? 'POST' : 'GET'} ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${body}`, 'latin1')
}

/** As wrk: each connection sends its next request when its answer is there. */
export function http1Closed({ port, seconds, connections, paths, bodyBytes }) {
  const requests = paths.map(path => requestBytes(path, bodyBytes))
  return new Promise((resolve, reject) => {
    const latencies = []
    const sockets = []
    const started = performance.now()
    let turn = 0
    let done = false
    for (let i = 0; i < connections; i++) {
      const socket = net.connect({ port, host: HOST, noDelay: true })
      sockets.push(socket)
      let sentAt = 0
      const send = () => {
        sentAt = performance.now()
        socket.write(requests[turn++ % requests.length])
      }
      socket.on('connect', send)
      socket.on('error', reject)
      socket.on('close', () => done || reject(new Error('a connection was closed')))
      readAnswers(
        socket,
        () => {
          latencies.push(performance.now() - sentAt)
          if (!done) send()
        },
        reject,
      )
    }
    setTimeout(() => {
      done = true
      for (const socket of sockets) socket.destroy()
      resolve(summary(latencies, started))
    }, seconds * 1000)
  })
}

/**
 * Open loop: `perSecond` requests are sent when they are due, whether or not earlier ones were answered. Ends after `seconds`, or, without
 * them, when stdin ends; then an empty line tells of the first answer, and `samples` holds `[sent at (epoch ms), latency in ms]` of each.
 */
export function http1Open({ port, perSecond, seconds }) {
  const request = requestBytes('/', 0)
  return new Promise((resolve, reject) => {
    const idle = []
    const samples = []
    const started = performance.now()
    let due = 0
    let stopped = false
    let waiting = 0
    const open = () => {
      const socket = net.connect({ port, host: HOST, noDelay: true })
      socket.sentAt = 0
      socket.on('error', error => stopped || reject(error))
      socket.on('close', () => stopped || reject(new Error('a connection was closed')))
      readAnswers(
        socket,
        () => {
          samples.push([performance.timeOrigin + socket.sentAt, performance.now() - socket.sentAt])
          waiting--
          idle.push(socket)
          if (seconds === undefined && samples.length === 1) process.stdout.write('\n')
        },
        reject,
      )
      return socket
    }
    const send = () => {
      const socket = idle.pop() ?? open()
      socket.sentAt = performance.now()
      waiting++
      socket.write(request)
    }
    const end = () => {
      stopped = true
      clearInterval(timer)
      const latencies = samples.map(sample => sample[1])
      resolve({ ...summary(latencies, started), ...(seconds === undefined ? { samples } : {}) })
    }
    const timer = setInterval(() => {
      if (stopped) {
        if (waiting === 0) end()
        return
      }
      const elapsed = secondsSince(started)
      while (due < elapsed * perSecond) {
        due++
        send()
      }
      if (seconds !== undefined && elapsed >= seconds) stopped = true
    }, 1)
    if (seconds === undefined) {
      process.stdin.resume()
      process.stdin.on('end', () => (stopped = true))
    }
  })
}

/** `connections` clients that download 10 MiB each, `bytes` every `everyMs`, until stdin ends; an empty line when all have begun. */
export function slowReaders({ port, connections, bytes, everyMs }) {
  return new Promise((resolve, reject) => {
    const sockets = []
    let units = 0
    let stopped = false
    let begun = 0
    const started = performance.now()
    const open = () => {
      let first = true
      const callback = count => {
        units += count / 1e6
        if (first && ++begun === connections) process.stdout.write('\n')
        first = false
        setTimeout(() => socket.resume(), everyMs)
        return false
      }
      const socket = net.connect({ port, host: HOST, onread: { buffer: Buffer.allocUnsafe(bytes), callback } })
      socket.on('connect', () => socket.write(requestBytes('/10m', 0)))
      socket.on('error', error => stopped || reject(error))
      sockets.push(socket)
    }
    for (let i = 0; i < connections; i++) open()
    process.stdin.resume()
    process.stdin.on('end', () => {
      stopped = true
      for (const socket of sockets) socket.destroy()
      resolve({ units, seconds: secondsSince(started) })
    })
  })
}

/** Connections one after the other on `parallel` lanes, each with one request. */
export function newConnections({ port, seconds, parallel }) {
  const request = Buffer.from('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  return new Promise((resolve, reject) => {
    const latencies = []
    const started = performance.now()
    let stop = false
    let lanes = parallel
    const lane = () => {
      if (stop) {
        if (--lanes === 0) resolve(summary(latencies, started))
        return
      }
      const from = performance.now()
      const socket = net.connect({ port, host: HOST }, () => socket.write(request))
      let ok = false
      socket.on('data', chunk => {
        if (chunk.latin1Slice(0, 12) === 'HTTP/1.1 200') ok = true
        // A tcp proxy does not close by itself: the answer is there, the connection has done its work.
        latencies.push(performance.now() - from)
        socket.destroy()
      })
      socket.on('close', () => (ok || stop ? lane() : reject(new Error('a connection was closed without an answer'))))
      socket.on('error', () => {})
    }
    for (let i = 0; i < parallel; i++) lane()
    setTimeout(() => (stop = true), seconds * 1000)
  })
}

/** Streams of `megabytes` from a tcp-source origin, one after the other, for `seconds`. Unit: MB. */
export async function bulk({ port, seconds, megabytes }) {
  const started = performance.now()
  let units = 0
  do {
    const bytes = await oneStream(port)
    if (bytes !== megabytes * 1024 * 1024) throw new Error(`${bytes} bytes came instead of ${megabytes} MiB`)
    units += bytes / 1e6
  } while (secondsSince(started) < seconds)
  return { units, seconds: secondsSince(started) }
}

function oneStream(port) {
  return new Promise((resolve, reject) => {
    let bytes = 0
    const socket = net.connect({ port, host: HOST, onread: { buffer: Buffer.allocUnsafe(256 * 1024), callback: n => (bytes += n) > 0 } })
    socket.on('connect', () => socket.write('go'))
    socket.on('error', reject)
    socket.on('close', () => resolve(bytes))
    socket.on('end', () => socket.end())
  })
}

const FRAME_BYTES = 131

/** An upgrade, then masked text frames that come back as they are; one at a time on each connection. Unit: message. */
export function websocketEcho({ port, seconds, connections }) {
  const upgrade =
    'GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
    'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  const frame = Buffer.alloc(FRAME_BYTES, 0x61)
  frame.set([0x81, 0x80 | (FRAME_BYTES - 6), 1, 2, 3, 4])
  return new Promise((resolve, reject) => {
    const latencies = []
    const sockets = []
    const started = performance.now()
    let done = false
    for (let i = 0; i < connections; i++) {
      const socket = net.connect({ port, host: HOST, noDelay: true }, () => socket.write(upgrade))
      sockets.push(socket)
      let open = false
      let got = 0
      let sentAt = 0
      const send = () => {
        got = 0
        sentAt = performance.now()
        socket.write(frame)
      }
      socket.on('data', chunk => {
        if (!open) {
          if (!chunk.latin1Slice().startsWith('HTTP/1.1 101')) return reject(new Error(`wrong answer: ${chunk.latin1Slice(0, 120)}`))
          open = true
          send()
          return
        }
        if (chunk.compare(frame, got, got + chunk.length) !== 0) return reject(new Error('other bytes came back'))
        got += chunk.length
        if (got < frame.length) return
        latencies.push(performance.now() - sentAt)
        if (!done) send()
      })
      socket.on('error', reject)
      socket.on('close', () => done || reject(new Error('a connection was closed')))
    }
    setTimeout(() => {
      done = true
      for (const socket of sockets) socket.destroy()
      resolve(summary(latencies, started))
    }, seconds * 1000)
  })
}

/** Bidirectional gRPC streams that live for the whole run; one message at a time on each comes back. Unit: message. */
export function grpcStreams({ port, seconds, connections, streams }) {
  const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 65]), Buffer.alloc(65, 120)])
  return new Promise((resolve, reject) => {
    const latencies = []
    const started = performance.now()
    const sessions = []
    let done = false
    for (let c = 0; c < connections; c++) {
      const session = http2.connect(`http://${HOST}:${port}`)
      sessions.push(session)
      session.on('error', error => done || reject(error))
      for (let s = 0; s < streams; s++) {
        const stream = session.request(
          { ':method': 'POST', ':path': '/grpc.Echo/Stream', 'content-type': 'application/grpc', te: 'trailers' },
          { endStream: false },
        )
        let got = 0
        let sentAt = 0
        const send = () => {
          got = 0
          sentAt = performance.now()
          stream.write(message)
        }
        stream.on('response', headers => headers[':status'] === 200 || reject(new Error(`status ${headers[':status']}`)))
        stream.on('data', chunk => {
          got += chunk.length
          if (got < message.length) return
          latencies.push(performance.now() - sentAt)
          if (!done) send()
        })
        stream.on('error', error => done || reject(error))
        stream.on('close', () => done || reject(new Error('a stream was closed')))
        send()
      }
    }
    setTimeout(() => {
      done = true
      for (const session of sessions) session.destroy()
      resolve(summary(latencies, started))
    }, seconds * 1000)
  })
}
