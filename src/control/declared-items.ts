// What files of this machine declare (services, node checks, config entries), applied as one set: what is new or changed is written, what has left
// the files is taken out. Called by the mesh file and by the agent configuration, each with records of its own of what it has applied.
//
// The store wins: an item is applied only when it differs from what its file said when it was last applied, so a change made over HTTP
// outlives a restart, and lasts until the same item is edited in the file.
import { createHash } from 'node:crypto'
import type { Catalog } from './catalog/catalog.js'
import { parseCheckDefinition } from './catalog/check-definition.js'
import { parseServiceDefinition } from './catalog/service-definition.js'
import { isObject } from './config-entries/field-reader.js'
import type { ConfigEntryKind, ConfigError } from './config-entries/types.js'
import type { ConfigEntryTable } from './config-entry-table.js'
import { put, remove, type Store } from './store/store.js'

export interface DeclaredTargets {
  readonly store: Store
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  /** Script checks are allowed in the files. */
  readonly scripts?: boolean
}

export interface ApplyReport {
  readonly applied: number
  readonly unchanged: number
  readonly removed: number
  /** Paths begin with `services[i]` or `config_entries[i]`. What has no error has been applied. */
  readonly errors: readonly ConfigError[]
}

export interface DeclaredItem {
  readonly key: string
  /** Of its content; '' = it is to be removed. */
  readonly hash: string
  readonly path: string
  /** Whether it is still what it was made; without it that is taken for granted. */
  isThere?(): boolean
  apply(): Promise<readonly ConfigError[]>
}

/** `owner` stands before the keys of the records that say what was applied: each source knows and removes its own. */
export async function applyDeclared(items: readonly DeclaredItem[], owner: string, targets: DeclaredTargets): Promise<ApplyReport> {
  const { store } = targets
  const records = await store.list('mesh-file')
  const known = new Map(
    records.filter(({ key }) => ownerOf(key) === owner).map(({ key, value }) => [key.slice(owner.length), value as string]),
  )
  const wanted = new Set(items.map(item => item.key))
  const stale = [...known.keys()].filter(key => !wanted.has(key))
  const changed = items.filter(item => known.get(item.key) !== item.hash || item.isThere?.() === false)
  // Entries may need each other in any order (a splitter its protocol), so what is refused is tried again after the rest.
  let pending: DeclaredItem[] = [...changed, ...stale.map(key => removal(key, targets))]
  let failures: ConfigError[] = []
  const done: DeclaredItem[] = []
  for (let progress = true; progress && pending.length > 0; ) {
    progress = false
    failures = []
    const next: DeclaredItem[] = []
    for (const item of pending) {
      const problems = await item.apply()
      if (problems.length === 0) {
        done.push(item)
        progress = true
      } else {
        next.push(item)
        for (const { path, reason } of problems) failures.push({ path: join(item.path, path), reason })
      }
    }
    pending = next
  }
  if (done.length > 0)
    await store.transaction(
      done.map(({ key, hash }) => (hash === '' ? remove('mesh-file', owner + key) : put('mesh-file', owner + key, hash))),
    )
  const removed = done.filter(item => item.hash === '').length
  return { applied: done.length - removed, unchanged: items.length - changed.length, removed, errors: failures }
}

/** Records of the mesh file begin with the type; those of other sources with a name and a colon. */
function ownerOf(key: string): string {
  return /^[a-z]+:/.exec(key)?.[0] ?? ''
}

export function serviceItem(
  raw: unknown,
  path: string,
  { catalog, scripts }: DeclaredTargets,
  errors: ConfigError[],
): DeclaredItem | undefined {
  const parsed = parseServiceDefinition(raw, { strict: true, scripts: scripts === true })
  if (!parsed.ok) {
    for (const error of parsed.errors) errors.push({ path: join(path, error.path), reason: error.reason })
    return undefined
  }
  return {
    key: `service/${parsed.value.instance.ID}`,
    hash: hashOf(raw),
    path,
    apply: async () => {
      const result = await catalog.register(parsed.value, true)
      return result.ok ? [] : result.errors
    },
  }
}

export function checkItem(
  raw: unknown,
  path: string,
  { catalog, scripts }: DeclaredTargets,
  errors: ConfigError[],
): DeclaredItem | undefined {
  const parsed = parseCheckDefinition(raw, { scripts: scripts === true })
  if (!parsed.ok) {
    for (const error of parsed.errors) errors.push({ path: join(path, error.path), reason: error.reason })
    return undefined
  }
  return {
    key: `check/${parsed.value.CheckID}`,
    hash: hashOf(raw),
    path,
    apply: async () => {
      const result = await catalog.registerCheck(parsed.value)
      return result.ok ? [] : result.errors
    },
  }
}

export function entryItem(raw: unknown, path: string, { entries }: DeclaredTargets, errors: ConfigError[]): DeclaredItem | undefined {
  if (!isObject(raw)) {
    errors.push({ path, reason: 'must be an object' })
    return undefined
  }
  const field = (name: string): unknown => Object.entries(raw).find(([key]) => key.toLowerCase() === name)?.[1]
  return {
    key: `entry/${String(field('kind'))}/${String(field('name') ?? '')}`,
    hash: hashOf(raw),
    path,
    apply: async () => {
      const result = await entries.put(raw)
      if (result.ok) return []
      return 'errors' in result ? result.errors : [{ path: '', reason: 'was changed meanwhile' }]
    },
  }
}

/** Two items of one name are an error each. */
export function refuseTwins(items: readonly DeclaredItem[], errors: ConfigError[]): void {
  const seen = new Map<string, string>()
  for (const item of items) {
    const before = seen.get(item.key)
    if (before !== undefined) errors.push({ path: item.path, reason: `is ${item.key}, as is ${before}` })
    seen.set(item.key, item.path)
  }
}

function removal(key: string, { catalog, entries }: DeclaredTargets): DeclaredItem {
  const [type, kind, ...name] = key.split('/')
  return {
    key,
    hash: '',
    path: key,
    apply: async () => {
      if (type === 'service') {
        await catalog.deregister(key.slice('service/'.length))
        return []
      }
      if (type === 'check') {
        await catalog.deregisterCheck(key.slice('check/'.length))
        return []
      }
      const result = await entries.delete(kind as ConfigEntryKind, name.join('/'))
      return result.ok || !('errors' in result) ? [] : result.errors
    },
  }
}

function join(path: string, below: string): string {
  return below === '' ? path : `${path}.${below}`
}

/** Hash of the item's content; comments, spacing and the order of its keys don't count. */
function hashOf(value: unknown): string {
  return createHash('sha256')
    .update(
      JSON.stringify(value, (_key, item) =>
        isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
      ),
    )
    .digest('hex')
}
