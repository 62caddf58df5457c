// Load: wrk (HTTP/1) and h2load (HTTP/2, gRPC) where they are installed, else a generator of our own on raw sockets. All report
// requests/s and latency percentiles in ms; a failed or wrong answer makes the run worthless and is an error.
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'

export function has(tool) {
  try {
    execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function run(command, args, core) {
  return new Promise((resolve, reject) => {
    const child = has('taskset') ? spawn('taskset', ['-c', String(core), command, ...args]) : spawn(command, args)
    let out = ''
    child.stdout.on('data', chunk => (out += chunk))
    child.stderr.on('data', chunk => (out += chunk))
    child.on('error', reject)
    child.on('close', code => (code === 0 ? resolve(out) : reject(new Error(`${command}: exit ${code}: ${out.slice(-500)}`))))
  })
}

const UNIT = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }
const toMs = text => {
  const match = /^([\d.]+)(us|ms|s|m)$/.exec(text)
  return match ? Number(match[1]) * UNIT[match[2]] : Number.NaN
}

export async function http1Load({ port, connections, seconds, core }) {
  if (has('wrk')) {
    const out = await run('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', `http://127.0.0.1:${port}/`], core)
    const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(out) ?? /Socket errors: .*read ([1-9]\d*)/.exec(out)
    if (wrong) throw new Error(`wrk: ${wrong[0]}`)
    return {
      rps: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)[1]),
      p50Ms: toMs(/50%\s+(\S+)/.exec(out)[1]),
      p99Ms: toMs(/99%\s+(\S+)/.exec(out)[1]),
    }
  }
  return ownHttp1Load({ port, connections, seconds })
}

/** Closed loop on raw sockets, in this process: slower than wrk, the same for every peer. */
function ownHttp1Load({ port, connections, seconds }) {
  const request = Buffer.from(`GET / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`)
  return new Promise((resolve, reject) => {
    const latencies = []
    const started = performance.now()
    const sockets = []
    let done = false
    for (let i = 0; i < connections; i++) {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      sockets.push(socket)
      let sentAt = 0
      let got = 0
      let need = -1
      const send = () => {
        sentAt = performance.now()
        socket.write(request)
      }
      socket.on('connect', send)
      socket.on('error', reject)
      socket.on('data', chunk => {
        if (need === -1) {
          const text = chunk.latin1Slice()
          if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(`wrong answer: ${text.slice(0, 80)}`))
          const end = text.indexOf('\r\n\r\n')
          need = end + 4 + Number(/content-length: (\d+)/i.exec(text)[1])
        }
        got += chunk.length
        if (got < need) return
        latencies.push(performance.now() - sentAt)
        got = 0
        need = -1
        if (!done) send()
      })
    }
    setTimeout(() => {
      done = true
      for (const socket of sockets) socket.destroy()
      latencies.sort((a, b) => a - b)
      const at = q => latencies[Math.floor(latencies.length * q)]
      resolve({ rps: (latencies.length * 1000) / (performance.now() - started), p50Ms: at(0.5), p99Ms: at(0.99) })
    }, seconds * 1000)
  })
}

/** h2load: `streams` per connection. */
export async function http2Load({ port, connections, streams, seconds, core, grpc, dir }) {
  const args = ['-t1', `-c${connections}`, `-m${streams}`, `--duration=${seconds}`, '--warm-up-time=1']
  if (grpc) {
    const file = join(dir, 'grpc-body.bin')
    writeFileSync(file, Buffer.concat([Buffer.from([0, 0, 0, 0, 65]), Buffer.alloc(65, 120)]))
    args.push('-d', file, '-H', 'content-type: application/grpc', '-H', 'te: trailers', `http://127.0.0.1:${port}/grpc.Echo/Unary`)
  } else args.push(`http://127.0.0.1:${port}/`)
  const out = await run('h2load', args, core)
  const status = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(out)
  if (!status || Number(status[3]) + Number(status[4]) > 0) throw new Error(`h2load: ${status?.[0] ?? out.slice(-300)}`)
  const times = /time for request:\s+(\S+)\s+(\S+)\s+(\S+)/.exec(out)
  return {
    rps: Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(out)[1]),
    p50Ms: times ? toMs(times[3]) : Number.NaN,
    p99Ms: times ? toMs(times[2]) : Number.NaN,
  }
}

/** 100 MB read from a tcp-source origin through the proxy: MB/s. */
export function streamLoad({ port }) {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    let bytes = 0
    const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write('go'))
    socket.on('data', chunk => (bytes += chunk.length))
    socket.on('error', reject)
    socket.on('end', () => {
      const seconds = (performance.now() - started) / 1000
      if (bytes !== 100 * 1024 * 1024) reject(new Error(`stream: ${bytes} bytes came`))
      else resolve({ rps: bytes / 1e6 / seconds, p50Ms: Number.NaN, p99Ms: Number.NaN })
    })
  })
}

/** Connections one after the other on `parallel` lanes, each with one request: connections/s. */
export function connectLoad({ port, seconds, parallel }) {
  const request = Buffer.from('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  return new Promise((resolve, reject) => {
    const latencies = []
    const started = performance.now()
    let stop = false
    let lanes = parallel
    const lane = () => {
      if (stop) {
        if (--lanes === 0) {
          latencies.sort((a, b) => a - b)
          const at = q => latencies[Math.floor(latencies.length * q)] ?? Number.NaN
          resolve({ rps: (latencies.length * 1000) / (performance.now() - started), p50Ms: at(0.5), p99Ms: at(0.99) })
        }
        return
      }
      const from = performance.now()
      const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write(request))
      let ok = false
      socket.on('data', chunk => {
        if (chunk.latin1Slice(0, 12) === 'HTTP/1.1 200') ok = true
        // A tcp proxy does not close by itself: the answer is there, the connection has done its work.
        latencies.push(performance.now() - from)
        socket.destroy()
      })
      socket.on('close', () => (ok || stop ? lane() : reject(new Error('connection closed without an answer'))))
      socket.on('error', () => {})
    }
    for (let i = 0; i < parallel; i++) lane()
    setTimeout(() => (stop = true), seconds * 1000)
  })
}
