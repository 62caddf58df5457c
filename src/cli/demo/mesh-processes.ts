// Starts the demo's mesh: control plane, applications, one sidecar beside each, all as processes of their own and by the same commands
// that a user would type. Used by demo-main.ts; steps.ts asks it about the running mesh.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { ControlApi } from '../command-line/control-api.js'
import { nacks, type ProxyStatus } from '../commands/proxies.js'
import { packageRoot } from '../package-root.js'
import { demoMesh } from './mesh.js'
import { API_INSTANCES, DEMO_HOST, INSTANCE_IDS, type InstanceId, type PortTable } from './port-table.js'
import type { Processes } from './processes.js'

const READY_TIMEOUT_MS = 30_000
const POLL_MS = 20
const HTTP_TIMEOUT_MS = 5_000
/** Often, so that the console shows the canary as it moves. */
const REPORT_INTERVAL = '2s'

export interface MeshOptions {
  readonly table: PortTable
  readonly folder: string
  readonly processes: Processes
  /** Instances whose sidecar is the real Envoy, and its executable. */
  readonly envoy: { readonly instances: ReadonlySet<InstanceId>; readonly executable: string }
}

export class Mesh {
  readonly table: PortTable
  readonly api: ControlApi
  readonly processes: Processes
  private readonly options: MeshOptions

  constructor(options: MeshOptions) {
    this.options = options
    this.table = options.table
    this.processes = options.processes
    this.api = new ControlApi({ address: `${DEMO_HOST}:${options.table.http}` })
  }

  isEnvoy(id: InstanceId): boolean {
    return this.options.envoy.instances.has(id)
  }

  async startControlPlane(): Promise<void> {
    const { table, folder, processes } = this.options
    const meshFile = join(folder, 'mesh.yaml')
    writeFileSync(meshFile, stringify(demoMesh(table)))
    const addresses = ['--http-addr', `${DEMO_HOST}:${table.http}`, '--grpc-addr', `${DEMO_HOST}:${table.xds}`]
    processes.start('control', process.execPath, [
      executable('outrigger'),
      'control',
      ...['-c', meshFile, '--data-dir', join(folder, 'state'), '--load-report-interval', REPORT_INTERVAL, ...addresses],
    ])
    await this.until('the control plane answers', async () => (await this.api.get('/v1/status/leader')).text !== '')
  }

  async startApplications(): Promise<void> {
    const script = fileURLToPath(new URL('./application.js', import.meta.url))
    for (const id of INSTANCE_IDS) {
      const { application, upstream } = this.table.instances[id]
      const [name, version = ''] = id.split('-')
      this.processes.start(id, process.execPath, [
        script,
        name!,
        version,
        String(application),
        upstream === undefined ? '' : String(upstream),
      ])
    }
    await Promise.all(
      INSTANCE_IDS.map(id => {
        // Any answer will do: the sidecars are not there yet.
        return this.until(
          `the application ${id} answers`,
          async () => (await get(this.table.instances[id].application, '/callers')).status > 0,
        )
      }),
    )
  }

  async startSidecars(onReady: (ready: number) => void): Promise<void> {
    let ready = 0
    await Promise.all(
      INSTANCE_IDS.map(async id => {
        await this.startSidecar(id)
        onReady(++ready)
      }),
    )
    await this.endpointsPass()
  }

  /** A sidecar that listens is called once its check has passed: requests before that would find nobody. */
  private async endpointsPass(): Promise<void> {
    await this.until('the instances of api pass their checks', async () => {
      const { text, index } = await this.api.get('/v1/health/connect/api?passing')
      if ((JSON.parse(text) as readonly unknown[]).length < API_INSTANCES.length) return false
      await this.acknowledged('web', index)
      return true
    })
  }

  private async startSidecar(id: InstanceId): Promise<void> {
    const { folder, processes, envoy } = this.options
    const { admin } = this.table.instances[id]
    const bootstrap = await this.outrigger('bootstrap', '--proxy-id', proxyId(id), '--admin-bind', `${DEMO_HOST}:${admin}`)
    const file = join(folder, `${id}-bootstrap.json`)
    writeFileSync(file, bootstrap, { mode: 0o600 })
    const flags = ['-c', file, '--disable-hot-restart', '--concurrency', '1']
    if (this.isEnvoy(id)) processes.start(`${id}-sidecar`, envoy.executable, [...flags, '-l', 'warning'])
    else processes.start(`${id}-sidecar`, process.execPath, [executable('outrigger-proxy'), ...flags])
    await this.until(`the sidecar of ${id} is ready`, async () => (await get(admin, '/ready')).text.trim() === 'LIVE')
    await this.acknowledged(id, 0)
  }

  /** Runs a command of `bin/outrigger` against this mesh; resolves with its output. */
  outrigger(...args: readonly string[]): Promise<string> {
    return this.processes.run(process.execPath, [executable('outrigger'), ...args, '--http-addr', `${DEMO_HOST}:${this.table.http}`])
  }

  /** Resolves once the sidecar has acknowledged all that was written up to that index. */
  async acknowledged(id: InstanceId, index: number): Promise<void> {
    await this.until(`the sidecar of ${id} has acknowledged index ${index}`, async () => {
      const proxy = await this.api.getJson<ProxyStatus>(`/v1/outrigger/proxies/${proxyId(id)}`)
      const refused = nacks(proxy)
      if (refused !== '') throw new Refusal(`the sidecar of ${id} refused its configuration: ${refused}`)
      return proxy.Synced && proxy.AcknowledgedIndex >= index
    })
  }

  /** The sidecar's Prometheus page. */
  async metrics(id: InstanceId): Promise<string> {
    return (await get(this.table.instances[id].admin, '/stats/prometheus')).text
  }

  /** Polls; a check that throws counts as not yet, unless it throws a `Refusal`. */
  async until(what: string, check: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS
    let last = ''
    for (;;) {
      try {
        if (await check()) return
      } catch (error) {
        if (error instanceof Refusal) throw error
        last = ` (${(error as Error).message})`
      }
      if (performance.now() > deadline) throw new Error(`waited ${READY_TIMEOUT_MS / 1000} s and still not so: ${what}${last}`)
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }
}

class Refusal extends Error {}

export function proxyId(id: InstanceId): string {
  return `${id}-sidecar-proxy`
}

function executable(name: string): string {
  const path = join(packageRoot(), 'bin', name)
  if (!existsSync(path)) throw new Error(`${path} is missing`)
  return path
}

export async function get(port: number, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://${DEMO_HOST}:${port}${path}`, { signal: AbortSignal.timeout(HTTP_TIMEOUT_MS) })
  return { status: response.status, text: await response.text() }
}
