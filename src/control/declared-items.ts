// What files of this machine declare (services, checks, config entries), applied as one set: what is new or changed is written, what has left
// the files is taken out. Called by the mesh file and by the agent configuration, each with records of its own of what it has applied.
//
// The store wins: an item is applied only when it differs from what its file said when it was last applied, so a change made over HTTP
// outlives a restart, and lasts until the same item is edited in the file.
// Invariant: a set is one change, judged by the state after all of it, and written in one transaction: whole, or not at all.
import { createHash } from 'node:crypto'
import type { Catalog } from './catalog/catalog.js'
import { type CheckDefinition, parseCheckDefinition } from './catalog/check-definition.js'
import { parseServiceDefinition, type Registration } from './catalog/service-definition.js'
import type { EntryChange } from './config-entries/entry-index.js'
import { entryWarnings } from './config-entries/entry-warnings.js'
import { isObject } from './config-entries/field-reader.js'
import { parseConfigEntry } from './config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigEntryKind, ConfigError } from './config-entries/types.js'
import type { ConfigEntryTable } from './config-entry-table.js'
import { put, remove, type Store, type StoreWrite } from './store/store.js'

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
  /** Paths begin with `services[i]` or `config_entries[i]`. With any of them nothing has been applied. */
  readonly errors: readonly ConfigError[]
  /** What has no effect. */
  readonly warnings: readonly ConfigError[]
}

export interface DeclaredItem {
  readonly key: string
  /** Of its content. */
  readonly hash: string
  readonly path: string
  readonly content: DeclaredContent
  readonly warnings: readonly ConfigError[]
  /** Whether it is still what it was made; without it that is taken for granted. */
  isThere?(): boolean
}

interface DeclaredContent {
  readonly entry?: ConfigEntry
  readonly registration?: Registration
  readonly check?: CheckDefinition
}

export const refusedSet = (errors: readonly ConfigError[]): ApplyReport => ({ applied: 0, unchanged: 0, removed: 0, errors, warnings: [] })

interface Besides {
  /** Written with the set, if anything of it is good. */
  readonly records?: readonly StoreWrite[]
  /** Applied with the set, without a record, so that they are never taken out. */
  readonly unrecorded?: readonly DeclaredItem[]
}

/** `owner` stands before the keys of the records that say what was applied: each source knows and removes its own. */
export async function applyDeclared(
  items: readonly DeclaredItem[],
  owner: string,
  { store, entries, catalog }: DeclaredTargets,
  { records = [], unrecorded = [] }: Besides = {},
): Promise<ApplyReport> {
  return store.exclusive(async turn => {
    const known = new Map(
      (await store.list('mesh-file'))
        .filter(({ key }) => ownerOf(key) === owner && key.includes('/'))
        .map(({ key, value }) => [key.slice(owner.length), value as string]),
    )
    const wanted = new Set(items.map(item => item.key))
    const stale = [...known.keys()].filter(key => !wanted.has(key))
    const changed = items.filter(item => known.get(item.key) !== item.hash || item.isThere?.() === false)
    const applied = [...unrecorded, ...changed]
    const changedEntries = applied.flatMap(({ content: { entry }, path }) => (entry === undefined ? [] : [{ entry, path }]))
    const services = applied.flatMap(({ content: { registration }, path }) => (registration === undefined ? [] : [{ registration, path }]))
    const checks = applied.flatMap(({ content: { check }, path }) => (check === undefined ? [] : [{ check, path }]))
    const entryPlan = entries.plan([
      ...changedEntries.map(({ entry }): EntryChange => ({ op: 'put', entry })),
      ...stale.flatMap(removedEntry).filter(({ kind, name }) => !wanted.has(entryKey(kind, name))),
    ])
    const catalogPlan = catalog.planAll({
      registrations: services.map(({ registration }) => registration),
      checks: checks.map(({ check }) => check),
      removedServices: idsOf(stale, 'service/'),
      removedChecks: idsOf(stale, 'check/'),
      entries: entryPlan.after,
    })
    const errors = [
      ...entryPlan.errors.map(({ change, ...error }) => at(changedEntries[change]?.path ?? '', error)),
      ...catalogPlan.registrationErrors.map(({ index, ...error }) => at(services[index]!.path, error)),
      ...catalogPlan.checkErrors.map(({ index, ...error }) => at(checks[index]!.path, error)),
    ]
    if (errors.length > 0) return refusedSet(errors)
    const writes = [
      ...entryPlan.writes,
      ...catalogPlan.writes,
      ...changed.map(({ key, hash }) => put('mesh-file', owner + key, hash)),
      ...stale.map(key => remove('mesh-file', owner + key)),
      ...records,
    ]
    if (writes.length > 0) await turn.transaction(writes)
    const warnings = [...unrecorded, ...items].flatMap(item => item.warnings)
    return { applied: applied.length, unchanged: items.length - changed.length, removed: stale.length, errors: [], warnings }
  })
}

/** Items without a record of where they come from: they are written as they are, and stay until somebody changes them. */
export async function applyOnce(
  { services = [], configEntries = [] }: { readonly services?: readonly object[]; readonly configEntries?: readonly object[] },
  targets: DeclaredTargets,
): Promise<ApplyReport> {
  const errors: ConfigError[] = []
  const items = [
    ...configEntries.map((raw, i) => entryItem(raw, `configEntries[${i}]`, errors)),
    ...services.map((raw, i) => serviceItem(raw, `services[${i}]`, targets, errors)),
  ].filter(item => item !== undefined)
  refuseTwins(items, errors)
  return errors.length > 0 ? refusedSet(errors) : applyDeclared([], 'once:', targets, { unrecorded: items })
}

function idsOf(keys: readonly string[], type: string): string[] {
  return keys.filter(key => key.startsWith(type)).map(key => key.slice(type.length))
}

const entryKey = (kind: string, name: string): string => `entry/${kind}/${name}`

/** The entry of a record that has left the file; none for another's. */
function removedEntry(key: string): Extract<EntryChange, { op: 'delete' }>[] {
  const [type, kind, ...name] = key.split('/')
  return type === 'entry' ? [{ op: 'delete', kind: kind as ConfigEntryKind, name: name.join('/') || (SINGLE_NAMES[kind!] ?? '') }] : []
}

/** Records of older versions have no name where the file had none. */
const SINGLE_NAMES: Readonly<Record<string, string>> = { 'proxy-defaults': 'global', mesh: 'mesh', 'exported-services': 'default' }

/** Records of the mesh file begin with the type; those of other sources with a name and a colon. */
function ownerOf(key: string): string {
  return /^[a-z]+:/.exec(key)?.[0] ?? ''
}

export function serviceItem(raw: unknown, path: string, { scripts }: DeclaredTargets, errors: ConfigError[]): DeclaredItem | undefined {
  const parsed = parseServiceDefinition(raw, { strict: true, scripts: scripts === true })
  if (!parsed.ok) {
    errors.push(...parsed.errors.map(error => at(path, error)))
    return undefined
  }
  const warnings = parsed.value.warnings.map(warning => at(path, warning))
  return { key: `service/${parsed.value.instance.ID}`, hash: hashOf(raw), path, content: { registration: parsed.value }, warnings }
}

export function checkItem(raw: unknown, path: string, { scripts }: DeclaredTargets, errors: ConfigError[]): DeclaredItem | undefined {
  const parsed = parseCheckDefinition(raw, { scripts: scripts === true })
  if (!parsed.ok) {
    errors.push(...parsed.errors.map(error => at(path, error)))
    return undefined
  }
  return { key: `check/${parsed.value.CheckID}`, hash: hashOf(raw), path, content: { check: parsed.value }, warnings: [] }
}

export function entryItem(raw: unknown, path: string, errors: ConfigError[]): DeclaredItem | undefined {
  const parsed = parseConfigEntry(raw)
  if ('errors' in parsed) {
    errors.push(...parsed.errors.map(error => at(path, error)))
    return undefined
  }
  const { entry } = parsed
  const warnings = entryWarnings(entry).map(warning => at(path, warning))
  return { key: entryKey(entry.Kind, entry.Name), hash: hashOf(raw), path, content: { entry }, warnings }
}

const at = (path: string, error: ConfigError): ConfigError => ({ path: join(path, error.path), reason: error.reason })

/** Two items of one name are an error each. */
export function refuseTwins(items: readonly DeclaredItem[], errors: ConfigError[]): void {
  const seen = new Map<string, string>()
  for (const item of items) {
    const before = seen.get(item.key)
    if (before !== undefined) errors.push({ path: item.path, reason: `is ${item.key}, as is ${before}` })
    seen.set(item.key, item.path)
  }
}

function join(path: string, below: string): string {
  return path === '' || below === '' ? path + below : `${path}.${below}`
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
