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
    // As in Consul: on by -dev, else by `ui_config` or -ui alone.
    const ui = config.ui ?? config.ui_config?.enabled ?? config.dev
    return runConfigured({ config, load }, { ui }, io)
  }
  const { runClientAgent } = await import('./client-agent.js')
  return runClientAgent({ config, load }, io)
}
