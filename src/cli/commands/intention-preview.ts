// `outrigger intention create … --dry-run`: which calls of the mesh, declared or seen in the last hour, an intention would allow or refuse that it
// does not today. Called by intention.ts. Nothing is written.
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlApi, RefusedError } from '../command-line/control-api.js'
import { formatTable } from '../command-line/print.js'
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
  readonly Sources?: readonly { readonly Name: string }[]
}

export async function previewIntention(
  { source, destination }: { readonly source: string; readonly destination: string },
  intention: object,
  api: ControlApi,
  io: CommandIo,
): Promise<void> {
  const [known, { Edges: seen }] = await Promise.all([
    api.findJson<Entry>(`/v1/config/service-intentions/${encodeURIComponent(destination)}`),
    readTraffic({ window: '1h' }, undefined, api),
  ])
  const others = (known?.Sources ?? []).filter(({ Name }) => Name !== source)
  const entry = { ...known, Kind: 'service-intentions', Name: destination, Sources: [...others, { Name: source, ...intention }] }
  const { Edges: edges } = await preview(
    entry,
    seen.map(({ Source, Destination }) => ({ Source, Destination })),
    api,
  )
  const changed = edges.filter(({ Changed }) => Changed)
  io.out(`${source} => ${destination}: ${changed.length === 0 ? 'no call that is declared or was seen would change' : 'would change'}\n`)
  if (changed.length === 0) return
  const rows = changed.map(({ Source, Destination, Before, After }) => {
    const requests = seen
      .filter(edge => edge.Source === Source && edge.Destination === Destination)
      .reduce((sum, { Totals }) => sum + Totals.Requests, 0)
    return [Source, Destination, word(Before), word(After), String(requests), After.Reason]
  })
  io.out(formatTable(['SOURCE', 'DESTINATION', 'NOW', 'THEN', 'REQUESTS (1h)', 'REASON'], rows))
}

const word = ({ Allowed, ByRequest }: Verdict): string => (ByRequest ? 'by request' : Allowed ? 'allowed' : 'refused')

async function preview(Entry: object, Edges: readonly object[], api: ControlApi): Promise<{ readonly Edges: readonly PreviewedEdge[] }> {
  try {
    return await api.putJson('/v1/outrigger/intentions/preview', { Entry, Edges })
  } catch (error) {
    if (error instanceof RefusedError && error.statusCode === 404)
      throw new CliError('this control plane cannot preview: it is not one of ours, or an older one')
    throw error
  }
}
