// `npm run bench`: every row for every peer that is installed (options.mjs). What counts is CPU time per unit of work, user and system, of
// all processes of a proxy: rates swing by a factor of two on a shared machine, CPU moves by a few per cent.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { benchCertificates } from './certificates.mjs'
import { has } from './load/run-tool.mjs'
import { parseOptions, USAGE } from './options.mjs'
import { availablePeers, pairedPeers } from './peers.mjs'
import { line, paired, pairedLine, summarise } from './report.mjs'
import { runPaired, runRow } from './run-row.mjs'

/** Rows of `--quick` that run beside each other. */
const QUICK_LANES = 3

async function main() {
  // The control plane has rows of its own.
  if (process.argv[2] === 'control') {
    process.argv.splice(2, 1)
    await import('../control/control-main.mjs')
    return
  }
  if (process.argv[2] === 'scale') {
    const { scaleMain } = await import('../scale/scale-main.mjs')
    await scaleMain(process.argv.slice(3))
    return
  }
  const options = parseOptions(process.argv.slice(2))
  if (options.help) {
    process.stdout.write(USAGE)
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
  const stop = () => {
    rmSync(dir, { recursive: true, force: true })
    process.exit(130)
  }
  process.once('SIGINT', stop)
  try {
    const certs = await benchCertificates(join(dir, 'certificates'))
    const context = { dir, certs, quick: options.quick, seconds: options.seconds, rounds: options.rounds }
    const rows = options.rows.filter(row => {
      const able = row.needs === undefined || has(row.needs)
      if (!able) console.log(`${row.name}: skipped, ${row.needs} is not installed`)
      return able
    })
    if (options.quick) await quick(rows, context)
    else if (options.against !== '') await compareBuilds(rows, context, options)
    else await comparePeers(rows, context, options)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function failed(row) {
  return (peer, error) => {
    process.exitCode = 1
    console.log(`${row.name} ${peer.name}: ${error.message}`)
  }
}

async function quick(rows, context) {
  const [outrigger] = availablePeers()
  const waiting = [...rows]
  const lane = async () => {
    for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
      const samples = await runRow(row, [outrigger], context, failed(row))
      if (samples.size > 0) console.log(`${row.name}: runs and answers right`)
    }
  }
  await Promise.all(Array.from({ length: QUICK_LANES }, lane))
}

async function compareBuilds(rows, context, options) {
  const results = []
  for (const row of rows) {
    const samples = await runPaired(row, pairedPeers(options.against), context, failed(row))
    const result = paired(row, samples)
    if (result.pairs === 0) continue
    if (result.regressed) process.exitCode = 1
    results.push({ ...result, samples: Object.fromEntries(samples) })
    console.log(pairedLine(result, samples, row.unit))
  }
  if (options.out !== '') write(options.out, { against: options.against, results })
}

async function comparePeers(rows, context, options) {
  const all = availablePeers()
  for (const name of options.peers ?? []) {
    if (!all.some(peer => peer.name === name)) console.log(`${name}: not installed`)
  }
  const peers = all.filter(peer => options.peers === null || options.peers.includes(peer.name))
  const results = []
  for (const row of rows) {
    const samples = await runRow(row, peers, context, failed(row))
    for (const [peer, list] of samples) {
      const entry = summarise(row, peer, list, samples.get('envoy'))
      results.push({ ...entry, samples: list })
      console.log(line(entry))
    }
    // After each row: a run that ends early leaves what it has.
    if (options.out !== '') write(options.out, { rounds: context.rounds, seconds: context.seconds, results })
  }
}

/** Raw results with what they were measured on. */
function write(file, results) {
  mkdirSync(dirname(file), { recursive: true })
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model ?? '', kernel: release(), node: process.version }
  writeFileSync(file, `${JSON.stringify({ measured: new Date().toISOString().slice(0, 10), machine, ...results }, null, 1)}\n`)
}

process.chdir(fileURLToPath(new URL('../../', import.meta.url)))
await main()
