// `outrigger validate`: reads an agent configuration as the agent would, with its definitions, files and CA settings, and starts nothing.
// Called by local.ts. Invariant: what passes here starts, as far as files can tell.
import { checkAgentDefinitions } from '../../control/agent-definitions.js'
import { loadAgentConfig } from '../agent-config/agent-config.js'
import { configuredBy, controlFlagsOf } from '../agent-config/control-settings.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { configuredOptions, controlOptions } from './control-options.js'

export async function validateConfig(paths: readonly string[], format: string | undefined, quiet: boolean, io: CommandIo): Promise<void> {
  const config = loadAgentConfig({ configFile: paths, values: new Map(), ...(format === undefined ? {} : { configFormat: format }) }, io)
  controlOptions(controlFlagsOf(config), io)
  configuredOptions(config, io)
  const { definitions } = configuredBy(config, io)
  const problems = checkAgentDefinitions(definitions!, {
    scripts: config.enable_local_script_checks === true || config.enable_script_checks === true,
  })
  if (problems.length > 0) throw new CliError(problems.map(({ path, reason }) => `${path}: ${reason}`).join('\n'))
  if (quiet) return
  if (config.withoutEffect.length > 0) io.err(`without effect here: ${config.withoutEffect.join(', ')}\n`)
  io.out('Configuration is valid!\n')
}
