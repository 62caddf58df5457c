// What `outrigger agent` runs: reads the configuration, and starts the control plane or the agent of another machine by it. Called by agent.ts.
import { type AgentFlags, loadAgentConfig } from '../agent-config/agent-config.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'

export async function runAgent(flags: AgentFlags, io: CommandIo): Promise<void> {
  const load = () => loadAgentConfig(flags, io)
  const config = load()
  if (config.dev || config.server === true) {
    if (!config.dev && config.data_dir === undefined)
      throw new CliError('data_dir cannot be empty: -data-dir names it (-dev keeps the state in memory)')
    const { runConfigured } = await import('./run-control.js')
    return runConfigured({ config, load }, {}, io)
  }
  const { runClientAgent } = await import('./client-agent.js')
  return runClientAgent({ config, load }, io)
}
