// What `outrigger agent` runs without -server and -dev: the agent of a machine that has no control plane of its own, as a process. Called by
// run-agent.ts. SIGTERM stops it and leaves its node to the lease, or leaves in order (`leave_on_terminate`); SIGINT leaves, as in Consul.
import { rmSync } from 'node:fs'
import { ClientAgent } from '../../control/agent/client-agent.js'
import { joinErrors } from '../../control/http-api/respond.js'
import { OUTRIGGER_VERSION } from '../../sidecar/version.js'
import type { AgentConfig } from '../agent-config/agent-config.js'
import { clientOptions, httpsTls, tokensOf } from '../agent-config/client-settings.js'
import { definitionsOf, logLevel } from '../agent-config/control-settings.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { openControlLog } from '../control-log.js'
import { serviceManager } from '../service-manager.js'
import { levelOf, stopSignal, writePidFile } from './process-life.js'
import type { LoadedConfig } from './run-control.js'

export async function runClientAgent({ config, load }: LoadedConfig, io: CommandIo): Promise<void> {
  const options = clientOptions(config, io)
  const log = openControlLog({
    level: levelOf(logLevel(config)),
    json: config.log_json === true,
    ...(config.log_file === undefined ? {} : { file: config.log_file }),
  })
  if (config.withoutEffect.length > 0)
    log.logger.warn({}, `keys of the configuration without effect here: ${config.withoutEffect.join(', ')}`)
  let end = (_how: 'left' | { readonly givenUp: string }): void => {}
  const ended = new Promise<'left' | { readonly givenUp: string }>(resolve => {
    end = resolve
  })
  const agent: ClientAgent = new ClientAgent({
    ...options,
    definitions: definitionsOf(config),
    scripts: config.enable_local_script_checks === true || config.enable_script_checks === true,
    version: OUTRIGGER_VERSION,
    log: log.logger,
    reload: () => reload(),
    onLeave: () => end('left'),
    onGivenUp: reason => end({ givenUp: reason }),
  })
  const reload = async (): Promise<string | undefined> => {
    let next: AgentConfig
    try {
      next = load()
      if (options.httpsAddr !== undefined) agent.useCertificate(httpsTls(next, io))
      log.setLevel(levelOf(logLevel(next)))
    } catch (error) {
      return (error as Error).message
    }
    agent.tokens.configure(tokensOf(next))
    const { errors } = await agent.applyDefinitions(definitionsOf(next))
    return errors.length === 0 ? undefined : joinErrors(errors)
  }
  await agent.start().catch((error: Error) => {
    throw new CliError(error.message)
  })
  // Before anything tells others that it runs: whoever reads that may signal at once.
  const stopped = stopSignal()
  process.on(
    'SIGHUP',
    () =>
      void reload().then(problem => {
        if (problem !== undefined) log.logger.error({}, `reload: ${problem}`)
      }),
  )
  if (config.pid_file !== undefined) writePidFile(config.pid_file)
  for (const [name, address] of [
    ['http', agent.httpAddress],
    ['https', agent.httpsAddress],
    ['grpc', agent.grpcAddress],
    ['dns', agent.dnsAddress],
  ])
    if (address !== '') io.out(`${name} ${address}\n`)
  const manager = serviceManager(io.env, reason => log.logger.warn({}, reason))
  manager.ready()
  const how = await Promise.race([stopped, ended])
  manager.stopping()
  const leaves = how === 'SIGINT' || (how === 'SIGTERM' && config.leave_on_terminate === true)
  if (leaves) await agent.leave().catch((error: Error) => log.logger.error({}, `agent: cannot leave: ${error.message}`))
  await agent.stop()
  if (config.pid_file !== undefined) rmSync(config.pid_file, { force: true })
  if (typeof how === 'object') throw new CliError(how.givenUp)
}
