// What config entries that are not written yet would change in which proxy: the proxies whose configuration was made from an entry that changes
// are built twice, as they are and as they would be. Called by the HTTP API (`PUT /v1/outrigger/plan`). Nothing is kept, and nobody is told.
import type { Resource, Snapshot } from '../../xds/server/snapshot.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import type { ConfigEntry, ConfigEntryIndex } from '../config-entries/types.js'
import { entryKey, kindKey, SnapshotBuilder, type SnapshotSources } from './build-snapshot.js'
import { type ProxyInstance, SnapshotError } from './kinds/proxy-kind.js'

export interface ResourceChange {
  readonly typeUrl: string
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed'
}

export interface ProxyChange {
  readonly proxy: CatalogInstance
  /** Why it would get no configuration; '' = it would. */
  readonly problem: string
  readonly resources: readonly ResourceChange[]
}

/** `after`: all entries as they would be; `changed`: those that differ. */
export function plannedChanges(
  sources: SnapshotSources,
  proxies: Iterable<CatalogInstance>,
  after: ConfigEntryIndex,
  changed: readonly ConfigEntry[],
): ProxyChange[] {
  const keys = new Set(changed.flatMap(({ Kind, Name }) => [entryKey(Kind, Name), kindKey(Kind)]))
  const now = new SnapshotBuilder(sources)
  const then = new SnapshotBuilder({ ...sources, entries: after })
  const found: ProxyChange[] = []
  for (const proxy of proxies) {
    const before = buildOrError(now, proxy as ProxyInstance)
    if (![...keys].some(key => before.dependencies.has(key))) continue
    const planned = buildOrError(then, proxy as ProxyInstance)
    const problem = planned.problem === before.problem ? '' : planned.problem
    const resources = planned.problem === '' ? differences(before.snapshot, planned.snapshot) : []
    if (problem !== '' || resources.length > 0) found.push({ proxy, problem, resources })
  }
  return found
}

interface Built {
  readonly snapshot: Snapshot
  readonly dependencies: ReadonlySet<string>
  readonly problem: string
}

function buildOrError(builder: SnapshotBuilder, proxy: ProxyInstance): Built {
  try {
    const { snapshot, settled } = builder.build(proxy)
    return { snapshot, dependencies: settled.dependencies, problem: '' }
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error
    return { snapshot: new Map(), dependencies: error.dependencies, problem: error.message }
  }
}

function differences(before: Snapshot, after: Snapshot): ResourceChange[] {
  const none: ReadonlyMap<string, Resource> = new Map()
  const changes: ResourceChange[] = []
  for (const typeUrl of new Set([...before.keys(), ...after.keys()])) {
    const [old, made] = [before.get(typeUrl) ?? none, after.get(typeUrl) ?? none]
    for (const [name, { version }] of made) {
      const known = old.get(name)
      if (known?.version !== version) changes.push({ typeUrl, name, change: known === undefined ? 'added' : 'changed' })
    }
    for (const name of old.keys()) if (!made.has(name)) changes.push({ typeUrl, name, change: 'removed' })
  }
  return changes
}
