// Config entries for `outrigger import`, intentions among them: those of older servers, which keep them apart, become entries too.
import { contentOf, type Fields, type ImportItem, type ImportKind, type Source, withoutOwn } from './import-kind.js'

interface EntryItem extends ImportItem {
  readonly entry: Fields
}

/** A router needs the protocol of its service, an intention with permissions as well: what others stand on comes first. */
const KINDS = [
  'proxy-defaults',
  'mesh',
  'jwt-provider',
  'inline-certificate',
  'file-system-certificate',
  'service-defaults',
  'service-resolver',
  'service-splitter',
  'service-router',
  'service-intentions',
  'ingress-gateway',
  'terminating-gateway',
  'api-gateway',
  'http-route',
  'tcp-route',
  'exported-services',
  'sameness-group',
  'control-plane-request-limit',
] as const
/** Of the server's own making. */
const MADE_BY_SERVER = new Set(['bound-api-gateway'])

const item = (entry: Fields): EntryItem => ({ key: `${entry['Kind']}/${entry['Name']}`, content: contentOf(entry), entry })

async function readAll(source: Source): Promise<EntryItem[]> {
  const items: EntryItem[] = []
  for (const kind of KINDS) {
    let entries: readonly Fields[] | undefined
    try {
      entries = await source.findJson<readonly Fields[]>(`/v1/config/${kind}`)
    } catch (error) {
      // One that does not know the kind has none of it.
      if (!/invalid config entry kind|unsupported config entry kind/i.test((error as Error).message)) throw error
    }
    items.push(...(entries ?? []).map(item))
  }
  return items
}

export const CONFIG_ENTRIES: ImportKind<EntryItem> = {
  name: 'config entries',
  async read(source, leave) {
    const items = await readAll(source)
    const known = new Set<string>([...KINDS, ...MADE_BY_SERVER])
    for (const { Kind, Name } of (await source.findJson<readonly Fields[]>('/v1/config').catch(() => [])) ?? [])
      if (!known.has(String(Kind))) leave(`config entry ${Kind}/${Name}`, 'a kind that nobody here knows')
    const destinations = new Set(items.filter(({ entry }) => entry['Kind'] === 'service-intentions').map(({ entry }) => entry['Name']))
    const old = (await source.findJson<readonly Fields[]>('/v1/connect/intentions')) ?? []
    items.push(...fromOldIntentions(old.filter(({ DestinationName }) => !destinations.has(DestinationName))))
    return items
  },
  existing: readAll,
  write: (target, { entry }) => target.put('/v1/config', withoutOwn(entry)),
}

/** One entry a destination; the order of its sources is by precedence, which Consul derives from the names again. */
function fromOldIntentions(intentions: readonly Fields[]): EntryItem[] {
  const byDestination = new Map<string, Fields[]>()
  for (const { DestinationName, SourceName, Action, Permissions, Description } of intentions) {
    const source = {
      Name: SourceName,
      ...(Permissions === undefined || Permissions === null ? { Action } : { Permissions }),
      ...(Description ? { Description } : {}),
    }
    const name = String(DestinationName)
    byDestination.set(name, [...(byDestination.get(name) ?? []), source])
  }
  return [...byDestination].map(([Name, Sources]) => item({ Kind: 'service-intentions', Name, Sources }))
}
