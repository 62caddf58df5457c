// What Consul's agent configuration says to the control plane, in the words of `outrigger control`'s flags, and what has no flag: definitions,
// TLS files, tokens. Called by run-control.ts at the start and again at each reload.
// Invariant: a value passes through the same checks as the flag that stands for it.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentDefinitions } from '../../control/agent-definitions.js'
import type { Configured } from '../../control/control-plane.js'
import type { ServerTls } from '../../control/port-tls.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlFlags } from '../commands/control-options.js'
import type { AgentConfig, PortSettings } from './agent-config.js'

const LOOPBACK = '127.0.0.1'
const PORTS = { http: 8500, https: 8501, grpc: 8502, grpc_tls: 8503, dns: 8600 } as const
/** Consul's names of levels -> the logger's. */
const LOG_LEVELS: Readonly<Record<string, string>> = { err: 'error', warning: 'warn' }

/** Only what the configuration says; a flag of the command line stands over it. */
export function controlFlagsOf(config: AgentConfig): ControlFlags {
  const { acl, backup, dns_config: dns, ports = {} } = config
  return present({
    domain: config.domain,
    altDomain: config.alt_domain,
    httpAddr: listener(config, 'http'),
    httpsAddr: listener(config, 'https'),
    grpcAddr: listener(config, 'grpc'),
    grpcTlsAddr: listener(config, 'grpc_tls'),
    dnsAddr: listener(config, 'dns'),
    dataDir: config.dev ? undefined : config.data_dir,
    backupTo: backup?.to,
    backupEvery: backup?.every,
    backupKeep: backup?.keep,
    backupKeyFile: backup?.key_file,
    backupS3CredentialsFile: backup?.s3_credentials_file,
    datacenter: config.datacenter,
    nodeName: config.node_name,
    nodeAddress: nodeAddress(config),
    region: config.locality?.region,
    zone: config.locality?.zone,
    sidecarMinPort: ports.sidecar_min_port?.toString(),
    sidecarMaxPort: ports.sidecar_max_port?.toString(),
    recursor: config.recursors,
    dnsOnlyPassing: dns?.only_passing,
    dnsNodeTtl: dns?.node_ttl,
    dnsServiceTtl: dns?.service_ttl && Object.entries(dns.service_ttl).map(([name, ttl]) => `${name}=${ttl}`),
    enableLocalScriptChecks: config.enable_local_script_checks === true || config.enable_script_checks === true || undefined,
    enableScriptChecks: config.enable_script_checks,
    acl: acl?.enabled,
    // Consul's own default is to allow.
    aclDefaultPolicy: acl?.enabled === true ? (acl.default_policy ?? 'allow') : undefined,
    ui: config.ui ?? config.ui_config?.enabled,
    prometheus: prometheusOf(config),
    logLevel: logLevel(config),
  })
}

/** Consul's one provider that is built in. */
function prometheusOf({ ui_config: ui }: AgentConfig): string | undefined {
  const provider = ui?.metrics_provider ?? ''
  if (provider !== '' && provider !== 'prometheus') throw new CliError(`ui_config.metrics_provider "${provider}": must be prometheus`)
  return provider === '' ? undefined : ui?.metrics_proxy?.base_url
}

/** Throws `CliError` that names the file at fault. */
export function configuredBy(config: AgentConfig, io: CommandIo): Configured {
  const { acl } = config
  const tokens = present({ default: acl?.tokens?.default, agent: acl?.tokens?.agent, dns: acl?.tokens?.dns })
  return {
    definitions: definitionsOf(config),
    agentTokens: tokens,
    tls: { https: serverTls(config, 'https', io), grpc: serverTls(config, 'grpc', io) },
  }
}

export function definitionsOf({ services = [], checks = [], config_entries }: AgentConfig): AgentDefinitions {
  return { services, checks, configEntries: config_entries?.bootstrap ?? [] }
}

export function logLevel({ log_level: level, dev }: AgentConfig): string | undefined {
  if (level === undefined) return dev ? 'debug' : undefined
  const lower = level.toLowerCase()
  return LOG_LEVELS[lower] ?? lower
}

/** Undefined: nothing is said of it, and the control plane's own default stands. */
export function listener(config: AgentConfig, use: keyof typeof PORTS): string | undefined {
  const { ports = {}, addresses = {}, client_addr: client } = config
  const port = (ports as PortSettings)[use]
  const isOn = use !== 'https' && use !== 'grpc_tls'
  if (port !== undefined && port <= 0) return 'off'
  if (port === undefined && !isOn) return undefined
  const host = addresses[use] ?? client
  if (port === undefined && host === undefined) return undefined
  const [first, ...more] = (host ?? LOOPBACK).trim().split(/\s+/)
  const isSocket = first?.startsWith('unix:') === true
  if (more.length > 0 || first === undefined || first.includes('{{') || (isSocket && use !== 'http'))
    throw new CliError(`${use} is to listen on "${host}": one IP address is taken (for http also unix:///path), no list, no template`)
  if (isSocket) return first
  return `${first.includes(':') ? `[${first}]` : first}:${port ?? PORTS[use]}`
}

export function nodeAddress({ advertise_addr, bind_addr }: AgentConfig): string | undefined {
  if (advertise_addr !== undefined) return advertise_addr
  return bind_addr === undefined || bind_addr === '0.0.0.0' || bind_addr === '::' ? undefined : bind_addr
}

/** `tls.defaults`, and over it what is said of the port. Without a certificate the mesh's CA issues one. */
export function serverTls(config: AgentConfig, port: 'https' | 'grpc', io: CommandIo): ServerTls {
  const { ca_file, ca_path, cert_file, key_file, verify_incoming, tls_min_version } = { ...config.tls?.defaults, ...config.tls?.[port] }
  if ((cert_file === undefined) !== (key_file === undefined)) throw new CliError(`tls.${port}: cert_file and key_file go together`)
  const caPem = ca_file !== undefined ? io.readText(ca_file) : ca_path !== undefined ? folderText(ca_path, io) : undefined
  if (verify_incoming === true && caPem === undefined) throw new CliError(`tls.${port}.verify_incoming needs ca_file or ca_path`)
  return {
    ...(cert_file === undefined ? {} : { certPem: io.readText(cert_file), keyPem: io.readText(key_file!) }),
    ...(caPem === undefined || cert_file === undefined ? {} : { caPem }),
    ...(verify_incoming === true ? { clientCaPem: caPem! } : {}),
    ...(tls_min_version === undefined ? {} : { minVersion: minVersion(tls_min_version, port) }),
  }
}

function minVersion(text: string, port: string): 'TLSv1.2' | 'TLSv1.3' {
  const version = text.replace(/^TLSv1_/, 'TLSv1.')
  if (version === 'TLSv1.2' || version === 'TLSv1.3') return version
  throw new CliError(`tls.${port}.tls_min_version "${text}": must be TLSv1_2 or TLSv1_3`)
}

export function folderText(folder: string, io: CommandIo): string {
  try {
    return readdirSync(folder)
      .sort()
      .map(name => io.readText(join(folder, name)))
      .join('\n')
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(`${folder}: ${(error as Error).message}`)
  }
}

function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
