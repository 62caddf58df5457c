// What Consul's agent configuration says to the agent of another machine: where the control plane is, what this agent serves, its tokens and TLS.
// Called by commands/client-agent.ts. Invariant: what can't be meant here (cloud joins, several addresses) is refused by its key.
import type { ClientAgentOptions } from '../../control/agent/client-agent.js'
import type { DownPolicy } from '../../control/agent/remote-rules.js'
import type { ServerTls } from '../../control/agent/server-link.js'
import { parseDuration } from '../../control/config-entries/duration.js'
import { type HostPort, parseAddress } from '../../control/http-api/listen-addresses.js'
import type { ServerTls as HttpsTls } from '../../control/port-tls.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { dnsOptions } from '../commands/dns-flags.js'
import type { AgentConfig } from './agent-config.js'
import { folderText, listener, nodeAddress, serverTls } from './control-settings.js'
import { localityOf } from './locality-setting.js'
import { portRangesOf } from './port-ranges.js'

const HTTP_PORT = 8500
const HTTPS_PORT = 8501
/** Consul's agents join by gossip, which is not spoken here: who names its port means the server. */
const GOSSIP_PORT = 8301
const DOWN_POLICIES = ['allow', 'deny', 'extend-cache', 'async-cache'] as const
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?$/
const DEFAULT_GRPC_ADDR = '127.0.0.1:8502'

/** Throws `CliError` that names the key or file at fault. */
export function clientOptions(config: AgentConfig, io: CommandIo): ClientAgentOptions {
  const tls = clientTls(config, io)
  const { acl, retry_interval: retryInterval } = config
  const http = listener(config, 'http')
  const httpsAddr = listener(config, 'https')
  const https = httpsAddr === 'off' ? undefined : httpsAddr
  if (http === 'off' && https === undefined) throw new CliError('ports.http: an agent without its HTTP API is of no use')
  if (![undefined, 'off'].includes(listener(config, 'grpc_tls')))
    throw new CliError('ports.grpc_tls: the sidecars of a machine reach its agent in clear text on its loopback (ports.grpc)')
  const grpc = listener(config, 'grpc') ?? DEFAULT_GRPC_ADDR
  const dns = dnsOptions(
    present({ dnsAddr: listener(config, 'dns'), domain: config.domain, altDomain: config.alt_domain, recursor: config.recursors }),
  )
  return present({
    ...portRangesOf(config),
    servers: serversOf(config, tls !== undefined),
    serverTls: tls,
    httpAddr: http,
    httpsAddr: https,
    httpsTls: https === undefined ? undefined : httpsTls(config, io),
    grpcAddr: grpc === 'off' ? undefined : parseAddress(grpc, 'ports.grpc'),
    dns: dns && { address: dns.address, recursors: dns.recursors ?? [], isDefault: dns.isDefault === true },
    nodeName: config.node_name,
    nodeAddress: nodeAddress(config),
    nodeMeta: config.node_meta,
    locality: localityOf(config.locality?.region, config.locality?.zone, 'locality'),
    datacenter: config.datacenter,
    dataDir: config.data_dir,
    tokens: tokensOf(config),
    aclEnabled: acl?.enabled,
    keepTokens: acl?.enable_token_persistence,
    downPolicy: downPolicy(acl?.down_policy),
    retryMs: retryInterval === undefined ? undefined : durationMs(retryInterval, 'retry_interval'),
    retryMax: config.retry_max,
  }) as ClientAgentOptions
}

/** The certificates of the mesh are the control plane's to issue: an agent is given its own. */
export function httpsTls(config: AgentConfig, io: CommandIo): HttpsTls {
  const tls = serverTls(config, 'https', io)
  if (tls.certPem === undefined)
    throw new CliError('ports.https: an agent needs a certificate of its own: tls.https.cert_file and key_file')
  return tls
}

export function tokensOf({ acl }: AgentConfig): Record<string, string> {
  return present({
    default: acl?.tokens?.default,
    agent: acl?.tokens?.agent,
    dns: acl?.tokens?.dns,
    config_file_service_registration: acl?.tokens?.config_file_service_registration,
  }) as Record<string, string>
}

function serversOf({ retry_join = [], start_join = [] }: AgentConfig, tls: boolean): HostPort[] {
  const named = [...retry_join, ...start_join]
  if (named.length === 0)
    throw new CliError('an agent needs a control plane: -retry-join HOST[:PORT] names its HTTP API (-server or -dev runs one here)')
  return named.map(text => {
    if (text.includes('provider=')) throw new CliError(`retry_join "${text}": cloud providers are not asked; name a host`)
    const bare = /^[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:]*$/.test(text) ? `[${text}]` : text
    if (!HOST.test(bare)) throw new CliError(`retry_join "${text}": must be HOST or HOST:PORT`)
    const port = tls ? HTTPS_PORT : HTTP_PORT
    const address = parseAddress(/:\d+$/.test(bare) && !bare.endsWith(']') ? bare : `${bare}:${port}`, 'retry_join')
    return address.port === GOSSIP_PORT ? { ...address, port } : address
  })
}

/** TLS towards the control plane where something is said of it. */
function clientTls(config: AgentConfig, io: CommandIo): ServerTls | undefined {
  const { ca_file, ca_path, cert_file, key_file, verify_outgoing, verify_server_hostname } = {
    ...config.tls?.defaults,
    ...config.tls?.internal_rpc,
  }
  if (verify_outgoing !== true && ca_file === undefined && ca_path === undefined) return undefined
  if (verify_outgoing === false) return undefined
  if ((cert_file === undefined) !== (key_file === undefined)) throw new CliError('tls.defaults: cert_file and key_file go together')
  return {
    ...(ca_file !== undefined ? { caPem: io.readText(ca_file) } : ca_path !== undefined ? { caPem: folderText(ca_path, io) } : {}),
    ...(cert_file === undefined ? {} : { certPem: io.readText(cert_file), keyPem: io.readText(key_file!) }),
    ...(verify_server_hostname === true
      ? { serverName: `server.${config.datacenter ?? 'dc1'}.${(config.domain ?? 'consul').replace(/\.$/, '')}` }
      : {}),
  }
}

function downPolicy(text: string | undefined): DownPolicy | undefined {
  if (text === undefined) return undefined
  const policy = DOWN_POLICIES.find(known => known === text)
  if (policy === undefined) throw new CliError(`acl.down_policy "${text}": must be ${DOWN_POLICIES.join(', ')}`)
  return policy
}

function durationMs(text: string, key: string): number {
  const ms = (parseDuration(text) ?? Number.NaN) / 1e6
  if (!(ms > 0)) throw new CliError(`${key} "${text}": must be a duration such as 30s`)
  return ms
}

function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
