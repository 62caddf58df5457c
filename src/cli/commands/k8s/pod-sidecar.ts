// `outrigger k8s sidecar` and `k8s leave`: the life of an injected pod in the mesh. The first registers what the webhook wrote into the
// environment, keeps it registered, and runs the proxy in this process; the second, as the preStop hook, takes the pod out before it ends.
// Called by k8s.ts. Invariant: the login's token stands in a file that only the sidecar's user reads, in memory.
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_ADMIN } from '../../../control/default-admin.js'
import { fullJitterMs } from '../../../io/backoff.js'
import {
  POD_SERVICE_VARIABLE,
  type PodPlace,
  type PodService,
  registrationOf,
  serviceId,
  sidecarId,
} from '../../../kubernetes/inject/pod-service.js'
import { DATA_VOLUME, TOKEN_VOLUME } from '../../../kubernetes/inject/sidecar-container.js'
import { type ApiFlags, apiFromFlags } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, UnreachableError } from '../../command-line/control-api.js'
import { writeNewFile, writeSecret } from '../../command-line/files.js'
import { runEnvoy } from '../connect.js'
import { sidecarAdmin } from '../sidecar/sidecar-admin.js'

export interface PodSidecarFlags extends ApiFlags {
  readonly adminBind?: string
  readonly authMethod?: string
}

export interface LeaveFlags extends ApiFlags {
  readonly admin?: string
  readonly wait?: string
}

const TOKEN_FILE = `${DATA_VOLUME.mountPath}/acl-token`
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
  const api = await untilReached(io, () => entered(flags, place, io))
  const registration = registrationOf(service, place)
  await untilReached(io, () => register(registration, api, io))
  keepRegistered(serviceId(service, place), registration, api, io)
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

/** With the token of a login, where there is an auth method. The one of the container's last life is given back. */
async function entered(flags: PodSidecarFlags, place: PodPlace, io: CommandIo): Promise<ControlApi> {
  if (flags.authMethod === undefined) return apiFromFlags(flags, io)
  if (existsSync(TOKEN_FILE)) await logout(flags, io)
  const { SecretID: token } = await apiFromFlags(flags, io).postJson<{ readonly SecretID: string }>('/v1/acl/login', {
    AuthMethod: flags.authMethod,
    BearerToken: io.readText(SERVICE_ACCOUNT_TOKEN).trim(),
    Meta: { pod: `${place.namespace}/${place.podName}` },
  })
  writeSecret(TOKEN_FILE, token)
  return apiFromFlags({ ...flags, token }, io)
}

/** Of no consequence where it fails: the method's own limit ends the token then. */
async function logout(flags: ApiFlags, io: CommandIo): Promise<void> {
  await apiFromFlags({ ...flags, tokenFile: TOKEN_FILE }, io)
    .call({ method: 'POST', path: '/v1/acl/logout' })
    .catch((error: Error) => io.err(`outrigger: logout: ${error.message}\n`))
}

async function register(registration: object, api: ControlApi, io: CommandIo): Promise<void> {
  const { warnings } = await api.put('/v1/agent/service/register?replace-existing-checks=true', registration)
  for (const warning of warnings) io.err(`outrigger: warning: ${warning}\n`)
}

/** A control plane that lost its state, or that deregistered the pod while it could not be reached, is told again. */
function keepRegistered(id: string, registration: object, api: ControlApi, io: CommandIo): void {
  let left = false
  process.once('SIGTERM', () => {
    left = true
  })
  const look = async (): Promise<void> => {
    try {
      const known = await api.findJson<object>(`/v1/agent/service/${encodeURIComponent(id)}`)
      // Whoever deregisters it on purpose (`k8s leave`) says so first.
      if (known === undefined && !left && !existsSync(LEFT_FILE)) await register(registration, api, io)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      io.err(`outrigger: ${error.message}\n`)
    }
  }
  setInterval(() => void look(), LOOK_EVERY_MS).unref()
}

const LEFT_FILE = `${DATA_VOLUME.mountPath}/left`

export async function leave(flags: LeaveFlags, io: CommandIo): Promise<void> {
  const { wait = DEFAULT_WAIT_S, admin = DEFAULT_ADMIN } = flags
  if (!/^\d{1,4}$/.test(wait)) throw new CliError(`--wait "${wait}": must be a number of seconds`)
  const id = serviceId(podService(io), podPlace(io))
  const loggedIn = existsSync(TOKEN_FILE)
  const api = apiFromFlags(loggedIn ? { ...flags, tokenFile: TOKEN_FILE } : flags, io)
  if (existsSync(DATA_VOLUME.mountPath)) writeNewFile(LEFT_FILE, '')
  // The pod ends in any case: what fails is said, and the rest is done.
  const attempt = async (what: string, done: Promise<unknown>): Promise<void> => {
    await done.catch((error: Error) => io.err(`outrigger: ${what}: ${error.message}\n`))
  }
  await attempt('deregister', api.put(`/v1/agent/service/deregister/${encodeURIComponent(id)}`))
  await attempt('drain', sidecarAdmin(admin).call({ method: 'POST', path: '/drain_listeners?graceful&inboundonly&skip_exit' }))
  await sleep(Number(wait) * 1000)
  if (loggedIn) await logout(flags, io)
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
  const of = (name: string): string => {
    const text = io.env(name)
    if (text === undefined) throw new CliError(`${name} is not set: this runs in pods that the webhook has injected`)
    return text
  }
  return { podName: of('POD_NAME'), podIp: of('POD_IP'), namespace: of('POD_NAMESPACE'), nodeName: of('NODE_NAME') }
}
