// `outrigger ca rotate-leaf|rotate-root|roots`: the mesh's certificates. Called by outrigger-main.ts; the control plane does the work.
import { type CommandIo, formatTable } from './command-io.js'
import type { ControlApi } from './control-api.js'

export interface RotatedLeaf {
  readonly Service: string
  readonly SerialNumber: string
  readonly PreviousSerialNumber: string
  readonly ValidBefore: string
  /** Sidecars that have acknowledged this index serve the new leaf. */
  readonly Index: number
}

interface Roots {
  readonly ActiveRootID: string
  readonly TrustDomain: string
  readonly Roots: readonly { readonly ID: string; readonly Name: string; readonly NotAfter: string; readonly Active: boolean }[]
}

export async function rotateLeaf(
  options: { readonly service: string; readonly json?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const { text } = await api.put(`/v1/outrigger/ca/rotate-leaf?service=${encodeURIComponent(options.service)}`)
  if (options.json) return io.out(`${text}\n`)
  const leaf = JSON.parse(text) as RotatedLeaf
  io.out(
    `leaf of ${leaf.Service}: serial ${leaf.SerialNumber}, valid until ${leaf.ValidBefore} (before: ${leaf.PreviousSerialNumber || 'none'})\n`,
  )
}

export async function rotateRoot(
  options: { readonly force?: boolean; readonly json?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const { text } = await api.put(`/v1/outrigger/ca/rotate-root${options.force ? '?force=true' : ''}`)
  if (options.json) return io.out(`${text}\n`)
  const root = JSON.parse(text) as { readonly ActiveRootID: string; readonly PreviousRootID: string }
  io.out(`active root: ${root.ActiveRootID} (before: ${root.PreviousRootID})\n`)
}

export async function showRoots(
  options: { readonly json?: boolean; readonly pem?: boolean },
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  if (options.pem) return io.out((await api.get('/v1/connect/ca/roots?pem=true')).text)
  const roots = await api.getJson<Roots>('/v1/connect/ca/roots')
  if (options.json) return io.out(`${JSON.stringify(roots, null, 2)}\n`)
  io.out(`trust domain: ${roots.TrustDomain}\n`)
  io.out(
    formatTable(
      ['ID', 'NAME', 'VALID UNTIL', 'ACTIVE'],
      roots.Roots.map(root => [root.ID, root.Name, root.NotAfter, root.Active ? 'yes' : 'no']),
    ),
  )
}
