// `outrigger ca rotate-leaf|rotate-root|roots`: the mesh's certificates. Declared for program.ts; the control plane does the work.
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import type { CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { formatTable } from '../command-line/print.js'

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

export function addCa(program: Command, io: CommandIo): void {
  const ca = program.command('ca').description("the mesh's certificate authority")
  const leaf = ca
    .command('rotate-leaf')
    .description('issue a new leaf certificate for a service; its sidecars swap it in without dropping a connection')
    .requiredOption('--service <name>', 'for example api')
    .option('--json', 'print JSON')
  remote(leaf, io, (api, flags: { service: string }) => rotateLeaf(flags, api, io))
  const root = ca
    .command('rotate-root')
    .description('replace the root certificate')
    .option('--force', 'although the old root cannot sign the new one')
    .option('--json', 'print JSON')
  remote(root, io, (api, flags: object) => rotateRoot(flags, api, io))
  const roots = ca
    .command('roots')
    .description('the trusted roots')
    .option('--pem', 'print the bundle as PEM')
    .option('--json', 'print JSON')
  remote(roots, io, (api, flags: object) => showRoots(flags, api, io))
}

async function rotateLeaf(options: { readonly service: string; readonly json?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
  const { text } = await api.put(`/v1/outrigger/ca/rotate-leaf?service=${encodeURIComponent(options.service)}`)
  if (options.json) return io.out(`${text}\n`)
  const leaf = JSON.parse(text) as RotatedLeaf
  io.out(
    `leaf of ${leaf.Service}: serial ${leaf.SerialNumber}, valid until ${leaf.ValidBefore} (before: ${leaf.PreviousSerialNumber || 'none'})\n`,
  )
}

async function rotateRoot(options: { readonly force?: boolean; readonly json?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
  const { text } = await api.put(`/v1/outrigger/ca/rotate-root${options.force ? '?force=true' : ''}`)
  if (options.json) return io.out(`${text}\n`)
  const root = JSON.parse(text) as { readonly ActiveRootID: string; readonly PreviousRootID: string }
  io.out(`active root: ${root.ActiveRootID} (before: ${root.PreviousRootID})\n`)
}

async function showRoots(options: { readonly json?: boolean; readonly pem?: boolean }, api: ControlApi, io: CommandIo): Promise<void> {
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
