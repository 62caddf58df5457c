// `outrigger intention create|allow|deny|delete … --dry-run`: which calls of the mesh, declared or seen in the last hour, would be allowed or
// refused that are not today. Called by intention.ts. Nothing is written.
import type { CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { ofOurs } from '../command-line/of-ours.js'
import { formatJson, formatTable } from '../command-line/print.js'
import { readTraffic } from './live/traffic-answer.js'

interface Verdict {
  readonly Allowed: boolean
  readonly Reason: string
  /** Permissions decide, request by request. */
  readonly ByRequest: boolean
}

interface PreviewedEdge {
  readonly Source: string
  readonly Destination: string
  readonly Changed: boolean
  readonly Before: Verdict
  readonly After: Verdict
}

interface Entry {
  readonly Sources?: readonly { readonly Name: string; readonly Peer?: string }[]
}

export interface PreviewFlags {
  readonly dryRun?: boolean
  readonly json?: boolean
}

export const DRY_RUN = [
  '--dry-run',
  'write nothing: which calls would be allowed or refused, and how many there were in the last hour',
] as const

/** `intention`: what is said of the pair then; undefined: nothing of its own any more. */
export async function previewIntention(
  { source, destination }: { readonly source: string; readonly destination: string },
  intention: object | undefined,
  { json }: PreviewFlags,
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const [known, { Edges: seen }] = await Promise.all([
    api.findJson<Entry>(`/v1/config/service-intentions/${encodeURIComponent(destination)}`),
    readTraffic({ window: '1h' }, undefined, api),
  ])
  const others = (known?.Sources ?? []).filter(({ Name, Peer }) => Name !== source || Peer !== undefined)
  const own = intention === undefined ? [] : [{ Name: source, ...intention }]
  const entry = { ...known, Kind: 'service-intentions', Name: destination, Sources: [...others, ...own] }
  const { Edges: edges } = await preview(
    entry,
    seen.map(({ Source, Destination }) => ({ Source, Destination })),
    api,
  )
  const changed = edges.filter(({ Changed }) => Changed)
  // Of all subsets.
  const requests = new Map<string, number>()
  for (const edge of seen) requests.set(pair(edge), (requests.get(pair(edge)) ?? 0) + edge.Totals.Requests)
  if (json === true) {
    const changes = changed.map(({ Changed: _changed, ...edge }) => ({ ...edge, Requests: requests.get(pair(edge)) ?? 0 }))
    return io.out(formatJson({ Source: source, Destination: destination, Edges: changes }))
  }
  io.out(`${source} => ${destination}: ${changed.length === 0 ? 'no call that is declared or was seen would change' : 'would change'}\n`)
  if (changed.length === 0) return
  const rows = changed.map(edge => {
    const { Source, Destination, Before, After } = edge
    return [Source, Destination, word(Before), word(After), String(requests.get(pair(edge)) ?? 0), After.Reason]
  })
  io.out(formatTable(['SOURCE', 'DESTINATION', 'NOW', 'THEN', 'REQUESTS (1h)', 'REASON'], rows))
}

const pair = ({ Source, Destination }: { readonly Source: string; readonly Destination: string }): string => `${Source}\0${Destination}`

const word = ({ Allowed, ByRequest }: Verdict): string => (ByRequest ? 'by request' : Allowed ? 'allowed' : 'refused')

function preview(Entry: object, Edges: readonly object[], api: ControlApi): Promise<{ readonly Edges: readonly PreviewedEdge[] }> {
  return ofOurs('cannot preview', api.putJson('/v1/outrigger/intentions/preview', { Entry, Edges }))
}
