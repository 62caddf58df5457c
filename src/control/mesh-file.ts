// mesh.yaml: `services`, `config_entries` and `default_intention_policy` (deny when absent), read at start and again when it changes.
// Called by `ControlPlane`; what it declares is applied by declared-items.ts.
// Invariant: the file is one change, judged by the state after all of it: it is applied whole, or not at all.
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parseDocument } from 'yaml'
import { isObject } from './config-entries/field-reader.js'
import type { ConfigError, IntentionAction } from './config-entries/types.js'
import {
  type ApplyReport,
  applyDeclared,
  type DeclaredItem,
  type DeclaredTargets,
  entryItem,
  refusedSet,
  refuseTwins,
  serviceItem,
} from './declared-items.js'
import { put, type Store } from './store/store.js'

export const MAX_MESH_FILE_BYTES = 16 * 1024 * 1024
/** Editors write in several steps; the file is read once it has been quiet for this long. */
const SETTLE_MS = 50
/** Aliases are the only way for a small YAML file to become a large value. */
const MAX_YAML_ALIASES = 100

export interface MeshFileTargets extends DeclaredTargets {
  setDefaultPolicy(policy: IntentionAction): void
}

interface FileContent {
  readonly items: readonly DeclaredItem[]
  readonly policy: IntentionAction
}

/** The record of the policy among those of the file's items, whose keys have a slash. */
const POLICY_KEY = 'default-intention-policy'

/** The policy of a mesh that has run before: what its file said last, `otherwise` if it had none. Undefined: the state is empty. */
export async function knownPolicy(store: Store, otherwise: IntentionAction): Promise<IntentionAction | undefined> {
  const record = await store.get('mesh-file', POLICY_KEY)
  if (record !== undefined) return record.value as IntentionAction
  for (const collection of ['mesh-file', 'config-entry', 'service'] as const)
    if ((await store.list(collection)).length > 0) return otherwise
  return undefined
}

/** Reads the file's text and applies it, whole or not at all. */
export async function applyMeshFile(text: string, targets: MeshFileTargets): Promise<ApplyReport> {
  const errors: ConfigError[] = []
  const content = readContent(text, targets, errors)
  if (content === undefined || errors.length > 0) return refusedSet(errors)
  const known = await targets.store.get('mesh-file', POLICY_KEY)
  const records = known?.value === content.policy ? [] : [put('mesh-file', POLICY_KEY, content.policy)]
  const report = await applyDeclared(content.items, '', targets, { records })
  if (report.errors.length === 0) targets.setDefaultPolicy(content.policy)
  return report
}

function readContent(text: string, targets: MeshFileTargets, errors: ConfigError[]): FileContent | undefined {
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
    ...entries.map((raw, i) => entryItem(raw, `config_entries[${i}]`, errors)),
    ...services.map((raw, i) => serviceItem(raw, `services[${i}]`, targets, errors)),
  ].filter(item => item !== undefined)
  refuseTwins(items, errors)
  return { items, policy: policy as IntentionAction }
}

function list(value: unknown, name: string, errors: ConfigError[]): unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  errors.push({ path: name, reason: 'must be a list' })
  return []
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
      this.onReload(refusedSet([{ path: '', reason: (error as Error).message }]))
      return
    }
    if (text === this.text) return
    this.text = text
    applyMeshFile(text, this.targets).then(this.onReload, (error: Error) => {
      // Not written, so it is still to be applied.
      this.text = undefined
      this.onReload(refusedSet([{ path: '', reason: error.message }]))
    })
  }
}
