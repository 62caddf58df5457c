// `outrigger control`: the control plane as a process. Starts it by flags and configuration, reads the configuration again on SIGHUP, stops it on
// SIGTERM or SIGINT. Called by control.ts and run-agent.ts, which load this file only where it runs: the control plane is most of the program.
import { rmSync } from 'node:fs'
import { ControlPlane } from '../../control/control-plane.js'
import { type AgentConfig, loadAgentConfig } from '../agent-config/agent-config.js'
import { configuredBy, controlFlagsOf, logLevel } from '../agent-config/control-settings.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlLog, openControlLog } from '../control-log.js'
import { serviceManager } from '../service-manager.js'
import { type ControlFlags, configuredOptions, controlOptions } from './control-options.js'
import { levelOf, stopSignal, writePidFile } from './process-life.js'

/** An agent configuration, and how to read it again. */
export interface LoadedConfig {
  readonly config: AgentConfig
  load(): AgentConfig
}

export async function control(flags: ControlFlags, io: CommandIo): Promise<void> {
  const { configFile, configFormat } = flags
  if (configFile === undefined && configFormat === undefined) return serve(flags, undefined, io)
  const load = (): AgentConfig =>
    loadAgentConfig(
      {
        ...(configFile === undefined ? {} : { configFile }),
        ...(configFormat === undefined ? {} : { configFormat }),
        values: new Map([['server', { flag: 'control', given: true }]]),
      },
      io,
    )
  return runConfigured({ config: load(), load }, flags, io)
}

/** With Consul's agent configuration; `flags` stand over it. */
export function runConfigured(loaded: LoadedConfig, flags: ControlFlags, io: CommandIo): Promise<void> {
  return serve({ ...controlFlagsOf(loaded.config), ...flags }, loaded, io)
}

async function serve(flags: ControlFlags, loaded: LoadedConfig | undefined, io: CommandIo): Promise<void> {
  const options = { ...controlOptions(flags, io), ...(loaded === undefined ? {} : configuredOptions(loaded.config, io)) }
  const log = openControlLog({
    level: levelOf(flags.logLevel),
    json: loaded?.config.log_json === true,
    ...(loaded?.config.log_file === undefined ? {} : { file: loaded.config.log_file }),
  })
  if (loaded !== undefined && loaded.config.withoutEffect.length > 0)
    log.logger.warn({}, `keys of the configuration without effect here: ${loaded.config.withoutEffect.join(', ')}`)
  const leave = { asked: (): void => {} }
  const left = new Promise<void>(resolve => {
    leave.asked = resolve
  })
  const plane = new ControlPlane({
    ...options,
    ...(loaded === undefined ? {} : { configured: () => configuredBy(reread(loaded, flags, log), io) }),
    log: log.logger,
    onLeave: () => leave.asked(),
  })
  await plane.start().catch((error: Error) => {
    throw new CliError(error.message)
  })
  // Before anything tells others that it runs: whoever reads that may signal at once.
  const stopped = stopSignal()
  process.on('SIGHUP', () => void plane.reload())
  const pidFile = loaded?.config.pid_file
  if (pidFile !== undefined) writePidFile(pidFile)
  printAddresses(plane, io)
  const manager = serviceManager(io.env, reason => log.logger.warn({}, reason))
  manager.ready()
  // What fails in it fails for who asks too, and is told there.
  plane.warmUp().catch(() => {})
  await Promise.race([stopped, left])
  manager.stopping()
  await plane.stop()
  if (pidFile !== undefined) rmSync(pidFile, { force: true })
}

/** What is in force is the first reading at the start, and a new one at each reload, which changes the log level too. */
function reread(loaded: LoadedConfig & { used?: boolean }, flags: ControlFlags, log: ControlLog): AgentConfig {
  if (loaded.used !== true) {
    loaded.used = true
    return loaded.config
  }
  const config = loaded.load()
  log.setLevel(levelOf(flags.logLevel ?? logLevel(config)))
  return config
}

function printAddresses(plane: ControlPlane, io: CommandIo): void {
  const lines = [
    ['http', plane.httpAddress],
    ['https', plane.httpsAddress],
    ['grpc', plane.grpcAddress],
    ['grpc_tls', plane.grpcTlsAddress === plane.grpcAddress ? '' : plane.grpcTlsAddress],
    ['dns', plane.dnsAddress],
    ['spiffe_bundle', plane.spiffeBundleAddress],
  ]
  for (const [name, address] of lines) if (address !== '') io.out(`${name} ${address}\n`)
}
