// mesh.yaml: `services`, `config_entries` and `default_intention_policy` (deny when absent), read at start and again when it changes.
// Called by `ControlPlane`; writes through the catalog and the config entries like any client.
//
// The store wins: an entry of the file is applied only when it differs from what the file said when it was last applied, so a change
// made over HTTP outlives a restart, and lasts until the same entry is edited in the file. One that has left the file is removed.
import { createHash } from 'node:crypto'
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parseDocument } from 'yaml'
import type { Catalog } from './catalog/catalog.js'
import { parseServiceDefinition } from './catalog/service-definition.js'
import { isObject } from './config-entries/field-reader.js'
import type { ConfigEntryKind, ConfigError, IntentionAction } from './config-entries/types.js'
import type { ConfigEntryTable } from './config-entry-table.js'
import { put, remove, type Store } from './store/store.js'

export const MAX_MESH_FILE_BYTES = 16 * 1024 * 1024
/** Editors write in several steps; the file is read once it has been quiet for this long. */
const SETTLE_MS = 50
/** Aliases are the only way for a small YAML file to become a large value. */
const MAX_YAML_ALIASES = 100

export interface MeshFileTargets {
  readonly store: Store
  readonly catalog: Catalog
  readonly entries: ConfigEntryTable
  /** Script checks are allowed in the file. */
  readonly scripts?: boolean
  setDefaultPolicy(policy: IntentionAction): void
}

export interface ApplyReport {
  readonly applied: number
  readonly unchanged: number
  readonly removed: number
  /** Paths begin with `services[i]` or `config_entries[i]`. What has no error has been applied. */
  readonly errors: readonly ConfigError[]
}

interface FileItem {
  readonly key: string
  readonly hash: string
  readonly path: string
  apply(): Promise<readonly ConfigError[]>
}

/** Reads and applies the file's text once. Errors of its form (not YAML, unknown key) apply nothing. */
export async function applyMeshFile(text: string, targets: MeshFileTargets): Promise<ApplyReport> {
  const errors: ConfigError[] = []
  const items = readItems(text, targets, errors)
  if (items === undefined || errors.length > 0) return { applied: 0, unchanged: 0, removed: 0, errors }
  const { store } = targets
  const known = new Map((await store.list('mesh-file')).map(record => [record.key, record.value as string]))
  const wanted = new Set(items.map(item => item.key))
  const stale = [...known.keys()].filter(key => !wanted.has(key))
  const changed = items.filter(item => known.get(item.key) !== item.hash)
  // Entries may need each other in any order (a splitter its protocol), so what is refused is tried again after the rest.
  let pending: FileItem[] = [...changed, ...stale.map(key => removal(key, targets))]
  let failures: ConfigError[] = []
  const done: FileItem[] = []
  for (let progress = true; progress && pending.length > 0; ) {
    progress = false
    failures = []
    const next: FileItem[] = []
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
    await store.transaction(done.map(item => (item.hash === '' ? remove('mesh-file', item.key) : put('mesh-file', item.key, item.hash))))
  const removed = done.filter(item => item.hash === '').length
  return { applied: done.length - removed, unchanged: items.length - changed.length, removed, errors: failures }
}

function join(path: string, below: string): string {
  return below === '' ? path : `${path}.${below}`
}

function readItems(text: string, targets: MeshFileTargets, errors: ConfigError[]): FileItem[] | undefined {
  const document = parseDocument(text, { uniqueKeys: true })
  const problem = document.errors[0]
  if (problem !== undefined) {
    errors.push({ path: '', reason: `not YAML: ${problem.message.split('\n')[0]}` })
    return undefined
  }
  let root: unknown
  try {
    root = document.toJS({ maxAliasCount: MAX_YAML_ALIASES }) ?? {}
  } catch (error) {
    errors.push({ path: '', reason: `not YAML: ${(error as Error).message}` })
    return undefined
  }
  if (!isObject(root)) {
    errors.push({ path: '', reason: 'must be a map with services, config_entries and default_intention_policy' })
    return undefined
  }
  const fields = new Map(Object.entries(root).map(([key, value]) => [key.replaceAll('_', '').toLowerCase(), { key, value }]))
  const take = (name: string): unknown => {
    const field = fields.get(name)
    fields.delete(name)
    return field?.value
  }
  const services = list(take('services'), 'services', errors)
  const entries = list(take('configentries'), 'config_entries', errors)
  const policy = take('defaultintentionpolicy') ?? 'deny'
  for (const { key } of fields.values()) errors.push({ path: key, reason: 'unknown field' })
  if (policy !== 'allow' && policy !== 'deny') errors.push({ path: 'default_intention_policy', reason: 'must be allow or deny' })
  const items = [
    ...entries.map((raw, i) => entryItem(raw, `config_entries[${i}]`, targets, errors)),
    ...services.map((raw, i) => serviceItem(raw, `services[${i}]`, targets, errors)),
  ].filter(item => item !== undefined)
  const seen = new Map<string, string>()
  for (const item of items) {
    const before = seen.get(item.key)
    if (before !== undefined) errors.push({ path: item.path, reason: `is ${item.key}, as is ${before}` })
    seen.set(item.key, item.path)
  }
  if (errors.length === 0) targets.setDefaultPolicy(policy as IntentionAction)
  return items
}

function list(value: unknown, name: string, errors: ConfigError[]): unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  errors.push({ path: name, reason: 'must be a list' })
  return []
}

function serviceItem(raw: unknown, path: string, { catalog, scripts }: MeshFileTargets, errors: ConfigError[]): FileItem | undefined {
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

function entryItem(raw: unknown, path: string, { entries }: MeshFileTargets, errors: ConfigError[]): FileItem | undefined {
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

function removal(key: string, { catalog, entries }: MeshFileTargets): FileItem {
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
      const result = await entries.delete(kind as ConfigEntryKind, name.join('/'))
      return result.ok || !('errors' in result) ? [] : result.errors
    },
  }
}

/** Hash of the entry's content; comments, spacing and the order of its keys don't count. */
function hashOf(value: unknown): string {
  return createHash('sha256')
    .update(
      JSON.stringify(value, (_key, item) =>
        isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
      ),
    )
    .digest('hex')
}

/** The file on disk: applies it now, and again after each change, until `close`. */
export class MeshFile {
  private readonly path: string
  private readonly targets: MeshFileTargets
  private readonly onReload: (report: ApplyReport) => void
  private text: string | undefined
  private watcher: FSWatcher | undefined
  private timer: NodeJS.Timeout | undefined

  constructor(path: string, targets: MeshFileTargets, onReload: (report: ApplyReport) => void) {
    this.path = path
    this.targets = targets
    this.onReload = onReload
  }

  /** Throws one line when the file can't be read. */
  async load(): Promise<ApplyReport> {
    const text = this.read()
    if (text.length > MAX_MESH_FILE_BYTES) throw new Error(`${this.path}: larger than ${MAX_MESH_FILE_BYTES} bytes`)
    this.text = text.toString('utf8')
    return applyMeshFile(this.text, this.targets)
  }

  private read(): Buffer {
    try {
      return readFileSync(this.path)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      throw new Error(`${this.path}: ${code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a folder' : message}`)
    }
  }

  /** Watches the folder, because editors and config mounts replace the file rather than write to it. */
  watch(): void {
    const name = basename(this.path)
    this.watcher = watch(dirname(this.path), (_event, changed) => {
      // Config mounts swap a link beside the file, so any event with a name that begins with ".." counts as well.
      if (changed === null || changed === name || changed.startsWith('..')) this.soon()
    })
    this.watcher.unref()
  }

  close(): void {
    clearTimeout(this.timer)
    this.watcher?.close()
  }

  private soon(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.reload(), SETTLE_MS)
    this.timer.unref()
  }

  private reload(): void {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (error) {
      // Being replaced right now, or gone: what was applied stays.
      this.onReload({ applied: 0, unchanged: 0, removed: 0, errors: [{ path: '', reason: (error as Error).message }] })
      return
    }
    if (text === this.text) return
    this.text = text
    applyMeshFile(text, this.targets).then(this.onReload, (error: Error) => {
      // Not written, so it is still to be applied.
      this.text = undefined
      this.onReload({ applied: 0, unchanged: 0, removed: 0, errors: [{ path: '', reason: error.message }] })
    })
  }
}
