// `npm run soak [-- --kills N] [--seed S] [--fresh]`: kill -9 of the control plane at random points under writers, and of some while they start,
// over and over, on one data directory. After each restart every acknowledged write must be there, no transaction half, no index gone back, the CA
// the same. Adds to a file of results under bench/results, so that many short runs make a long one. Stops, with exit code 1, at the first thing that is lost.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const RESULTS = join(root, 'bench/results/soak-control.json')
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    fresh: { type: 'boolean', default: false },
  },
})
const kills = Number(values.kills)
const seed = Number(values.seed)
assert.ok(Number.isInteger(kills) && kills > 0 && Number.isInteger(seed), '--kills and --seed are whole numbers')

const NAMES = 5
const STARTS_WITHIN_MS = 60_000
/** A kill comes this long after the first acknowledged write, at most. */
const LONGEST_RUN_MS = 400
/** Share of the starts that are killed before they serve: what they read back and write then is interrupted too. */
const STARTS_KILLED = 0.25
/** Until there is a start to go by. */
const FIRST_START_MS = 500

/** mulberry32 */
function seeded(from) {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const after = ms => new Promise(resolve => setTimeout(resolve, ms))

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

class ControlPlane {
  constructor(dir, httpPort, grpcPort) {
    this.base = `http://127.0.0.1:${httpPort}`
    this.argv = ['control', '--data-dir', dir, '--log-level', 'error', '--dns-addr', 'off']
    this.argv.push('--http-addr', `127.0.0.1:${httpPort}`, '--grpc-addr', `127.0.0.1:${grpcPort}`)
  }

  spawn() {
    this.child = spawn(process.execPath, [join(root, 'bin/outrigger'), ...this.argv], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.errors = ''
    this.child.stderr.on('data', chunk => {
      this.errors += chunk
    })
  }

  /** Resolves with how long it took to serve. */
  async start() {
    const began = performance.now()
    this.spawn()
    for (;;) {
      if (this.child.exitCode !== null) throw new Error(`did not start: ${this.errors}`)
      if (performance.now() - began > STARTS_WITHIN_MS) throw new Error(`did not start within ${STARTS_WITHIN_MS} ms: ${this.errors}`)
      try {
        await this.read('/v1/status/leader')
        return performance.now() - began
      } catch {
        await after(20)
      }
    }
  }

  /** Killed somewhere within `withinMs` of its start. */
  async startAndKill(withinMs) {
    this.spawn()
    await after(random() * withinMs)
    assert.equal(this.child.exitCode, null, `did not start: ${this.errors}`)
    await this.kill()
  }

  async kill() {
    const gone = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await gone
  }

  async read(path) {
    const response = await fetch(this.base + path)
    if (response.status !== 200) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }

  /** The index of the write. */
  async write(path, body) {
    const response = await fetch(this.base + path, { method: 'PUT', body: typeof body === 'string' ? body : JSON.stringify(body) })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`PUT ${path}: ${response.status} ${text}`)
    return Number(response.headers.get('x-consul-index') ?? 0)
  }
}

/** Each writes one kind of thing under a few names: `put` writes value `n`, `seen` gives what is there, by name, or throws where it is half. */
const WRITERS = [
  {
    put: (plane, name, n) =>
      plane.write('/v1/agent/service/register', {
        Name: name,
        Port: 1,
        Meta: { write: String(n) },
        Check: { CheckID: `check-${name}-${n % 2}`, Notes: String(n), TTL: '1h' },
        Connect: { SidecarService: { Port: 1000 } },
      }),
    seen: async (plane, names) => {
      const services = await plane.read('/v1/agent/services')
      const checks = await plane.read('/v1/agent/checks')
      return names.map(name => {
        const write = services[name]?.Meta.write
        if (write === undefined) return undefined
        // One registration is one transaction: service, sidecar and check of the same write.
        assert.equal(services[`${name}-sidecar-proxy`]?.Meta.write, write, `${name}: half a registration`)
        assert.equal(checks[`check-${name}-${Number(write) % 2}`]?.Notes, write, `${name}: half a registration`)
        return Number(write)
      })
    },
  },
  {
    put: (plane, name, n) => plane.write(`/v1/kv/${name}`, String(n)),
    seen: async (plane, names) => {
      const keys = new Map((await plane.read('/v1/kv/?recurse').catch(() => [])).map(({ Key, Value }) => [Key, Number(atob(Value))]))
      return names.map(name => keys.get(name))
    },
  },
  {
    // A pair of keys in one transaction.
    put: (plane, name, n) =>
      plane.write(
        '/v1/txn',
        [name, `${name}/twin`].map(Key => ({ KV: { Verb: 'set', Key: `txn/${Key}`, Value: btoa(n) } })),
      ),
    seen: async (plane, names) => {
      const keys = new Map((await plane.read('/v1/kv/txn/?recurse').catch(() => [])).map(({ Key, Value }) => [Key, Number(atob(Value))]))
      return names.map(name => {
        assert.equal(keys.get(`txn/${name}/twin`), keys.get(`txn/${name}`), `${name}: half a transaction`)
        return keys.get(`txn/${name}`)
      })
    },
  },
  {
    // A pair of entries in one change.
    put: (plane, name, n) =>
      plane.write(
        '/v1/outrigger/config-entries',
        [name, `${name}-twin`].map(Name => ({ Kind: 'service-defaults', Name, Meta: { write: String(n) } })),
      ),
    seen: async (plane, names) => {
      const entries = new Map((await plane.read('/v1/config/service-defaults')).map(({ Name, Meta }) => [Name, Meta.write]))
      return names.map(name => {
        assert.equal(entries.get(`${name}-twin`), entries.get(name), `${name}: half a change of config entries`)
        return entries.has(name) ? Number(entries.get(name)) : undefined
      })
    },
  },
  {
    put: (plane, name, n) =>
      plane.write(`/v1/connect/intentions/exact?source=web&destination=${name}`, { Action: 'allow', Description: String(n) }),
    seen: async (plane, names) => {
      const intentions = new Map(
        (await plane.read('/v1/connect/intentions')).map(({ DestinationName, Description }) => [DestinationName, Number(Description)]),
      )
      return names.map(name => intentions.get(name))
    },
  },
]

const dir = mkdtempSync(join(tmpdir(), 'outrigger-soak-'))
const random = seeded(seed)
const plane = new ControlPlane(join(dir, 'state'), await freePort(), await freePort())
const startsMs = []
let acknowledgedWrites = 0
let unansweredWrites = 0
let highest = 0
let done = 0
let killedStarting = 0
async function killStarting() {
  await plane.startAndKill(startsMs.at(-1) ?? FIRST_START_MS)
  killedStarting++
  done++
}
try {
  // Of a directory where there is nothing yet, too.
  await killStarting()
  await plane.start()
  const identity = await plane.read('/v1/connect/ca/roots')
  /** Of each writer: name -> number acknowledged last. */
  const acknowledged = WRITERS.map(() => new Map())
  let n = 0
  while (done < kills) {
    let killed = false
    const began = acknowledgedWrites
    // One after the other under a name, so that the last that was acknowledged is known; all names at once.
    const writing = WRITERS.flatMap(({ put }, w) => Array.from({ length: NAMES }, (_, i) => ({ put, w, name: `w${w}-${i}` })))
    const ended = writing.map(async ({ put, w, name }) => {
      while (!killed) {
        const value = ++n
        try {
          highest = Math.max(highest, await put(plane, name, value))
          acknowledged[w].set(name, value)
          acknowledgedWrites++
        } catch (error) {
          if (!killed) throw error
          unansweredWrites++
        }
      }
    })
    // From the first answer on, so that a slow machine kills under writes too.
    while (acknowledgedWrites === began) await after(1)
    await after(random() * LONGEST_RUN_MS)
    killed = true
    await plane.kill()
    await Promise.all(ended)
    done++
    if (done < kills && random() < STARTS_KILLED) await killStarting()
    startsMs.push(await plane.start())
    for (const [w, { seen }] of WRITERS.entries()) {
      const names = [...acknowledged[w].keys()]
      const found = await seen(plane, names)
      for (const [i, name] of names.entries())
        assert.ok(found[i] >= acknowledged[w].get(name), `${name}: ${acknowledged[w].get(name)} was acknowledged, ${found[i]} is there`)
    }
    const index = await plane.write('/v1/agent/service/register', { Name: 'after', Port: 1 + (done % 60_000) })
    assert.ok(index > highest, `the index went back from ${highest} to ${index}`)
    highest = index
    const roots = await plane.read('/v1/connect/ca/roots')
    assert.deepEqual([roots.TrustDomain, roots.ActiveRootID], [identity.TrustDomain, identity.ActiveRootID], 'another CA')
    if (startsMs.length % 50 === 0) console.log(`${done} kills, ${acknowledgedWrites} acknowledged writes, none lost`)
  }
} finally {
  plane.child?.kill('SIGKILL')
  if (done > 0) report()
  rmSync(dir, { recursive: true, force: true })
}

function report() {
  const before = !values.fresh && existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : undefined
  const sorted = startsMs.toSorted((a, b) => a - b)
  const at = share => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))])
  const result = {
    kills: done + (before?.kills ?? 0),
    killedStarting: killedStarting + (before?.killedStarting ?? 0),
    acknowledgedWrites: acknowledgedWrites + (before?.acknowledgedWrites ?? 0),
    unansweredWrites: unansweredWrites + (before?.unansweredWrites ?? 0),
    lostWrites: 0,
    halfAppliedTransactions: 0,
    runs: [
      ...(before?.runs ?? []),
      {
        seed,
        kills: done,
        killedStarting,
        acknowledgedWrites,
        startMs: { p50: at(0.5), p99: at(0.99) },
        node: process.version,
        date: new Date().toISOString().slice(0, 10),
      },
    ],
  }
  if (done < kills) return console.error(`stopped after ${done} kills`)
  writeFileSync(RESULTS, `${JSON.stringify(result, null, 2)}\n`)
  console.log(`${done} kills (${result.kills} in all): ${result.acknowledgedWrites} acknowledged writes, none lost, none half there`)
}
