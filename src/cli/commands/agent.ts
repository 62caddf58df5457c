// `outrigger agent`: Consul's agent, by its flags and configuration files. With -server or -dev (or `server` in a file) the control plane,
// else the agent of another machine. Declared for program.ts; what runs is loaded when it runs.
// Invariant: flags stand over files; a key or flag of Consul's without a meaning here is named once, never ignored in silence.
import type { Command } from 'commander'
import type { AgentFlags } from '../agent-config/agent-config.js'
import type { CommandIo } from '../command-line/command-io.js'

/** Flag, placeholder ('' = a switch), the key that it sets, and what it says. */
const CONFIG_FLAGS: readonly (readonly [flag: string, placeholder: string, key: string, description: string])[] = [
  ['server', '', 'server', 'run the control plane here'],
  ['bootstrap-expect', 'n', 'bootstrap_expect', 'servers to wait for; there is one'],
  ['data-dir', 'dir', 'data_dir', 'where the state lives'],
  ['datacenter', 'name', 'datacenter', 'default: dc1'],
  ['node', 'name', 'node_name', 'default: the host name'],
  ['node-meta', 'key:value', 'node_meta', 'note about the node; may be given several times'],
  ['bind', 'ip', 'bind_addr', 'address of this machine in the cluster'],
  ['advertise', 'ip', 'advertise_addr', 'the same, as others reach it (default: -bind)'],
  ['client', 'ip', 'client_addr', 'address of the HTTP API, gRPC and DNS (default: 127.0.0.1)'],
  ['http-port', 'port', 'ports.http', 'default: 8500; -1 is off'],
  ['https-port', 'port', 'ports.https', 'default: off; Consul uses 8501'],
  ['grpc-port', 'port', 'ports.grpc', 'default: 8502; -1 is off'],
  ['grpc-tls-port', 'port', 'ports.grpc_tls', 'default: off; Consul uses 8503'],
  ['dns-port', 'port', 'ports.dns', 'default: 8600; -1 is off'],
  ['domain', 'name', 'domain', 'the domain that DNS answers for (default: consul)'],
  ['alt-domain', 'name', 'alt_domain', 'a second one'],
  ['recursor', 'ip', 'recursors', 'a DNS server to ask for other names; may be given several times'],
  ['retry-join', 'host[:port]', 'retry_join', 'the control plane to join (agent of another machine); may be given several times'],
  ['join', 'host[:port]', 'start_join', 'the same'],
  ['retry-interval', 'duration', 'retry_interval', 'between attempts to join'],
  ['retry-max', 'n', 'retry_max', 'attempts to join; 0 = without end'],
  ['enable-script-checks', '', 'enable_script_checks', 'run script checks, also those registered by the HTTP API'],
  ['enable-local-script-checks', '', 'enable_local_script_checks', 'run script checks of configuration files'],
  ['log-level', 'level', 'log_level', 'trace, debug, info, warn, err (default: info)'],
  ['log-json', '', 'log_json', 'log as JSON, also on a terminal'],
  ['log-file', 'file', 'log_file', 'write the log there'],
  ['pid-file', 'file', 'pid_file', 'write the process ID there'],
  ['encrypt', 'key', 'encrypt', 'no effect: there is no gossip'],
  ['bootstrap', '', 'bootstrap', 'the only server; so it is'],
  ['ui', '', 'ui', 'serve the web console at /ui/ (with -dev it is served anyway)'],
  ['rejoin', '', 'rejoin_after_leave', 'no effect: there is no gossip'],
  ['node-id', 'id', 'node_id', 'no effect: the node has an ID of its own'],
  ['serf-lan-port', 'port', 'ports.serf_lan', 'no effect: there is no gossip'],
  ['serf-wan-port', 'port', 'ports.serf_wan', 'no effect: there is no gossip'],
  ['server-port', 'port', 'ports.server', 'no effect: there is no raft'],
  ['retry-join-wan', 'host', 'retry_join_wan', 'no effect: one datacenter'],
  ['raft-protocol', 'n', 'raft_protocol', 'no effect: there is no raft'],
  ['disable-host-node-id', '', 'disable_host_node_id', 'no effect'],
  ['disable-keyring-file', '', 'disable_keyring_file', 'no effect: there is no gossip'],
  ['syslog', '', 'enable_syslog', 'no effect: the log goes to stderr or -log-file'],
]
const LISTS = new Set(['recursors', 'retry_join', 'start_join', 'retry_join_wan'])

export function addAgent(program: Command, io: CommandIo): void {
  const command = program
    .command('agent')
    .description('run an agent: with -server or -dev the control plane, else that of another machine')
    .option('--dev', 'control plane in memory, for development')
  const files: string[] = []
  const add = (path: string): readonly string[] => {
    files.push(path)
    return files
  }
  command
    .option('--config-file <file>', 'configuration file (HCL, JSON); may be given several times, later ones stand over earlier ones', add)
    .option('--config-dir <dir>', 'folder of such files, read in the order of their names; may be given several times', add)
    .option('--config-format <format>', 'hcl or json, whatever the names of the files end in')
  const values = new Map<string, { flag: string; given: unknown }>()
  for (const [flag, placeholder, key, description] of CONFIG_FLAGS) {
    command.option(placeholder === '' ? `--${flag}` : `--${flag} <${placeholder}>`, description)
    command.on(`option:${flag}`, (text: string | undefined) => {
      values.set(key, { flag: `-${flag}`, given: joined(key, values.get(key)?.given, text ?? true) })
    })
  }
  command.allowExcessArguments(false).action(async () => {
    const { dev, configFormat } = command.opts<{ dev?: boolean; configFormat?: string }>()
    const flags: AgentFlags = {
      configFile: files,
      values,
      ...(dev === undefined ? {} : { dev }),
      ...(configFormat === undefined ? {} : { configFormat }),
    }
    await (await import('./run-agent.js')).runAgent(flags, io)
  })
}

/** A flag that may come several times adds to what it has said before. */
function joined(key: string, before: unknown, text: string | true): unknown {
  if (LISTS.has(key)) return [...((before as string[] | undefined) ?? []), text]
  if (key !== 'node_meta') return text
  const [name, ...value] = String(text).split(':')
  return { ...(before as object | undefined), [name!]: value.join(':') }
}
