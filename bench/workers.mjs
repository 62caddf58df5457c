// What a second worker costs: `node bench/workers.mjs [rounds]` after `npm run build`, with wrk installed. The same proxy with `--concurrency 1` and
// with 2, in alternating turns, not pinned; CPU time a request of all its processes. On a machine of two cores, which the load and the
// origin share, the rate says nothing: requests a CPU second that stay as they are say that two cores do twice as much (goal: at least
// 1.8 times, so at most 1.11 × the CPU).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchCertificates } from './e2e/certificates.mjs'
import { mtlsPair, oneHop } from './e2e/configs/envoy-config.mjs'
import { http1Load } from './e2e/load/load.mjs'
import { spawnPinned } from './e2e/load/run-tool.mjs'
import { answers, compare, freePort, until } from './e2e/measure/side-by-side.mjs'

const ROUNDS = Number(process.argv[2] ?? 12)
const SECONDS = 2
const WARM_UP_SECONDS = 5
const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
const children = []

function run(command, ...args) {
  const child = spawnPinned(null, command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  return child
}

/** `bootstrap`: of a row of the bench. */
async function compareWorkers(name, bootstrap) {
  const origin = await freePort()
  run(process.execPath, join(import.meta.dirname, 'e2e/origin.mjs'), 'http1', String(origin))
  const sides = []
  for (const workers of [1, 2]) {
    const [port, innerPort, admin] = await Promise.all([freePort(), freePort(), freePort()])
    const file = join(folder, `${name}-${workers}.json`)
    writeFileSync(file, JSON.stringify(bootstrap({ port, innerPort, admin, origin })))
    const { pid } = run(join(import.meta.dirname, '../bin/outrigger-proxy'), '-c', file, '-l', 'error', '--concurrency', String(workers))
    await until(`${name} answers`, answers(port))
    sides.push({ name: `${workers} of them`, pid, port })
  }
  const load = ({ port }, seconds = SECONDS) => http1Load({ port, seconds, loadCore: null, dir: folder })
  for (const side of sides) await load(side, WARM_UP_SECONDS)
  await compare(`workers, ${name}`, 'request', sides, ROUNDS, load)
}

try {
  await compareWorkers('http1', oneHop)
  const certs = await benchCertificates(join(folder, 'certificates'))
  await compareWorkers('http1-mesh', ports => mtlsPair({ ...ports, certs, mesh: true }))
} finally {
  for (const child of children) child.kill()
  await Promise.all(children.map(child => child.exitCode ?? new Promise(resolve => child.once('exit', resolve))))
  rmSync(folder, { recursive: true })
}
