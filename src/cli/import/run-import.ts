// `outrigger import`: what a running Consul (or another control plane of ours) keeps, taken over into the control plane: KV, config entries with
// intentions, ACLs. Called by commands/import.ts. Kinds go one after the other, in the order in which they stand on each other.
// Invariants: the source is only read; what is the same is not written again, so that a second run changes nothing; what is refused or left
// behind is said, one line each, and the rest is taken all the same.
import { ACL_KINDS, hasAcls } from './acl-import.js'
import { CONFIG_ENTRIES } from './config-import.js'
import type { ImportItem, ImportKind, Source, Target } from './import-kind.js'
import { KV } from './kv-import.js'

export interface ImportCount {
  readonly kind: string
  readonly created: number
  readonly updated: number
  readonly unchanged: number
  readonly refused: number
}

export interface ImportReport {
  readonly counts: readonly ImportCount[]
  /** What the target refused, or could not be read: the import is not whole. */
  readonly refusals: readonly string[]
  /** What is never taken. */
  readonly left: readonly string[]
}

export interface ImportOptions {
  readonly source: Source
  readonly target: Target
  /** Nothing is written. */
  readonly dryRun: boolean
  onProgress(kind: string, done: number, total: number): void
}

/** Writes under way at the same time. */
const CONCURRENCY = 8
const NEVER_TAKEN = 'services and nodes (their agents register them), sessions and locks, prepared queries, events, the CA with its keys'

export async function runImport(options: ImportOptions): Promise<ImportReport> {
  const counts: ImportCount[] = []
  const refusals: string[] = []
  const left = [`${NEVER_TAKEN}: not taken`]
  const take = async (kind: ImportKind): Promise<void> => {
    try {
      counts.push(await importKind(kind, options, refusals, left))
    } catch (error) {
      refusals.push(`${kind.name}: ${(error as Error).message}`)
    }
  }
  const { source, target } = options
  const [there, here] = [await hasAcls(source), await hasAcls(target)]
  if (!there) left.push('ACLs: they are off at the source')
  else if (!here) refusals.push(`ACLs: they are off at ${target.address}, and on at ${source.address}`)
  else for (const kind of ACL_KINDS) await take(kind as ImportKind)
  await take(CONFIG_ENTRIES as ImportKind)
  await take(KV as ImportKind)
  return { counts, refusals, left }
}

async function importKind(
  kind: ImportKind,
  { source, target, dryRun, onProgress }: ImportOptions,
  refusals: string[],
  left: string[],
): Promise<ImportCount> {
  const items = await kind.read(source, (what, why) => left.push(`${what}: ${why}`))
  const existing = new Map((await kind.existing(target)).map(item => [item.key, item]))
  const count = { kind: kind.name, created: 0, updated: 0, unchanged: 0, refused: 0 }
  let done = 0
  const one = async (item: ImportItem): Promise<void> => {
    await take(item)
    onProgress(kind.name, ++done, items.length)
  }
  const take = async (item: ImportItem): Promise<void> => {
    const before = existing.get(item.key)
    if (before !== undefined && JSON.stringify(before.content) === JSON.stringify(item.content)) {
      count.unchanged++
      return
    }
    try {
      if (!dryRun) await kind.write(target, item, before)
      if (before === undefined) count.created++
      else count.updated++
    } catch (error) {
      count.refused++
      refusals.push(`${kind.name}: ${item.label ?? item.key}: ${(error as Error).message}`)
    }
  }
  // Entries stand on entries before them; pairs on nothing.
  if (kind !== (KV as ImportKind)) for (const item of items) await one(item)
  else for (let i = 0; i < items.length; i += CONCURRENCY) await Promise.all(items.slice(i, i + CONCURRENCY).map(one))
  return count
}
