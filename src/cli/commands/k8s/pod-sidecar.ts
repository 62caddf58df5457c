// `outrigger k8s sidecar` and `k8s leave`: the life of an injected pod in the mesh. The first registers what the webhook wrote into the
// environment, keeps it registered, and runs the proxy in this process; the second, as the preStop hook, takes the pod out before it ends.
// Called by k8s.ts. Invariant: the login's token stands in a file that only the sidecar's user reads, in memory; each service of a pod has its own.
import { existsSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_ADMIN } from '../../../control/default-admin.js'
import { fullJitterMs } from '../../../io/backoff.js'
import {
  POD_FOLDER_VARIABLE,
  POD_SERVICE_VARIABLE,
  type PodPlace,
  type PodService,
  READY_CHECK_TTL_S,
  readyCheckId,
  readyProbes,
  registrationOf,
  serviceId,
  sidecarId,
} from '../../../kubernetes/inject/pod-service.js'
import { DATA_VOLUME, TOKEN_VOLUME } from '../../../kubernetes/inject/sidecar-container.js'
import { AppReadiness } from '../../../kubernetes/readiness/app-readiness.js'
import { type ApiFlags, apiFromFlags } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, RefusedError, UnreachableError } from '../../command-line/control-api.js'
import { writeNewFile, writeSecret } from '../../command-line/files.js'
import { runEnvoy } from '../connect.js'
import { sidecarAdmin } from '../sidecar/sidecar-admin.js'

export interface PodSidecarFlags extends ApiFlags {
  readonly adminBind?: string
  readonly authMethod?: string
  readonly bearerTokenFile?: string
}

export interface LeaveFlags extends ApiFlags {
  readonly gateway?: boolean
  readonly admin?: string
  readonly wait?: string
}

const SERVICE_ACCOUNT_TOKEN = `${TOKEN_VOLUME.mountPath}/token`
const LOOK_EVERY_MS = 30_000
const DEFAULT_WAIT_S = '5'

/** The bundle comes in a variable, since pods of any namespace get it; our commands take files. */
export function writePodCa(io: CommandIo): void {
  const pem = io.env('CONSUL_CACERT_PEM')
  const file = io.env('CONSUL_CACERT')
  if (pem !== undefined && file !== undefined) writeNewFile(file, pem)
}

export async function runPodSidecar(flags: PodSidecarFlags, args: readonly string[], io: CommandIo): Promise<void> {
  const service = podService(io)
  const place = podPlace(io)
  const files = podFiles(service, io)
  // Of the container's last life: the kubelet runs `k8s leave` before it restarts one that does not answer, too.
  rmSync(files.left, { force: true })
  const api = await untilReached(io, () => entered(flags, place, files, io))
  const registered = new Registered(service, place, api, io)
  await untilReached(io, () => registered.register())
  registered.keep(files)
  await runEnvoy({ proxyId: sidecarId(service, place), adminBind: flags.adminBind ?? DEFAULT_ADMIN }, args, api, io)
}

/** A control plane that is not there yet is waited for: a sidecar that ended would be started again later and later. */
async function untilReached<T>(io: CommandIo, ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error
      io.err(`outrigger: ${error.message}; trying again\n`)
      await sleep(fullJitterMs(attempt, 500, 10_000, Math.random))
    }
  }
}

/** What the sidecar of a service leaves for the `leave` of its pod, in the pod's folder in memory. */
interface PodFiles {
  readonly token: string
  readonly left: string
}

function podFiles({ name }: PodService, io: CommandIo): PodFiles {
  const folder = io.env(POD_FOLDER_VARIABLE) ?? DATA_VOLUME.mountPath
  return { token: `${folder}/acl-token-${name}`, left: `${folder}/left-${name}` }
}

/** With the token of a login, where there is an auth method. The one of the container's last life is given back. */
async function entered(flags: PodSidecarFlags, place: PodPlace, files: PodFiles, io: CommandIo): Promise<ControlApi> {
  if (flags.authMethod === undefined) return apiFromFlags(flags, io)
  if (existsSync(files.token)) await logout(flags, files, io)
  const { SecretID: token } = await apiFromFlags(flags, io).postJson<{ readonly SecretID: string }>('/v1/acl/login', {
    AuthMethod: flags.authMethod,
    BearerToken: io.readText(flags.bearerTokenFile ?? SERVICE_ACCOUNT_TOKEN).trim(),
    Meta: { pod: `${place.namespace}/${place.podName}` },
  })
  writeSecret(files.token, token)
  return apiFromFlags({ ...flags, token }, io)
}

/** Of no consequence where it fails: the method's own limit ends the token then. */
async function logout(flags: ApiFlags, { token }: PodFiles, io: CommandIo): Promise<void> {
  await apiFromFlags({ ...flags, tokenFile: token }, io)
    .call({ method: 'POST', path: '/v1/acl/logout' })
    .catch((error: Error) => io.err(`outrigger: logout: ${error.message}\n`))
}

/** The pod in the catalog: kept there, and said to be ready when its sidecar and its application are. */
class Registered {
  private readonly registration: object
  private readonly readiness: AppReadiness

  constructor(
    private readonly service: PodService,
    private readonly place: PodPlace,
    private readonly api: ControlApi,
    private readonly io: CommandIo,
  ) {
    this.registration = registrationOf(service, place)
    // Where the probes of the kubelet go through the sidecar, it asks at the pod's loopback too.
    const host = service.exposedPaths.length > 0 ? LOOPBACK : place.podIp
    this.readiness = new AppReadiness({ probes: readyProbes(service), host, onChange: () => void this.say() })
  }

  async register(): Promise<void> {
    const { warnings } = await this.api.put('/v1/agent/service/register?replace-existing-checks=true', this.registration)
    for (const warning of warnings) this.io.err(`outrigger: warning: ${warning}\n`)
    if (this.readiness.ready) await this.say()
  }

  /** A control plane that lost its state, or that deregistered the pod while it could not be reached, is told again. */
  keep(files: PodFiles): void {
    const id = serviceId(this.service, this.place)
    let left = false
    process.once('SIGTERM', () => {
      left = true
      this.readiness.stop()
    })
    const hasLeft = (): boolean => left || existsSync(files.left)
    const look = async (): Promise<void> => {
      try {
        const known = await this.api.findJson<object>(`/v1/agent/service/${encodeURIComponent(id)}`)
        // Whoever deregisters it on purpose (`k8s leave`) says so first.
        if (known === undefined && !hasLeft()) await this.register()
      } catch (error) {
        this.tell(error)
      }
    }
    setInterval(() => void look(), LOOK_EVERY_MS).unref()
    setInterval(
      () => {
        if (!hasLeft()) void this.say()
      },
      (READY_CHECK_TTL_S * 1000) / SAID_IN_A_TTL,
    ).unref()
  }

  private async say(): Promise<void> {
    const { readiness, service, place } = this
    try {
      await this.api.put(`/v1/agent/check/update/${encodeURIComponent(readyCheckId(service, place))}`, {
        Status: readiness.ready ? 'passing' : 'critical',
        Output: readiness.ready ? 'the sidecar serves, and the readiness probes pass' : readiness.why,
      })
    } catch (error) {
      // Not registered, before or after its time in the mesh.
      if (!(error instanceof RefusedError && error.statusCode === 404)) this.tell(error)
    }
  }

  private tell(error: unknown): void {
    if (!(error instanceof CliError)) throw error
    this.io.err(`outrigger: ${error.message}\n`)
  }
}

const LOOPBACK = '127.0.0.1'
const SAID_IN_A_TTL = 3

export async function leave(flags: LeaveFlags, io: CommandIo): Promise<void> {
  const { wait = DEFAULT_WAIT_S, admin = DEFAULT_ADMIN } = flags
  if (!/^\d{1,4}$/.test(wait)) throw new CliError(`--wait "${wait}": must be a number of seconds`)
  const service = flags.gateway === true ? null : podService(io)
  const files = service === null ? null : podFiles(service, io)
  const loggedIn = files !== null && existsSync(files.token)
  const api = apiFromFlags(loggedIn ? { ...flags, tokenFile: files.token } : flags, io)
  const id = service === null ? podVariable('POD_NAME', io) : serviceId(service, podPlace(io))
  if (files !== null && existsSync(dirname(files.left))) writeNewFile(files.left, '')
  // A sidecar still serves what its application calls; a gateway has nobody beside it.
  const direction = service === null ? '' : 'inboundonly&'
  // The pod ends in any case: what fails is said, and the rest is done.
  const attempt = async (what: string, done: Promise<unknown>): Promise<void> => {
    await done.catch((error: Error) => io.err(`outrigger: ${what}: ${error.message}\n`))
  }
  await attempt('deregister', api.put(`/v1/agent/service/deregister/${encodeURIComponent(id)}`))
  await attempt('drain', sidecarAdmin(admin).call({ method: 'POST', path: `/drain_listeners?graceful&${direction}skip_exit` }))
  await sleep(Number(wait) * 1000)
  if (loggedIn) await logout(flags, files, io)
}

function podService(io: CommandIo): PodService {
  const text = io.env(POD_SERVICE_VARIABLE)
  if (text === undefined) throw new CliError(`${POD_SERVICE_VARIABLE} is not set: this runs in pods that the webhook has injected`)
  try {
    return JSON.parse(text) as PodService
  } catch {
    throw new CliError(`${POD_SERVICE_VARIABLE}: is no JSON`)
  }
}

function podPlace(io: CommandIo): PodPlace {
  return {
    podName: podVariable('POD_NAME', io),
    podIp: podVariable('POD_IP', io),
    namespace: podVariable('POD_NAMESPACE', io),
    nodeName: podVariable('NODE_NAME', io),
  }
}

function podVariable(name: string, io: CommandIo): string {
  const text = io.env(name)
  if (text === undefined) throw new CliError(`${name} is not set: this runs in pods, where the manifest sets it`)
  return text
}
