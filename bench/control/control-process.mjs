// A control plane as a process of the bench's own, what it costs, and the mesh that is registered with it. Used by control-main.mjs and by
// the scale bench. Invariant: CPU is that of all its threads, to the microsecond; nobody else's is in it.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { keepAliveClient } from './keep-alive-client.mjs'

const bin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const CLIENTS = 32
/** A check that nobody runs: the bench has no applications to reach. */
const TTL = { TTL: '10h', Status: 'passing' }

export function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

/** User and system time of all threads of the process; ticks of `/proc/PID/stat` would be as long as 200 answers. */
export function cpuSecondsOf(pid) {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map(task =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9
}

export class ControlPlane {
  /** With a data directory, or with the flags of another store. */
  static async start(dir, flags = []) {
    const plane = new ControlPlane()
    const [http, grpc] = [await freePort(), await freePort()]
    plane.http = `http://127.0.0.1:${http}`
    plane.grpc = `127.0.0.1:${grpc}`
    const addresses = ['--http-addr', `127.0.0.1:${http}`, '--grpc-addr', plane.grpc, '--dns-addr', 'off']
    plane.args = ['control', ...addresses, ...(dir === undefined ? [] : ['--data-dir', dir]), ...flags]
    plane.client = keepAliveClient(plane.http, CLIENTS)
    await plane.run()
    return plane
  }

  async run() {
    this.child = spawn(bin, [...this.args, '--sidecar-min-port', '21000', '--sidecar-max-port', '31999'], { stdio: 'ignore' })
    for (;;) {
      if (this.child.exitCode !== null) throw new Error(`the control plane ended with ${this.child.exitCode}`)
      if (await this.answers()) return
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  answers() {
    return fetch(`${this.http}/v1/status/leader`).then(
      ({ ok }) => ok,
      () => false,
    )
  }

  cpuSeconds() {
    return cpuSecondsOf(this.child.pid)
  }

  rssMb() {
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))[1]) / 1024)
  }

  async end(signal) {
    const ended = new Promise(resolve => this.child.once('exit', resolve))
    this.child.kill(signal)
    await ended
  }

  async stop() {
    this.client.close()
    if (this.child.exitCode === null && this.child.signalCode === null) await this.end('SIGTERM')
  }

  async put(path, body) {
    const { status, text } = await this.client.ask('PUT', path, body === undefined ? '' : JSON.stringify(body))
    if (status !== 200) throw new Error(`PUT ${path}: ${status} ${text}`)
  }
}

/** Of its place in the mesh: no two instances have the same. */
const addressOf = (s, k) => `10.${(s >> 8) & 255}.${s & 255}.${k + 1}`

/** Instance `k` of service `s`, with a sidecar that calls the `upstreams` services after it. */
export function registration(s, k, services, upstreams) {
  const Upstreams = Array.from({ length: upstreams }, (_, i) => ({
    DestinationName: `svc-${(s + 1 + i) % services}`,
    LocalBindPort: 9000 + i,
  }))
  const id = `svc-${s}-${k}`
  return {
    ID: id,
    Name: `svc-${s}`,
    Address: addressOf(s, k),
    Port: 8080,
    Check: { CheckID: `${id}-ttl`, ...TTL },
    Connect: {
      SidecarService: { Address: addressOf(s, k), Port: 20000, Check: { CheckID: `${id}-proxy-ttl`, ...TTL }, Proxy: { Upstreams } },
    },
  }
}
