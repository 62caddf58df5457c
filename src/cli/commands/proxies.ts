// `outrigger proxies` (which sidecars are connected and what they have acknowledged) and `outrigger bootstrap` (the Envoy bootstrap of
// one of them). Called by outrigger-main.ts.
import { type CommandIo, formatTable } from './command-io.js'
import type { ControlApi } from './control-api.js'

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

export interface BootstrapFlags {
  readonly proxyId: string
  readonly grpcAddr?: string
  readonly adminBind?: string
}

export async function showProxies(options: { readonly json?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
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

export async function printBootstrap(options: BootstrapFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const query = new URLSearchParams({
    ...(options.grpcAddr === undefined ? {} : { grpc_addr: options.grpcAddr }),
    ...(options.adminBind === undefined ? {} : { admin_bind: options.adminBind }),
  })
  const bootstrap = await api.getJson<object>(`/v1/outrigger/bootstrap/${encodeURIComponent(options.proxyId)}?${query}`)
  io.out(`${JSON.stringify(bootstrap, null, 2)}\n`)
}
