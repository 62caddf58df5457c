// Which admin a command asks: the one named, or the one that a proxy of the mesh has told the control plane. Used by proxy-config.
import { CliError } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { sidecarAdmin } from './sidecar-admin.js'

/** `GET /v1/outrigger/proxies/:id`, as far as it is used. */
export interface KnownProxy {
  readonly ID?: string
  readonly Connected: boolean
  readonly Streams: readonly { readonly Admin?: string }[]
}

export function adminsOf({ Streams }: KnownProxy): string[] {
  return [...new Set(Streams.flatMap(({ Admin }) => (Admin ? [Admin] : [])))]
}

export async function findAdmin(proxy: string | undefined, admin: string | undefined, api: ControlApi): Promise<ControlApi> {
  if (admin !== undefined) return sidecarAdmin(admin)
  if (proxy === undefined) throw new CliError('name a proxy (`outrigger proxies` lists them), or its admin by --admin')
  const known = await api.getJson<KnownProxy>(`/v1/outrigger/proxies/${encodeURIComponent(proxy)}`)
  const [address] = adminsOf(known)
  if (address !== undefined) return sidecarAdmin(address)
  throw new CliError(
    known.Connected
      ? `${proxy} has not told where its admin listens (only our own sidecar does): name it by --admin`
      : `${proxy} is not connected: start its sidecar, or name its admin by --admin`,
  )
}
