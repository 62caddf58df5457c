// `npm run bench -- scale [--sidecars 100,1000] [--planes 1] [--store etcd://…] [--again] [--json FILE]`: how the control plane
// grows. For each size it starts control planes (bin/outrigger control) and a process of simulated sidecars, each a real ADS stream, and
// goes through the phases of phases.mjs. The results file is written after each phase, and a run takes up where one was ended: sizes that are
// there whole are not measured again (`--again`: all are). `--chart` makes docs/scale.md's table and plots of it.
// Invariant: what did not happen in its time stands in the results as the reason, never as a figure.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ControlPlane } from '../control/control-process.mjs'
import { Simulation } from '../control/simulation.mjs'
import { MeshShape } from './mesh-shape.mjs'
import { PHASES } from './phases.mjs'
import { scaleChart } from './scale-chart.mjs'

const RESULTS = fileURLToPath(new URL('../results/scale.json', import.meta.url))
const UPSTREAMS = 10
/** Of each service: so many instances with a sidecar, and so many that are endpoints alone. */
const SIDECARS_A_SERVICE = 5
const ENDPOINTS_A_SIDECAR = 10
const LEAST = UPSTREAMS + 1

function parseOptions(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      sidecars: { type: 'string', default: '100,1000' },
      planes: { type: 'string', default: '1' },
      store: { type: 'string', default: '' },
      again: { type: 'boolean', default: false },
      chart: { type: 'boolean', default: false },
      json: { type: 'string', default: RESULTS },
    },
  })
  const sizes = values.sidecars.split(',').map(Number)
  for (const size of sizes)
    if (!Number.isInteger(size) || size < LEAST * SIDECARS_A_SERVICE || size % SIDECARS_A_SERVICE !== 0)
      throw new Error(`--sidecars: multiples of ${SIDECARS_A_SERVICE}, at least ${LEAST * SIDECARS_A_SERVICE}, not ${size}`)
  const planes = Number(values.planes)
  if (!Number.isInteger(planes) || planes < 1) throw new Error('--planes must be a whole number above 0')
  if (planes > 1 && values.store === '') throw new Error('--planes: several control planes need a --store that they share')
  return { ...values, sizes, planes }
}

const machine = () => ({
  node: process.version,
  kernel: release(),
  cpu: cpus()[0].model.trim(),
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 2 ** 30),
})

class Results {
  constructor(path) {
    this.path = path
    this.runs = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).runs : []
  }

  of({ sidecars, planes, store }) {
    return this.runs.find(run => run.sidecars === sidecars && run.planes === planes && run.store === store)
  }

  put(run) {
    const at = this.runs.indexOf(this.of(run))
    if (at === -1) this.runs.push(run)
    else this.runs[at] = run
    this.runs.sort((a, b) => a.planes - b.planes || a.sidecars - b.sidecars)
    writeFileSync(this.path, `${JSON.stringify({ runs: this.runs }, null, 1)}\n`)
  }
}

async function measure(run, store, results) {
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-scale-'))
  const mesh = { planes: [], simulation: undefined, run, shape: new MeshShape(run) }
  try {
    for (let i = 0; i < run.planes; i++)
      mesh.planes.push(await (store === '' ? ControlPlane.start(join(dir, `${i}`)) : ControlPlane.start(undefined, ['--store', store])))
    mesh.simulation = new Simulation()
    for (const [name, phase] of Object.entries(PHASES)) {
      try {
        run.phases[name] = await phase(mesh)
      } catch (error) {
        run.phases[name] = { failed: error.message }
      }
      results.put(run)
      console.log(`${String(run.sidecars).padStart(6)}  ${name.padEnd(16)} ${JSON.stringify(run.phases[name])}`)
      // Whoever is not connected tells nothing of what follows.
      if (run.phases[name].failed !== undefined && (name === 'register' || name === 'connect')) break
    }
    run.complete = true
    results.put(run)
  } finally {
    mesh.simulation?.close()
    for (const plane of mesh.planes) await plane.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

export async function scaleMain(argv) {
  const { sizes, planes, store, again, chart, json } = parseOptions(argv)
  if (chart) {
    scaleChart(json)
    return
  }
  const results = new Results(json)
  for (const sidecars of sizes) {
    const kind = store === '' ? 'embedded' : store.split(':')[0]
    if (!again && results.of({ sidecars, planes, store: kind })?.complete) {
      console.log(`${sidecars} sidecars, ${planes} control plane(s), store ${kind}: there already`)
      continue
    }
    const services = sidecars / SIDECARS_A_SERVICE
    const measured = new Date().toISOString().slice(0, 10)
    const shape = { sidecars, planes, store: kind, services, endpoints: sidecars * ENDPOINTS_A_SIDECAR, upstreams: UPSTREAMS }
    await measure({ ...shape, measured, machine: machine(), complete: false, phases: {} }, store, results)
  }
}
