// Consul's agent configuration as one typed object: what the files of `-config-file` and `-config-dir` say, and the flags over them. Called by
// the agent command and by `outrigger control`; read again for a reload. Both the control plane and the agent of another machine start from it.
// Invariant: the types hold, because read-agent-config.ts has checked every key against agent-keys.ts.
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ConfigObject, keysWithoutEffect, readAgentConfig, setValue } from './read-agent-config.js'

export interface TlsSettings {
  readonly ca_file?: string
  readonly ca_path?: string
  readonly cert_file?: string
  readonly key_file?: string
  readonly verify_incoming?: boolean
  readonly verify_outgoing?: boolean
  readonly verify_server_hostname?: boolean
  readonly tls_min_version?: string
}

/** Ports by use; -1 is off. */
export interface PortSettings {
  readonly http?: number
  readonly https?: number
  readonly grpc?: number
  readonly grpc_tls?: number
  readonly dns?: number
  readonly sidecar_min_port?: number
  readonly sidecar_max_port?: number
  readonly expose_min_port?: number
  readonly expose_max_port?: number
}

export interface AgentConfig {
  readonly dev: boolean
  /** The files that were read, in order. */
  readonly files: readonly string[]
  /** Keys that are given and mean nothing here, as paths. */
  readonly withoutEffect: readonly string[]
  readonly server?: boolean
  readonly datacenter?: string
  readonly node_name?: string
  readonly node_meta?: Readonly<Record<string, string>>
  readonly locality?: { readonly region?: string; readonly zone?: string }
  readonly data_dir?: string
  readonly bind_addr?: string
  readonly client_addr?: string
  readonly advertise_addr?: string
  readonly pid_file?: string
  readonly ports?: PortSettings
  readonly addresses?: Readonly<Partial<Record<'http' | 'https' | 'grpc' | 'grpc_tls' | 'dns', string>>>
  readonly retry_join?: readonly string[]
  readonly start_join?: readonly string[]
  readonly retry_interval?: string
  readonly retry_max?: number
  readonly acl?: {
    readonly enabled?: boolean
    readonly enable_token_persistence?: boolean
    readonly default_policy?: string
    readonly down_policy?: string
    readonly tokens?: {
      readonly initial_management?: string
      readonly agent?: string
      readonly default?: string
      readonly dns?: string
      readonly config_file_service_registration?: string
    }
  }
  readonly domain?: string
  readonly alt_domain?: string
  readonly recursors?: readonly string[]
  readonly dns_config?: {
    readonly only_passing?: boolean
    readonly node_ttl?: string
    readonly service_ttl?: Readonly<Record<string, string>>
  }
  readonly tls?: Readonly<Partial<Record<'defaults' | 'https' | 'grpc' | 'internal_rpc', TlsSettings>>>
  readonly connect?: { readonly ca_provider?: string; readonly ca_config?: ConfigObject }
  readonly backup?: Readonly<Partial<Record<'to' | 'every' | 'keep' | 'key_file' | 's3_credentials_file', string>>>
  readonly config_entries?: { readonly bootstrap?: readonly ConfigObject[] }
  readonly default_intention_policy?: string
  readonly services?: readonly ConfigObject[]
  readonly checks?: readonly ConfigObject[]
  readonly enable_script_checks?: boolean
  readonly enable_local_script_checks?: boolean
  readonly http_config?: {
    readonly response_headers?: Readonly<Record<string, string>>
    readonly block_endpoints?: readonly string[]
    readonly allow_write_http_from?: readonly string[]
  }
  /** The older word for `ui_config.enabled`. */
  readonly ui?: boolean
  readonly ui_config?: {
    readonly enabled?: boolean
    readonly metrics_provider?: string
    readonly metrics_proxy?: { readonly base_url?: string }
  }
  readonly leave_on_terminate?: boolean
  readonly log_level?: string
  readonly log_json?: boolean
  readonly log_file?: string
}

export interface AgentFlags {
  readonly dev?: boolean
  /** Of -config-file and -config-dir, in the order given. */
  readonly configFile?: readonly string[]
  readonly configFormat?: string
  /** Key path -> what a flag says of it, with the flag's name. */
  readonly values: ReadonlyMap<string, { readonly flag: string; readonly given: unknown }>
}

/** Throws `CliError` with a line for each problem. */
export function loadAgentConfig(flags: AgentFlags, io: CommandIo): AgentConfig {
  const { configFormat: format, dev = false } = flags
  if (format !== undefined && format !== 'hcl' && format !== 'json') throw new CliError(`-config-format "${format}": must be hcl or json`)
  const { values, files } = readAgentConfig(flags.configFile ?? [], format, io)
  for (const [path, { flag, given }] of flags.values) setValue(values, path, given, flag)
  const reader = dev || values['server'] === true ? 'server' : 'client'
  return { ...values, dev, files, withoutEffect: keysWithoutEffect(values, reader) }
}
