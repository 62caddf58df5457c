// `npm run bench -- control [--sidecars 1000] [--only acl|sidecars|store] [--json FILE]`: the control plane under simulated sidecars. It starts bin/outrigger control
// with a data directory of its own, registers two instances of each service with ten upstreams, lets simulated-sidecars.mjs (a process of
// its own) connect all of them, and measures: time until all are configured, time from one write to the last subscriber that has it, bytes
// that a deploy of 50 instances sends, CPU time and memory of the control plane, and what ACLs cost an answer (acl-row.mjs; alone with
// `--only acl`), and what the key/value store, blocking queries and DNS give (store-row.mjs; `--only store`). Each row says its unit; nothing here passes or fails.
import { fork, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ENDPOINT_TYPE, LISTENER_TYPE } from '../../dist/xds/type-urls.js'
import { aclRow } from './acl-row.mjs'
import { storeRows } from './store-row.mjs'

const UPSTREAMS = 10
const CHANGES = 40
const DEPLOYED = 50
const bin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
/** A check that nobody runs: the bench has no applications to reach. */
const ttl = { TTL: '10h', Status: 'passing' }

function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

/** User and system time of all threads of the process; ticks of `/proc/PID/stat` would be as long as 200 answers. */
function cpuSecondsOf(pid) {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map(task =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9
}

function usageOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    cpuSeconds: cpuSecondsOf(pid),
    rssMb: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024),
  }
}

class ControlPlane {
  static async start(dir, flags = []) {
    const plane = new ControlPlane()
    const [http, grpc] = [await freePort(), await freePort()]
    plane.http = `http://127.0.0.1:${http}`
    plane.grpc = `127.0.0.1:${grpc}`
    const args = [
      'control',
      '--http-addr',
      `127.0.0.1:${http}`,
      '--grpc-addr',
      plane.grpc,
      '--dns-addr',
      'off',
      '--data-dir',
      dir,
      ...flags,
    ]
    plane.child = spawn(bin, [...args, '--sidecar-min-port', '21000', '--sidecar-max-port', '31999'], {
      stdio: 'ignore',
    })
    for (;;) {
      if (plane.child.exitCode !== null) throw new Error(`the control plane ended with ${plane.child.exitCode}`)
      if (
        await fetch(`${plane.http}/v1/status/leader`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        return plane
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  async stop() {
    const ended = new Promise(resolve => this.child.once('exit', resolve))
    this.child.kill('SIGTERM')
    await ended
  }

  async put(path, body) {
    const response = await fetch(this.http + path, { method: 'PUT', body: body === undefined ? '' : JSON.stringify(body) })
    if (!response.ok) throw new Error(`PUT ${path}: ${response.status} ${await response.text()}`)
  }
}

/** Instance `k` of service `s`, calling the ten services after it. */
function registration(s, k, services) {
  const upstreams = Array.from({ length: UPSTREAMS }, (_, i) => ({
    DestinationName: `svc-${(s + 1 + i) % services}`,
    LocalBindPort: 9000 + i,
  }))
  const id = `svc-${s}-${k}`
  return {
    ID: id,
    Name: `svc-${s}`,
    Address: `10.${(s >> 8) & 255}.${s & 255}.${k + 1}`,
    Port: 8080,
    Check: { CheckID: `${id}-ttl`, ...ttl },
    Connect: { SidecarService: { Port: 20000, Check: { CheckID: `${id}-proxy-ttl`, ...ttl }, Proxy: { Upstreams: upstreams } } },
  }
}

class Simulation {
  constructor() {
    this.child = fork(fileURLToPath(new URL('./simulated-sidecars.mjs', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.listener = () => {}
    this.child.on('message', message => {
      if (message.error !== undefined) console.error(message.error)
      this.listener(message)
    })
  }

  /** Sends `message`; resolves with what `reduce` returns once that is not undefined. */
  ask(message, reduce) {
    return new Promise(resolve => {
      this.listener = answer => {
        const value = reduce(answer)
        if (value === undefined) return
        this.listener = () => {}
        resolve(value)
      }
      if (message !== null) this.child.send(message)
    })
  }

  open(ids, address) {
    return this.ask({ open: ids, address, upstreams: UPSTREAMS }, ({ configured, at }) => (configured === ids.length ? at : undefined))
  }

  stats() {
    return this.ask({ stats: true }, answer => (answer.bytes === undefined ? undefined : answer))
  }

  /** Milliseconds from `write` until each of `count` sidecars has a new resource of the type and name. */
  async spread(typeUrl, prefix, count, write) {
    await this.ask({ watch: { typeUrl, prefix } }, ({ watching }) => watching)
    const seen = new Map()
    const done = this.ask(null, ({ seen: id, at }) => {
      if (id !== undefined && !seen.has(id)) seen.set(id, at)
      return seen.size >= count ? true : undefined
    })
    const begin = performance.timeOrigin + performance.now()
    await write()
    await done
    await this.ask({ watch: null }, ({ watching }) => watching)
    return [...seen.values()].map(at => at - begin)
  }
}

async function measure(plane, simulation, sidecars, report) {
  const services = sidecars / 2
  const ids = []
  for (let s = 0; s < services; s++) {
    for (let k = 0; k < 2; k++) {
      await plane.put('/v1/agent/service/register', registration(s, k, services))
      ids.push(`svc-${s}-${k}-sidecar-proxy`)
    }
  }
  const idle = usageOf(plane.child.pid)
  const begin = performance.timeOrigin + performance.now()
  const end = await simulation.open(ids, plane.grpc)
  const connected = usageOf(plane.child.pid)
  report('connect', 's until all are configured', (end - begin) / 1000)
  report('connect-cpu', 'ms CPU a sidecar', ((connected.cpuSeconds - idle.cpuSeconds) * 1000) / sidecars)
  report('connect-bytes', 'KB a sidecar', (await simulation.stats()).bytes / 1024 / sidecars)

  const endpoint = []
  for (let i = 0; i < CHANGES; i++) {
    const s = (i * 7) % services
    const verb = i % 2 === 0 ? 'fail' : 'pass'
    const target = `svc-${verb === 'fail' ? s : ((i - 1) * 7) % services}`
    endpoint.push(
      ...(await simulation.spread(ENDPOINT_TYPE, `${target}.`, 2 * UPSTREAMS, () => plane.put(`/v1/agent/check/${verb}/${target}-1-ttl`))),
    )
  }
  report('endpoint-change', 'ms to a subscriber, p50', quantile(endpoint, 0.5))
  report('endpoint-change-p99', 'ms to a subscriber, p99', quantile(endpoint, 0.99))

  const intention = []
  for (let i = 0; i < CHANGES / 2; i++) {
    const entry = {
      Kind: 'service-intentions',
      Name: `svc-${(i * 11) % services}`,
      Sources: [{ Name: `caller-${i}`, Action: 'allow' }],
    }
    intention.push(...(await simulation.spread(LISTENER_TYPE, 'public_listener', 2, () => plane.put('/v1/config', entry))))
  }
  report('intention-change-p99', 'ms to a subscriber, p99', quantile(intention, 0.99))

  const before = { ...(await simulation.stats()), ...usageOf(plane.child.pid) }
  for (let k = 0; k < DEPLOYED; k++)
    await simulation.spread(ENDPOINT_TYPE, 'svc-0.', 2 * UPSTREAMS, () =>
      plane.put('/v1/agent/service/register', registration(0, 2 + k, services)),
    )
  const after = { ...(await simulation.stats()), ...usageOf(plane.child.pid) }
  report('deploy-bytes', `KB for each of ${DEPLOYED} instances`, (after.bytes - before.bytes) / 1024 / DEPLOYED)
  report('deploy-resources', 'resources for each instance', (after.resources - before.resources) / DEPLOYED)
  report('deploy-cpu', 'ms CPU for each instance', ((after.cpuSeconds - before.cpuSeconds) * 1000) / DEPLOYED)
  report('memory', 'MB resident', after.rssMb)
}

async function main() {
  const { values } = parseArgs({
    options: {
      sidecars: { type: 'string', default: '1000' },
      only: { type: 'string', default: '' },
      json: { type: 'string', default: '' },
    },
  })
  const sidecars = Number(values.sidecars)
  if (!Number.isInteger(sidecars) || sidecars < 24 || sidecars % 2 !== 0)
    throw new Error('--sidecars must be an even number of at least 24')
  if (!['', 'acl', 'sidecars', 'store'].includes(values.only)) throw new Error('--only must be acl, sidecars or store')
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-control-'))
  const results = []
  const report = (row, unit, value) => {
    results.push({ row, sidecars, unit, value: Number(value.toFixed(3)) })
    console.log(`${row.padEnd(22)} ${value.toFixed(2).padStart(10)} ${unit}`)
  }
  let plane
  let simulation
  try {
    if (values.only === '' || values.only === 'sidecars') {
      plane = await ControlPlane.start(join(dir, 'sidecars'))
      simulation = new Simulation()
      await measure(plane, simulation, sidecars, report)
    }
    const others = {
      dir,
      start: (folder, flags) => ControlPlane.start(folder, flags),
      cpuSecondsOf: ({ child }) => cpuSecondsOf(child.pid),
      quantile,
      freePort,
      report,
    }
    if (values.only === '' || values.only === 'store') await storeRows(others)
    if (values.only === '' || values.only === 'acl') await aclRow(others)
  } finally {
    simulation?.child.disconnect()
    await plane?.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  if (values.json !== '') writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`)
}

await main()
