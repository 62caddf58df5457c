// `outrigger sidecar` as a process: settings read, a Consul server found, the proxy run in this process by the bootstrap that it gave. Called by
// sidecar.ts. Invariant: whatever ends the process, a login is logged out first; a worker process of the proxy finds no server of its own.
import {
  CONSUL_TARGET,
  Dataplane,
  type DataplaneSettings,
  readAdmin,
  readSettings,
  SettingsError,
  type SettingsSources,
} from '../../../dataplane/dataplane.js'
import { AdminClient } from '../../../dataplane/proxy/admin-client.js'
import { ENVOY_VERSION, OUTRIGGER_VERSION } from '../../../sidecar/version.js'
import { AnswerCode, CliError, type CommandIo } from '../../command-line/command-io.js'
import { createLogger } from '../../logger.js'
import { type ProxyFlags, parseProxyFlags } from '../../proxy-flags.js'
import { runProxy } from '../../run-proxy.js'
import { WORKER_VARIABLE } from '../../worker-channel.js'
import { stopSignal } from '../process-life.js'

export interface SidecarCommandFlags {
  readonly consul?: string
  readonly configFile?: string
  readonly checkProxyHealth?: boolean
  readonly version?: boolean
}

/** Lines as consul-dataplane writes them, and by its names. */
const TEXT_LINES = '%Y-%m-%dT%T.%e%z [%l] outrigger.%n: %v'
const JSON_LINES = '{"@timestamp":"%Y-%m-%dT%T.%e%z","@level":"%l","@module":"outrigger.%n","@message":"%j"}'
const HEALTH_TIMEOUT_MS = 3_000

export async function runSidecar(
  { consul, configFile, checkProxyHealth, version }: SidecarCommandFlags,
  given: ReadonlyMap<string, string | readonly string[]>,
  args: readonly string[],
  io: CommandIo,
): Promise<void> {
  if (version === true)
    return io.out(`Outrigger ${OUTRIGGER_VERSION}, standing for Envoy ${ENVOY_VERSION} under consul-dataplane's flags\n`)
  const flags = consul === undefined ? given : new Map([...given, ...serversOf(consul, given)])
  const sources = sourcesOf(flags, configFile, io)
  if (checkProxyHealth === true) return checkHealth(judged(readAdmin, sources), io)
  const settings = judged(readSettings, sources)
  const proxyFlags = parseProxyFlags(proxyArguments(settings, args))
  // The primary sends the bootstrap.
  if (io.env(WORKER_VARIABLE) !== undefined) return runProxy(proxyFlags)
  if (proxyFlags.errors.length > 0) throw new CliError(proxyFlags.errors.join('\n'))
  await runDataplane(settings, proxyFlags, args, io)
}

function serversOf(consul: string, given: ReadonlyMap<string, unknown>): [string, string][] {
  if (given.has('addresses') || given.has('grpc-port')) throw new CliError('--consul stands for -addresses and -grpc-port: give either')
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(consul)
  if (match === null) throw new CliError(`--consul "${consul}": must be host:port`)
  return [
    ['addresses', match[1] ?? match[2]!],
    ['grpc-port', match[3]!],
  ]
}

function sourcesOf(
  flags: ReadonlyMap<string, string | readonly string[]>,
  configFile: string | undefined,
  { env, readText }: CommandIo,
): SettingsSources {
  return { flags, env, readText, ...(configFile === undefined ? {} : { file: { path: configFile, text: readText(configFile) } }) }
}

function judged<T>(read: (sources: SettingsSources) => T, sources: SettingsSources): T {
  try {
    return read(sources)
  } catch (error) {
    throw error instanceof SettingsError ? new CliError(error.message) : error
  }
}

/** What is said behind -- goes over what the settings say of the same. */
function proxyArguments({ envoy, log }: DataplaneSettings, args: readonly string[]): string[] {
  const settings: readonly (readonly [flag: string, value: string])[] = [
    ['--concurrency', String(envoy.concurrency)],
    ['--drain-time-s', String(envoy.drainTimeS)],
    ['--drain-strategy', envoy.drainStrategy],
    ['--log-level', log.level],
    ['--log-format', log.json ? JSON_LINES : TEXT_LINES],
  ]
  const isSaid = (flag: string): boolean => args.some(arg => arg === flag || arg.startsWith(`${flag}=`))
  return [...settings.filter(([flag]) => !isSaid(flag)).flat(), ...args]
}

async function runDataplane(settings: DataplaneSettings, flags: ProxyFlags, args: readonly string[], io: CommandIo): Promise<void> {
  const { log } = createLogger({
    name: 'outrigger-sidecar',
    level: flags.logLevel,
    path: flags.logPath,
    format: flags.logFormat,
    escaped: flags.logFormatEscaped,
    componentLevels: flags.componentLevels,
  })
  const dataplane = new Dataplane({
    settings,
    log: (level, message) => log(level, message, undefined, 'client'),
    env: io.env,
    random: Math.random,
    print: text => io.out(text),
  })
  // Before there is a proxy, the search for a server is what a signal ends.
  const early = (): void => void dataplane.close().finally(() => process.exit(0))
  process.once('SIGTERM', early).once('SIGINT', early)
  const bootstrap = await dataplane.prepare().catch(async (error: Error) => {
    await dataplane.close()
    throw new CliError(error.message)
  })
  process.off('SIGTERM', early).off('SIGINT', early)
  if (bootstrap === null) {
    await stopSignal()
    return dataplane.close()
  }
  const withBootstrap = parseProxyFlags(['--config-yaml', JSON.stringify(bootstrap), ...proxyArguments(settings, args)])
  await runProxy(withBootstrap, {
    managementServers: new Map([[CONSUL_TARGET, dataplane.servers]]),
    onStarted: (sidecar, end) => dataplane.serve(() => sidecar.isConnected, end),
    onTerm: () => dataplane.shutDown(),
    onEnd: () => dataplane.close(),
  })
}

async function checkHealth({ adminHost, adminPort }: ReturnType<typeof readAdmin>, io: CommandIo): Promise<void> {
  try {
    await new AdminClient(adminHost, adminPort).get('/ready', HEALTH_TIMEOUT_MS)
    io.out('the proxy is ready\n')
  } catch (error) {
    io.err(`outrigger: the proxy is not ready: ${(error as Error).message}\n`)
    throw new AnswerCode(1)
  }
}
