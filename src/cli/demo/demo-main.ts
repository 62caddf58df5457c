// `npm run demo`: a mesh on this machine with traffic in it. Starts the processes, runs the steps, prints what to try, and ends it all
// on Ctrl-C; with `--once` it ends by itself, with 0 only if every fact held.
// Invariant: every process that it started and its temporary folder are gone when it is.
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { Progress } from '../command-line/progress.js'
import { packageRoot } from '../package-root.js'
import { Facts } from './facts.js'
import { Mesh } from './mesh-processes.js'
import { DEMO_HOST, INSTANCE_IDS, type InstanceId, MAX_PORT_BASE, PORT_SPAN, portsInUse, portTable } from './port-table.js'
import { Processes } from './processes.js'
import {
  consoleUrl,
  keepCalling,
  linesToTry,
  moveCanary,
  refusedCall,
  rotateLeaves,
  type Stage,
  showMetrics,
  splitTraffic,
} from './steps.js'

interface DemoFlags {
  readonly once?: boolean
  readonly portBase?: number
  readonly envoy?: ReadonlySet<InstanceId>
}

const SIGNAL_EXIT = 130

const progress = new Progress(process.stdout)
const program = new Command('demo')
  .description('A mesh on this machine: control plane, web, api v1, api v2 and batch, a sidecar beside each, and traffic.')
  .option('--once', 'exit when everything has been shown: 0 if every fact held, 1 otherwise')
  .option('--port-base <port>', `use ${PORT_SPAN} ports from here on instead of the well-known ones`, parsePortBase)
  .option('--envoy <names>', 'sidecars that are the real Envoy (ENVOY_BIN): web, api, batch or all, separated by commas', parseEnvoy)
  .allowExcessArguments(false)
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'demo: ')) })
  .parse()
const flags = program.opts<DemoFlags>()
// Not by `exitCode`: when the mesh broke, traffic and waits of the step that was running are still there.
process.exit(await main(flags))

async function main({ once = false, portBase, envoy = new Set() }: DemoFlags): Promise<number> {
  const executable = envoy.size === 0 ? '' : envoyExecutable()
  if (executable === undefined) return 1
  const table = portTable(portBase)
  const busy = await portsInUse(table)
  if (busy.length > 0) {
    for (const { port, owner, reason } of busy) console.error(`demo: port ${DEMO_HOST}:${port} (${owner}) ${reason}`)
    console.error('demo: free it, or move all ports with --port-base')
    return 1
  }
  const interrupted = interruption()
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-demo-'))
  const processes = new Processes(folder, childEnv())
  const mesh = new Mesh({ table, folder, processes, envoy: { instances: envoy, executable } })
  const facts = new Facts(progress)
  try {
    const shown = show({ mesh, facts, progress }, once)
    // Once something else has ended the demo, its own end is of no interest.
    shown.catch(() => {})
    if ((await Promise.race([shown, interrupted, processes.crashed])) === 'interrupted') return SIGNAL_EXIT
    if (!once && (await Promise.race([interrupted, processes.crashed])) === 'interrupted') progress.line('stopping')
  } catch (error) {
    facts.failed.push((error as Error).message)
  } finally {
    await processes.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  for (const fact of facts.failed) console.error(`demo: failed: ${fact}`)
  return facts.failed.length === 0 ? 0 : 1
}

async function show(stage: Stage, once: boolean): Promise<void> {
  const { mesh, facts } = stage
  const started = performance.now()
  progress.line(`Outrigger demo: control plane, ${INSTANCE_IDS.length} applications, a sidecar beside each, all on ${DEMO_HOST}`)
  await mesh.startControlPlane()
  progress.line(`Watch it at ${consoleUrl(stage)}topology`)
  await mesh.startApplications()
  await mesh.startSidecars(ready => progress.bar('sidecars ready', ready, INSTANCE_IDS.length))
  const kinds = INSTANCE_IDS.map(id => `${id} (${mesh.isEnvoy(id) ? 'the real Envoy' : 'Outrigger'})`).join(', ')
  progress.line(`   sidecars: ${kinds}; ready after ${((performance.now() - started) / 1000).toFixed(1)} s`)
  for (const step of [splitTraffic, refusedCall, moveCanary, rotateLeaves, showMetrics]) await step(stage)
  progress.line(facts.failed.length === 0 ? 'Every fact held.' : `${facts.failed.length} of the facts did not hold.`)
  if (once) return
  const outrigger = relative(process.cwd(), join(packageRoot(), 'bin/outrigger'))
  keepCalling(stage)
  progress.line(`\nIt stays up, with a little traffic: ${consoleUrl(stage)} shows it. Try, in another terminal:`)
  for (const line of linesToTry(stage, outrigger)) progress.line(`  ${line}`)
  progress.line('Ctrl-C stops everything.')
}

/** The first signal lets the demo end in order, a second one at once (guard.ts then stops the rest). */
function interruption(): Promise<'interrupted'> {
  return new Promise(resolve => {
    let signals = 0
    const onSignal = (): void => {
      if (++signals > 1) process.exit(SIGNAL_EXIT)
      resolve('interrupted')
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  })
}

/** Without the variables that would have our own commands talk to another mesh. */
function childEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CONSUL|OUTRIGGER)_/.test(name)))
}

function envoyExecutable(): string | undefined {
  const path = process.env['ENVOY_BIN'] ?? ''
  if (path === '') {
    console.error('demo: --envoy needs ENVOY_BIN, the path of the Envoy executable')
    return undefined
  }
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch (error) {
    console.error(`demo: ENVOY_BIN: ${(error as Error).message}`)
    return undefined
  }
}

function parsePortBase(text: string): number {
  const base = Number(text)
  if (!/^\d{1,5}$/.test(text) || base < 1 || base > MAX_PORT_BASE) throw new InvalidArgumentError(`must be 1 to ${MAX_PORT_BASE}`)
  return base
}

function parseEnvoy(text: string): ReadonlySet<InstanceId> {
  const chosen = new Set<InstanceId>()
  for (const name of text.split(',')) {
    const ids = INSTANCE_IDS.filter(id => name === 'all' || id === name || id.split('-')[0] === name)
    if (ids.length === 0) throw new InvalidArgumentError(`"${name}" is none of web, api, api-v1, api-v2, batch, all`)
    for (const id of ids) chosen.add(id)
  }
  return chosen
}
