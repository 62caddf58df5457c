// `outrigger connect envoy` and `connect ca get-config|set-config`: a sidecar's bootstrap printed or run, and the mesh CA's configuration;
// `connect redirect-traffic` stands in a file of its own. Declared for program.ts. Invariant: a bootstrap with a token in it reaches the proxy by a file of its owner alone, or not by a file at all.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { DEFAULT_ADMIN } from '../../control/default-admin.js'
import { resolveSinks } from '../../control/http-api/bootstrap-config.js'
import { type ApiFlags, remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { writeSecret } from '../command-line/files.js'
import { formatJson } from '../command-line/print.js'
import { readObjects } from './documents.js'
import { addGatewayFlags, GATEWAYS, type GatewayFlags, gatewayId, gatewayKind } from './gateway-registration.js'
import { addRedirectTraffic } from './redirect-traffic.js'

export interface EnvoyFlags extends ApiFlags, GatewayFlags {
  readonly sidecarFor?: string
  readonly bootstrap?: boolean
  readonly envoyBinary?: string
  readonly adminBind?: string
  readonly grpcAddr?: string
  readonly grpcCaFile?: string
  readonly grpcCaPath?: string
  readonly adminAccessLogPath?: string
  readonly envoyReadyBindAddress?: string
  readonly envoyReadyBindPort?: string
  readonly gateway?: string
}

export function addConnect(program: Command, io: CommandIo): void {
  const connect = program.command('connect').description('sidecars and the mesh CA')
  const envoy = connect
    .command('envoy')
    .description('run the sidecar of a service: ours, or with --envoy-binary another; what stands after -- are its flags')
    .argument('[args...]')
    .option('--sidecar-for <service>', 'ID of the service whose sidecar it is')
    .option('--proxy-id <id>', 'ID of the proxy itself')
    .option('--bootstrap', 'print the bootstrap (JSON) and run nothing')
    .option('--envoy-binary <file>', 'run this executable instead of our own proxy')
    .option('--admin-bind <host:port>', `the proxy's admin address (default: ${DEFAULT_ADMIN})`)
    .option(
      '--grpc-addr <address>',
      'where the proxy reaches the control plane: host:port, with https:// over TLS, or unix:///path (default: CONSUL_GRPC_ADDR)',
    )
    .option('--grpc-ca-file <file>', 'PEM bundle that verifies it (default: CONSUL_GRPC_CACERT)')
    .option('--grpc-ca-path <dir>', 'refused: name one file by --grpc-ca-file')
    .option('--admin-access-log-path <file>', 'access log of the admin address (default: /dev/null)')
    .option('--envoy-ready-bind-address <address>', 'where /ready of the admin answers others too, for probes (with the port)')
    .option('--envoy-ready-bind-port <port>', 'its port')
    .option('--gateway <kind>', `run a gateway: ${Object.keys(GATEWAYS).join(', ')}`)
    .option('--register', 'register the gateway first')
    .option('--ignore-envoy-compatibility', 'no effect: versions are not compared')
    .option('--no-central-config', 'no effect: central configuration always counts')
  addGatewayFlags(envoy)
  remote(envoy, io, (api, flags: EnvoyFlags, args) => runEnvoy(flags, args, api, io))
  addRedirectTraffic(connect, io)

  const ca = connect.command('ca').description("the configuration of the mesh's CA")
  remote(ca.command('get-config').description('print it'), io, async api => {
    io.out(formatJson(await api.getJson('/v1/connect/ca/configuration')))
  })
  const set = ca
    .command('set-config')
    .description('change it')
    .requiredOption('--config-file <file>', 'Provider and Config (HCL, JSON or YAML)')
    .option('--force-without-cross-signing', 'although the old root cannot sign the new one')
  remote(set, io, async (api, { configFile, forceWithoutCrossSigning }: { configFile: string; forceWithoutCrossSigning?: boolean }) => {
    const [config, ...more] = readObjects(io.readText(configFile), configFile)
    if (config === undefined || more.length > 0) throw new CliError(`${configFile}: must be one object with Provider and Config`)
    await api.put('/v1/connect/ca/configuration', {
      ...config.value,
      ...(forceWithoutCrossSigning === true ? { ForceWithoutCrossSigning: true } : {}),
    })
    io.out('Configuration updated!\n')
  })
}

export async function runEnvoy(flags: EnvoyFlags, args: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  if (flags.grpcCaPath !== undefined) throw new CliError('--grpc-ca-path: name one file by --grpc-ca-file')
  const proxyId = await proxyIdOf(flags, api, io)
  const text = `${JSON.stringify(await bootstrapOf(proxyId, flags, api, io), null, 2)}\n`
  if (flags.bootstrap === true) return io.out(text)
  if (flags.envoyBinary === undefined) {
    // In this very process, so that who started it holds the proxy; the bootstrap is in no file.
    const { proxyMain } = await import('../proxy-main.js')
    return proxyMain(['--config-yaml', text, ...args])
  }
  await runBinary(flags.envoyBinary, text, args)
}

async function proxyIdOf(flags: EnvoyFlags, api: ControlApi, io: CommandIo): Promise<string> {
  const { proxyId, sidecarFor } = flags
  if (flags.gateway !== undefined) {
    if (sidecarFor !== undefined) throw new CliError('--gateway and --sidecar-for exclude each other')
    return gatewayId(gatewayKind(flags.gateway), flags, api, io)
  }
  if (flags.register === true) throw new CliError('--register: only gateways are registered here, by --gateway')
  if ((proxyId === undefined) === (sidecarFor === undefined)) throw new CliError('one of --sidecar-for and --proxy-id is needed')
  if (proxyId !== undefined) return proxyId
  const services =
    await api.getJson<Record<string, { Kind?: string; ID: string; Proxy?: { DestinationServiceID?: string } }>>('/v1/agent/services')
  const sidecars = Object.values(services).filter(
    ({ Kind, Proxy: proxy }) => Kind === 'connect-proxy' && proxy?.DestinationServiceID?.toLowerCase() === sidecarFor!.toLowerCase(),
  )
  if (sidecars.length === 0) throw new CliError(`No sidecar proxy registered for ${sidecarFor}`)
  if (sidecars.length > 1)
    throw new CliError(
      `More than one sidecar proxy registered for ${sidecarFor}: ${sidecars.map(({ ID }) => ID).join(', ')}: name one by --proxy-id`,
    )
  return sidecars[0]!.ID
}

interface Bootstrap {
  readonly admin: { access_log_path: string }
  readonly static_resources: { readonly clusters: Record<string, unknown>[] }
}

async function bootstrapOf(proxyId: string, flags: EnvoyFlags, api: ControlApi, io: CommandIo): Promise<object> {
  const address = flags.grpcAddr ?? io.env('CONSUL_GRPC_ADDR')
  const query = new URLSearchParams({
    ...(address === undefined ? {} : { grpc_addr: address.replace(/^https?:\/\//, '') }),
    ...(flags.adminBind === undefined ? {} : { admin_bind: flags.adminBind }),
    ...readyBind(flags),
  })
  const bootstrap = await api.getJson<Bootstrap>(`/v1/outrigger/bootstrap/${encodeURIComponent(proxyId)}?${query}`)
  if (flags.adminAccessLogPath !== undefined) bootstrap.admin.access_log_path = flags.adminAccessLogPath
  const problem = resolveSinks(bootstrap, io.env)
  if (problem !== undefined) throw new CliError(problem)
  const caFile = flags.grpcCaFile ?? io.env('CONSUL_GRPC_CACERT')
  const cluster = bootstrap.static_resources.clusters[0]!
  if (address?.startsWith('http://')) delete cluster['transport_socket']
  else if (caFile !== undefined) cluster['transport_socket'] = tlsSocket(io.readText(caFile))
  return bootstrap
}

/** As in Consul both are given, or neither. */
function readyBind({ envoyReadyBindAddress: address, envoyReadyBindPort: port }: EnvoyFlags): { readonly ready_bind?: string } {
  if (address === undefined && port === undefined) return {}
  if (address === undefined || port === undefined)
    throw new CliError('--envoy-ready-bind-address and --envoy-ready-bind-port need each other')
  return { ready_bind: `${address.includes(':') && !address.startsWith('[') ? `[${address}]` : address}:${port}` }
}

function tlsSocket(caPem: string): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: { validation_context: { trusted_ca: { inline_string: caPem } } },
    },
  }
}

/** As if it had been started itself: signals are handed on, and its end is ours. */
async function runBinary(binary: string, bootstrap: string, args: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-bootstrap-'))
  const path = join(folder, 'bootstrap.json')
  writeSecret(path, bootstrap)
  try {
    const code = await new Promise<number>((resolve, reject) => {
      const child = spawn(binary, ['--config-path', path, ...args], { stdio: 'inherit' })
      const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, pass)
      child.once('error', error => reject(new CliError(`${binary}: ${error.message}`)))
      child.once('exit', (exitCode, signal) => resolve(exitCode ?? (signal === null ? 1 : 128)))
    })
    if (code !== 0) throw new AnswerCode(code)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
