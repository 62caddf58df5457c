// `outrigger proxies` (which sidecars are connected and what they have acknowledged) and `outrigger bootstrap` (the Envoy bootstrap of
// one of them). Declared for program.ts.
import type { Command } from 'commander'
import { DEFAULT_ADMIN } from '../../control/default-admin.js'
import { resolveSinks } from '../../control/http-api/bootstrap-config.js'
import { remote } from '../command-line/api-flags.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { formatTable } from '../command-line/print.js'

/** `GET /v1/outrigger/proxies`, as far as it is used. */
export interface ProxyStatus {
  readonly ID: string
  readonly Service: string
  readonly Connected: boolean
  readonly Synced: boolean
  readonly AcknowledgedIndex: number
  readonly Streams: readonly {
    readonly Protocol: string
    readonly Types: readonly { readonly TypeURL: string; readonly LastNack: { readonly Message: string } | null }[]
  }[]
}

interface BootstrapFlags {
  readonly proxyId: string
  readonly grpcAddr?: string
  readonly adminBind?: string
}

export function addProxies(program: Command, io: CommandIo): void {
  const bootstrap = program
    .command('bootstrap')
    .description('print the Envoy bootstrap (JSON) of a sidecar')
    .requiredOption('--proxy-id <id>', 'for example web-sidecar-proxy')
    .option('--grpc-addr <host:port>', 'where the sidecar reaches the control plane (default: as the control plane says)')
    .option('--admin-bind <host:port>', `the sidecar's admin address (default: ${DEFAULT_ADMIN})`)
  remote(bootstrap, io, (api, flags: BootstrapFlags) => printBootstrap(flags, api, io))
  const proxies = program.command('proxies').description('state of the sidecars').option('--json', 'print JSON')
  remote(proxies, io, (api, flags: object) => showProxies(flags, api, io))
}

async function showProxies(options: { readonly json?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
  const proxies = await api.getJson<ProxyStatus[]>('/v1/outrigger/proxies')
  if (options.json) return io.out(`${JSON.stringify(proxies, null, 2)}\n`)
  const rows = proxies.map(proxy => [
    proxy.ID,
    proxy.Service,
    proxy.Connected ? 'yes' : 'no',
    proxy.Synced ? 'yes' : 'no',
    // Of a proxy that is not there it says only what did not concern it.
    proxy.Connected ? String(proxy.AcknowledgedIndex) : '-',
    proxy.Streams[0]?.Protocol ?? '-',
    nacks(proxy) || '-',
  ])
  io.out(formatTable(['PROXY', 'SERVICE', 'CONNECTED', 'SYNCED', 'ACKNOWLEDGED', 'XDS', 'REFUSED'], rows))
}

/** What the proxy has refused and not yet made good, by type. */
export function nacks(proxy: ProxyStatus): string {
  return proxy.Streams.flatMap(stream => stream.Types)
    .filter(type => type.LastNack !== null)
    .map(type => `${type.TypeURL.slice(type.TypeURL.lastIndexOf('.') + 1)}: ${type.LastNack?.Message.split('\n')[0]}`)
    .join('; ')
}

async function printBootstrap(options: BootstrapFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const query = new URLSearchParams({
    ...(options.grpcAddr === undefined ? {} : { grpc_addr: options.grpcAddr }),
    ...(options.adminBind === undefined ? {} : { admin_bind: options.adminBind }),
  })
  const bootstrap = await api.getJson<object>(`/v1/outrigger/bootstrap/${encodeURIComponent(options.proxyId)}?${query}`)
  const problem = resolveSinks(bootstrap, io.env)
  if (problem !== undefined) throw new CliError(problem)
  io.out(`${JSON.stringify(bootstrap, null, 2)}\n`)
}
