// `npm run bench`: every row for every peer that is installed. The proxy runs pinned to core 0, load and origin on core 1; peers are
// interleaved round by round and the order turns each round, so that drift of a shared machine hits all alike; medians are shown.
//   --rows a,b   --peers a,b   --rounds 3   --seconds 4   --json FILE
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { benchCertificates } from './certificates.mjs'
import { mtlsPair, oneHop, tcpPair } from './configs.mjs'
import { connectLoad, has, http1Load, http2Load, streamLoad } from './load.mjs'
import { availablePeers, residentMb, startPeer, stopPeer, waitForPort } from './peers.mjs'

const PROXY_CORE = 0
const LOAD_CORE = 1

const h1 = { origin: 'http1', load: o => http1Load({ ...o, connections: 64 }) }
const h2 = { origin: 'http2', load: o => http2Load({ ...o, connections: 8, streams: 16 }), needs: 'h2load' }

export const ROWS = [
  { name: 'http1', ...h1, bootstrap: oneHop, nginx: true, haproxy: true, nodePeers: true },
  { name: 'http1-mtls-pair', ...h1, pair: true, bootstrap: o => mtlsPair({ ...o, mesh: 'h1' }), nginx: true, haproxy: true },
  { name: 'http1-mesh', ...h1, pair: true, bootstrap: o => mtlsPair({ ...o, mesh: 'auto' }), haproxy: true },
  { name: 'http2', ...h2, bootstrap: o => oneHop({ ...o, http2Up: true }) },
  { name: 'http2-mtls-pair', ...h2, pair: true, bootstrap: o => mtlsPair({ ...o, mesh: 'h2', http2Up: true }) },
  {
    name: 'grpc-unary',
    ...h2,
    load: o => http2Load({ ...o, connections: 8, streams: 16, grpc: true }),
    bootstrap: o => oneHop({ ...o, http2Up: true }),
  },
  { name: 'http1-to-http2', ...h1, origin: 'http2', bootstrap: o => oneHop({ ...o, http2Up: true }) },
  {
    name: 'mtls-new-connections',
    origin: 'http1',
    load: o => connectLoad({ ...o, parallel: 32 }),
    pair: true,
    tcp: true,
    unit: 'connections/s',
    bootstrap: tcpPair,
    haproxy: true,
  },
  {
    name: 'mtls-new-connections-tunnel',
    origin: 'http1',
    load: o => connectLoad({ ...o, parallel: 32 }),
    pair: true,
    tcp: true,
    unit: 'connections/s',
    bootstrap: o => tcpPair({ ...o, tunnel: true }),
  },
  {
    name: 'tcp-mtls-stream',
    origin: 'tcp-source',
    load: streamLoad,
    pair: true,
    tcp: true,
    unit: 'MB/s',
    bootstrap: tcpPair,
    haproxy: true,
  },
  {
    name: 'tcp-mtls-stream-tunnel',
    origin: 'tcp-source',
    load: streamLoad,
    pair: true,
    tcp: true,
    unit: 'MB/s',
    bootstrap: o => tcpPair({ ...o, tunnel: true }),
  },
]

function options(argv) {
  const read = (name, fallback) => {
    const i = argv.indexOf(`--${name}`)
    return i === -1 ? fallback : argv[i + 1]
  }
  return {
    rows: read('rows', ROWS.map(row => row.name).join(',')).split(','),
    peers: read('peers', availablePeers().join(',')).split(','),
    rounds: Number(read('rounds', '3')),
    seconds: Number(read('seconds', '4')),
    json: read('json', ''),
    portBase: Number(read('port-base', '28000')),
  }
}

const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

async function startOrigin(kind, port) {
  const args = [fileURLToPath(new URL('origin.mjs', import.meta.url)), kind, String(port)]
  const child = has('taskset')
    ? spawn('taskset', ['-c', String(LOAD_CORE), process.execPath, ...args], { stdio: 'ignore' })
    : spawn(process.execPath, args, { stdio: 'ignore' })
  await waitForPort(port, child)
  return child
}

/** Each peer must give the right answer before it is timed. */
function checkAnswer(row, port) {
  if (row.origin !== 'http1' || row.tcp) return Promise.resolve()
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: '127.0.0.1', path: '/', agent: false, timeout: 5000 }, response => {
        let body = ''
        response.on('data', chunk => (body += chunk))
        response.on('end', () =>
          response.statusCode === 200 && body === 'x'.repeat(65)
            ? resolve()
            : reject(new Error(`wrong answer: ${response.statusCode} ${body.slice(0, 100)}`)),
        )
      })
      .on('timeout', () => reject(new Error('no answer within 5 s')))
      .on('error', reject)
  })
}

async function main() {
  const wanted = options(process.argv.slice(2))
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
  const certs = await benchCertificates(dir)
  const results = []
  try {
    for (const row of ROWS.filter(each => wanted.rows.includes(each.name))) {
      if (row.needs && !has(row.needs)) {
        console.log(`${row.name}: skipped, ${row.needs} is not installed`)
        continue
      }
      const ports = { port: wanted.portBase + 1, innerPort: wanted.portBase + 2, origin: wanted.portBase + 3, admin: wanted.portBase + 4 }
      const origin = await startOrigin(row.origin, ports.origin)
      const samples = new Map()
      try {
        for (let round = 0; round < wanted.rounds; round++) {
          const order = round % 2 === 0 ? wanted.peers : [...wanted.peers].reverse()
          for (const peer of order) {
            const child = await startPeer(peer, row, ports, dir, certs, PROXY_CORE).catch(error => {
              console.log(`${row.name} ${peer}: ${error.message}`)
              return null
            })
            if (child === null) continue
            try {
              await checkAnswer(row, ports.port)
              await row.load({ port: ports.port, seconds: 1, core: LOAD_CORE, dir })
              const result = await row.load({ port: ports.port, seconds: wanted.seconds, core: LOAD_CORE, dir })
              const list = samples.get(peer) ?? []
              list.push({ ...result, rssMb: residentMb(child.pid) })
              samples.set(peer, list)
            } catch (error) {
              console.log(`${row.name} ${peer}: ${error.message}`)
            } finally {
              await stopPeer(child)
            }
          }
        }
      } finally {
        await stopPeer(origin)
      }
      const envoy = samples.has('envoy') ? median(samples.get('envoy').map(s => s.rps)) : Number.NaN
      for (const [peer, list] of samples) {
        const entry = {
          row: row.name,
          peer,
          unit: row.unit ?? 'requests/s',
          rps: Math.round(median(list.map(s => s.rps))),
          p50Ms: median(list.map(s => s.p50Ms)),
          p99Ms: median(list.map(s => s.p99Ms)),
          rssMb: Math.round(median(list.map(s => s.rssMb))),
          ratioToEnvoy: Number((median(list.map(s => s.rps)) / envoy).toFixed(2)),
        }
        results.push(entry)
        console.log(
          `${entry.row.padEnd(22)} ${peer.padEnd(11)} ${String(entry.rps).padStart(8)} ${entry.unit.padEnd(13)} p50 ${entry.p50Ms?.toFixed(2)} ms  p99 ${entry.p99Ms?.toFixed(2)} ms  ${entry.rssMb} MB  ${Number.isNaN(entry.ratioToEnvoy) ? '' : `${entry.ratioToEnvoy} x Envoy`}`,
        )
      }
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  if (wanted.json !== '') writeFileSync(wanted.json, `${JSON.stringify(results, null, 2)}\n`)
}

await main()
