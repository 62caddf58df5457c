// A whole configuration, of one or several files that have become plain objects: CTS's options by their names. Called by the command.
// Invariant: all faults are found before anything starts; what CTS has and this has not is refused by name, what has no meaning here is warned of.
import { ConfigError, type ConfigFields, type ConfigNotes, ConfigFields as Fields, isPlain, type Plain } from './config-fields.js'
import type { DriverReading } from './read-drivers.js'
import { readBuffer, readTask, taskBlocks } from './read-task.js'
import { readVault } from './read-vault.js'
import type { ConsulSettings, HighAvailability, SyncConfig, TaskConfig, TerraformSettings } from './sync-config.js'

/** CTS's. */
const DEFAULT_PORT = 8558
const DEFAULT_WORKING_DIR = 'sync-tasks'
const DEFAULT_BUFFER = { minMs: 5_000, maxMs: 20_000 }
export const MAX_TASKS = 1_000
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'TRACE', 'DEBUG', 'INFO', 'WARN', 'ERR'] as const
const BACKENDS = ['azurerm', 'consul', 'cos', 'gcs', 'http', 'kubernetes', 'local', 'manta', 'pg', 's3']

export interface ReadConfig {
  readonly config: SyncConfig
  readonly warnings: readonly string[]
}

/** Throws `ConfigError` with every fault. Of several files the later one's options stand; their tasks are joined. */
export function readSyncConfig(files: readonly Plain[], defaultId: string, reading: DriverReading): ReadConfig {
  const notes: ConfigNotes = { problems: [], warnings: [] }
  const fields = new Fields(merged(files), '', notes)
  const buffer = readBuffer(fields, DEFAULT_BUFFER)
  const config: SyncConfig = {
    id: fields.text('id', defaultId),
    logLevel: fields.oneOf('log_level', LEVELS, 'info').toLowerCase().replace(/^err$/, 'error'),
    port: fields.whole('port', 0, 65_535, DEFAULT_PORT),
    workingDir: fields.text('working_dir', DEFAULT_WORKING_DIR),
    consul: readConsul(fields.object('consul'), notes),
    terraform: readTerraform(fields),
    vault: readVault(fields.object('vault'), reading.env),
    highAvailability: readHighAvailability(fields.object('high_availability')),
    buffer,
    tasks: readTasks(fields, buffer, reading),
  }
  fields.ignored('syslog')
  fields.refused('license_path', 'is of an enterprise product')
  fields.refused('license', 'is of an enterprise product')
  fields.refused('tls', 'is not there: the status API listens on loopback alone')
  fields.refused('service', 'is a condition "services" since CTS 0.7')
  fields.refused('provider', 'is named terraform_provider')
  fields.done()
  if (notes.problems.length > 0) throw new ConfigError(notes.problems)
  return { config, warnings: notes.warnings }
}

function merged(files: readonly Plain[]): Plain {
  const tasks = files.flatMap(file => taskBlocks(file['task']))
  const whole: Record<string, unknown> = {}
  for (const file of files)
    for (const [name, value] of Object.entries(file)) {
      const before = whole[name]
      whole[name] = isPlain(before) && isPlain(value) ? { ...before, ...value } : value
    }
  return { ...whole, task: tasks }
}

function readTasks(fields: ConfigFields, buffer: SyncConfig['buffer'], reading: DriverReading): TaskConfig[] {
  const blocks = (fields.raw('task') as readonly unknown[]) ?? []
  if (blocks.length > MAX_TASKS) fields.problem('task', `more than ${MAX_TASKS}`)
  const tasks: TaskConfig[] = []
  for (const [i, block] of blocks.slice(0, MAX_TASKS).entries()) {
    const name = isPlain(block) && typeof block['name'] === 'string' ? `task "${block['name']}"` : `task[${i}]`
    const task = readTask(new Fields(block, name, fields.notes), buffer, reading)
    if (task === undefined) continue
    if (tasks.some(other => other.name === task.name)) fields.notes.problems.push(`${name}: is given twice`)
    tasks.push(task)
  }
  const written = new Map<string, string>()
  for (const { name, driver } of tasks)
    for (const file of driver.kind === 'template' ? driver.files : []) {
      const other = written.get(file.destination)
      if (other !== undefined && other !== name)
        fields.notes.problems.push(`task "${name}": ${file.destination} is written by task "${other}" too`)
      written.set(file.destination, name)
    }
  return tasks
}

function readConsul(consul: ConfigFields | undefined, notes: ConfigNotes): ConsulSettings {
  if (consul === undefined) return { verify: true }
  const tls = consul.object('tls') ?? new Fields({}, 'consul.tls', notes)
  const auth = consul.object('auth') ?? new Fields({}, 'consul.auth', notes)
  const registration = consul.object('service_registration')
  if (registration !== undefined) {
    if (registration.flag('enabled', true)) registration.problem('enabled', 'must be false: this process is not registered as a service')
    registration.ignored('service_name', 'address', 'default_check', 'namespace')
    registration.done()
  }
  consul.refused('namespace', 'is Consul Enterprise')
  consul.refused('partition', 'is Consul Enterprise')
  consul.ignored('transport')
  const text = <K extends string>(name: K, value: string | undefined): { [key in K]?: string } =>
    value === undefined || value === '' ? {} : ({ [name]: value } as { [key in K]: string })
  const tlsEnabled = tls.flag('enabled', true)
  const address = consul.text('address')
  const username = auth.text('username', '')
  const password = auth.text('password', '')
  const authEnabled = auth.flag('enabled', username !== '')
  const isHttps = tls.has('enabled') && tlsEnabled && address !== undefined && !address.includes('://')
  tls.refused('ca_path', 'is not there: ca_cert names a file with all certificates')
  const settings: ConsulSettings = {
    ...text('address', isHttps ? `https://${address}` : address),
    ...text('token', consul.text('token')),
    ...text('tokenFile', consul.text('token_file')),
    ...(authEnabled ? { basicAuth: `${username}:${password}` } : {}),
    ...text('caFile', tls.text('ca_cert')),
    ...text('certFile', tls.text('cert')),
    ...text('keyFile', tls.text('key')),
    ...text('serverName', tls.text('server_name')),
    verify: tls.flag('verify', true),
  }
  for (const fields of [tls, auth, consul]) fields.done()
  return settings
}

function readTerraform(fields: ConfigFields): TerraformSettings {
  const driver = fields.object('driver')
  const terraform = driver?.object('terraform')
  driver?.refused('terraform-cloud', 'is of HCP Terraform alone')
  driver?.done()
  const providers = fields.raw('terraform_provider')
  const common = { providers: providerBlocks(providers, fields) }
  if (terraform === undefined) return { ...common, log: false, requiredProviders: {} }
  terraform.ignored('persist_log')
  terraform.refused('version', 'is not there: nothing is downloaded; path names the binary')
  terraform.refused('workspace_prefix', 'is not there')
  const backend = terraform.object('backend')
  const kinds = backend?.names() ?? []
  if (backend !== undefined && (kinds.length !== 1 || !BACKENDS.includes(kinds[0]!)))
    terraform.problem('backend', `must be one of ${BACKENDS.join(', ')}`)
  const path = terraform.text('path')
  const workingDir = terraform.text('working_dir')
  const settings: TerraformSettings = {
    ...common,
    ...(path === undefined ? {} : { path }),
    ...(workingDir === undefined ? {} : { workingDir }),
    log: terraform.flag('log', false),
    ...(backend === undefined
      ? {}
      : { backend: { kind: kinds[0] ?? 'local', fields: (backend.raw(kinds[0] ?? '') as Plain | undefined) ?? {} } }),
    requiredProviders: (terraform.raw('required_providers') as Plain | undefined) ?? {},
  }
  terraform.done()
  return settings
}

/** `terraform_provider "NAME" {…}`: one or several of a name (with an `alias`). */
function providerBlocks(value: unknown, fields: ConfigFields): TerraformSettings['providers'] {
  if (value === undefined) return {}
  if (!isPlain(value)) {
    fields.problem('terraform_provider', 'must be blocks with names')
    return {}
  }
  return Object.fromEntries(Object.entries(value).map(([name, blocks]) => [name, (Array.isArray(blocks) ? blocks : [blocks]) as Plain[]]))
}

function readHighAvailability(block: ConfigFields | undefined): HighAvailability | null {
  if (block === undefined) return null
  const cluster = block.object('cluster')
  const storage = cluster?.object('storage')
  const consul = storage?.object('consul')
  block.object('instance')?.ignored('address')
  const settings: HighAvailability = {
    cluster: cluster?.text('name') ?? 'cts',
    parentPath: (consul?.text('parent_path') ?? 'consul-terraform-sync').replace(/^\/+|\/+$/g, ''),
    sessionTtlMs: consul?.durationMs('session_ttl', 15_000) ?? 15_000,
  }
  if (settings.sessionTtlMs < 10_000 || settings.sessionTtlMs > 86_400_000) consul?.problem('session_ttl', 'must be between 10s and 24h')
  consul?.refused('namespace', 'is Consul Enterprise')
  for (const fields of [consul, storage, cluster, block]) fields?.done()
  return settings
}
