// `outrigger sync` as a process: reads the configuration, makes the client of the HTTP API, and follows the tasks until SIGTERM; or runs them
// once, or shows what they would change. Called by sync.ts. A flag stands over the configuration, and that over the environment.
import { readdirSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Automation, type AutomationOptions, readingOf } from '../../../automation/automation.js'
import { ConfigError, type Plain } from '../../../automation/config/config-fields.js'
import { type ReadConfig, readSyncConfig } from '../../../automation/config/read-sync-config.js'
import type { ConsulSettings } from '../../../automation/config/sync-config.js'
import type { DriverWorld } from '../../../automation/drivers/drivers.js'
import { heldClock } from '../../../io/clock.js'
import { type ApiFlags, apiFromFlags } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { openControlLog } from '../../control-log.js'
import { readObjects } from '../documents.js'
import { levelOf, stopSignal } from '../process-life.js'

export interface SyncFlags extends ApiFlags {
  readonly config?: readonly string[]
  readonly configFile?: readonly string[]
  readonly configDir?: readonly string[]
  readonly once?: boolean
  readonly inspect?: boolean
  readonly dryRun?: boolean
  readonly port?: string
  readonly logLevel?: string
  readonly logJson?: boolean
}

const CONFIG_FILE = /\.(hcl|json|ya?ml)$/

export async function runAutomation(flags: SyncFlags, io: CommandIo): Promise<void> {
  const environment: Record<string, string | undefined> = { ...process.env }
  const world: DriverWorld = {
    clock: heldClock,
    random: Math.random,
    env: io.env,
    readFile: io.readText,
    wallNow: heldClock.wallNow,
    environment,
    onOutput: (task, line) => logger.info({ task }, line),
  }
  const { config, warnings } = readConfig(flags, world, io)
  const { logger } = openControlLog({
    name: 'outrigger-sync',
    level: levelOf(flags.logLevel ?? config.logLevel),
    json: flags.logJson === true,
  })
  for (const warning of warnings) logger.warn({}, warning)
  const isOnce = flags.once === true || flags.inspect === true || flags.dryRun === true
  const options: AutomationOptions = {
    config: flags.port === undefined ? config : { ...config, port: portOf(flags.port) },
    api: apiFromFlags(flags, { ...io, env: name => consulEnv(config.consul)[name] ?? io.env(name) }),
    clock: heldClock,
    world,
    onEvent: (task, { success, summary, error, trigger, changed }) => {
      // Said by the command itself.
      if (isOnce) return
      if (success) logger.info({ task, trigger, changed }, summary)
      else logger.error({ task, trigger }, error)
    },
    onLeading: isLeading => logger.info({}, isLeading ? 'leading' : 'no longer leading'),
    onProblem: message => logger.warn({}, message),
  }
  const automation = madeOf(options)
  if (isOnce) return await once(automation, flags.inspect === true || flags.dryRun === true, io)
  const stopped = stopSignal()
  const address = await automation.start().catch((error: Error) => {
    throw new CliError(`status API: ${error.message}`)
  })
  io.out(`Outrigger sync: ${config.tasks.length} tasks, status API at http://${address}\n`)
  await stopped
  await automation.stop()
}

function madeOf(options: AutomationOptions): Automation {
  try {
    return new Automation(options)
  } catch (error) {
    throw new CliError((error as Error).message)
  }
}

async function once(automation: Automation, isDryRun: boolean, io: CommandIo): Promise<void> {
  const results = await automation.once(isDryRun)
  await automation.stop()
  for (const { task, summary, plan, error } of results) {
    if (error !== '') continue
    if (isDryRun) io.out(`# task ${task}: ${plan === '' ? 'no changes\n' : `\n${plan}`}`)
    else io.out(`${task}: ${summary}\n`)
  }
  const failed = results.filter(({ error }) => error !== '')
  if (failed.length > 0) throw new CliError(failed.map(({ task, error }) => `task ${task}: ${error}`).join('\n'))
}

function readConfig(flags: SyncFlags, world: DriverWorld, io: CommandIo): ReadConfig {
  const paths = [...(flags.config ?? []), ...(flags.configFile ?? []), ...(flags.configDir ?? [])]
  if (paths.length === 0) throw new CliError('--config is needed: a file, or a folder of files')
  const files = paths.flatMap(path => filesOf(path)).map(path => objectOf(path, io))
  try {
    return readSyncConfig(files, hostname(), readingOf(world))
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(error.problems.map(problem => `${paths.join(', ')}: ${problem}`).join('\n'))
    throw error
  }
}

function filesOf(path: string): readonly string[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path]
  const names = readdirSync(path)
    .filter(name => CONFIG_FILE.test(name))
    .sort()
  if (names.length === 0) throw new CliError(`${path}: holds no .hcl, .json or .yaml file`)
  return names.map(name => join(path, name))
}

function objectOf(path: string, io: CommandIo): Plain {
  const [first, second] = readObjects(io.readText(path), path)
  if (second !== undefined) throw new CliError(`${second.label}: one object is wanted`)
  return first!.value
}

/** The block `consul`, as the variables that say the same. */
function consulEnv({
  address,
  token,
  tokenFile,
  basicAuth,
  caFile,
  certFile,
  keyFile,
  serverName,
  verify,
}: ConsulSettings): Readonly<Record<string, string | undefined>> {
  return {
    CONSUL_HTTP_ADDR: address,
    CONSUL_HTTP_TOKEN: token,
    CONSUL_HTTP_TOKEN_FILE: tokenFile,
    CONSUL_HTTP_AUTH: basicAuth,
    CONSUL_CACERT: caFile,
    CONSUL_CLIENT_CERT: certFile,
    CONSUL_CLIENT_KEY: keyFile,
    CONSUL_TLS_SERVER_NAME: serverName,
    CONSUL_HTTP_SSL_VERIFY: verify ? undefined : 'false',
  }
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65_535) throw new CliError(`--port "${text}": must be a port`)
  return port
}
