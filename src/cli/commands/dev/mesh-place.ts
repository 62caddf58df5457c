// An application's place in a mesh: registration and sidecar. `outrigger run` takes one, `outrigger dev` one for each application.
//
//   register ──▶ sidecar started ──▶ ready (connected, has its configuration, admin LIVE) ──▶ leave: sidecar stopped, deregistered
//
// Invariant: whatever of it was done is undone by leave(), also where a later step failed.
import { join } from 'node:path'
import { type ApiFlags, tokenOf } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { packageRoot } from '../../package-root.js'
import { nacks, type ProxyStatus } from '../proxies.js'
import { sidecarAdmin } from '../sidecar/sidecar-admin.js'
import type { AppSpec } from './app-spec.js'
import type { Child, Children } from './children.js'
import { freePort } from './free-port.js'

const READY_TIMEOUT_MS = 60_000
const POLL_MS = 50

export interface PlaceOptions {
  readonly api: ControlApi
  readonly flags: ApiFlags
  readonly io: CommandIo
  readonly children: Children
  /** The sidecar serves this machine alone. */
  readonly onLoopback: boolean
  /** What the sidecar writes, as it comes. */
  readonly onSidecarOutput: (text: string) => void
}

export class MeshPlace {
  /** Ports of 0 are filled in. */
  readonly spec: AppSpec
  private readonly options: PlaceOptions
  private registered = false
  private child: Child | undefined
  private stopping = false

  private constructor(spec: AppSpec, options: PlaceOptions) {
    this.spec = spec
    this.options = options
  }

  static async of(spec: AppSpec, options: PlaceOptions): Promise<MeshPlace> {
    const upstreams = []
    for (const upstream of spec.upstreams) upstreams.push(upstream.port === 0 ? { ...upstream, port: await freePort() } : upstream)
    return new MeshPlace({ ...spec, port: spec.port === 0 ? await freePort() : spec.port, upstreams }, options)
  }

  get proxyId(): string {
    return `${this.spec.id}-sidecar-proxy`
  }

  /** Rejects with one line where an instance of this ID runs already. */
  async register(): Promise<void> {
    const { spec } = this
    const { api } = this.options
    const known = await api.findJson<ProxyStatus>(`/v1/outrigger/proxies/${encodeURIComponent(this.proxyId)}`)
    if (known?.Connected === true)
      throw new CliError(`an instance "${spec.id}" with a sidecar runs already: name this one by --id, such as ${spec.id}-2`)
    if (spec.protocol !== '') await this.setProtocol()
    await api.put('/v1/agent/service/register?replace-existing-checks=true', {
      ID: spec.id,
      Name: spec.service,
      Port: spec.port,
      Connect: {
        SidecarService: {
          ...(this.options.onLoopback ? { Address: '127.0.0.1' } : {}),
          Port: await freePort(),
          Proxy: {
            LocalServiceAddress: '127.0.0.1',
            Upstreams: spec.upstreams.map(({ service, port }) => ({ DestinationName: service, LocalBindPort: port })),
          },
        },
      },
    })
    this.registered = true
  }

  /** Resolves when it serves. */
  async startSidecar(): Promise<void> {
    const { api, children, io, flags, onSidecarOutput } = this.options
    const admin = `127.0.0.1:${await freePort()}`
    const argv = [join(packageRoot(), 'bin/outrigger'), 'connect', 'envoy', '--proxy-id', this.proxyId, '--admin-bind', admin]
    const child = children.start([process.execPath, ...argv, '--', '-l', 'warning'], {
      // A group of its own: Ctrl-C is for the application, which still needs its sidecar to finish.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...apiEnvironment(api, flags, io) },
    })
    this.child = child
    for (const stream of [child.process.stdout, child.process.stderr]) stream?.setEncoding('utf8').on('data', onSidecarOutput)
    await Promise.race([
      this.ready(admin),
      child.ended.then(({ code }) => Promise.reject(new CliError(`the sidecar of ${this.spec.id} ended with code ${code}`))),
    ])
  }

  /** When the sidecar goes although nobody told it to; never otherwise. */
  sidecarLost(): Promise<never> {
    return new Promise((_resolve, reject) => {
      void this.child!.ended.then(({ code }) => {
        if (!this.stopping) reject(new CliError(`the sidecar of ${this.spec.id} ended with code ${code}`))
      })
    })
  }

  async leave(): Promise<void> {
    this.stopping = true
    // First out of the catalog: who calls it has time to hear of that while the sidecar drains.
    if (this.registered) await this.options.api.put(`/v1/agent/service/deregister/${encodeURIComponent(this.spec.id)}`).catch(() => {})
    this.registered = false
    await this.child?.stop()
  }

  /** Said of a service once; what somebody else has said of it stands. */
  private async setProtocol(): Promise<void> {
    const { service, protocol } = this.spec
    const { api } = this.options
    const entry = await api.findJson<{ readonly Protocol?: string }>(`/v1/config/service-defaults/${encodeURIComponent(service)}`)
    if (entry === undefined) await api.put('/v1/config', { Kind: 'service-defaults', Name: service, Protocol: protocol })
    else if ((entry.Protocol ?? 'tcp') !== protocol)
      throw new CliError(
        `service-defaults/${service} says protocol ${entry.Protocol ?? 'tcp'}, not ${protocol}: leave --protocol out, or change it there`,
      )
  }

  private async ready(admin: string): Promise<void> {
    const { api } = this.options
    const deadline = Date.now() + READY_TIMEOUT_MS
    const own = sidecarAdmin(admin)
    for (let why = ''; ; ) {
      try {
        const proxy = await api.getJson<ProxyStatus>(`/v1/outrigger/proxies/${encodeURIComponent(this.proxyId)}`)
        const refused = nacks(proxy)
        why = refused === '' ? (proxy.Synced ? '' : 'it has not taken all of its configuration') : `it refuses ${refused}`
        if (why === '' && (await own.get('/ready')).text.trim() === 'LIVE') return
      } catch (error) {
        if (!(error instanceof CliError)) throw error
        why = error.message
      }
      if (Date.now() > deadline)
        throw new CliError(
          `the sidecar of ${this.spec.id} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${why || 'its admin is not LIVE'}`,
        )
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }
}

/** What a command of ours that is started needs to reach the same control plane; secrets in no argument. */
function apiEnvironment(api: ControlApi, flags: ApiFlags, io: CommandIo): Record<string, string> {
  const token = tokenOf(flags, io)
  const named: readonly (readonly [string, string | undefined])[] = [
    ['CONSUL_HTTP_ADDR', api.address],
    ['CONSUL_HTTP_TOKEN', token],
    ['CONSUL_CACERT', flags.caFile],
    ['CONSUL_CAPATH', flags.caPath],
    ['CONSUL_CLIENT_CERT', flags.clientCert],
    ['CONSUL_CLIENT_KEY', flags.clientKey],
    ['CONSUL_TLS_SERVER_NAME', flags.tlsServerName],
  ]
  return Object.fromEntries(named.filter((pair): pair is readonly [string, string] => pair[1] !== undefined))
}
