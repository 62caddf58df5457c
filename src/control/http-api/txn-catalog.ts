// The operations of a transaction on nodes, services and checks: read, done on the draft of the transaction, and printed. Called by txn.ts.
// Verbs and refusals are Consul's; a check-and-set compares with what the transaction has made of the record so far.
import { type CatalogDraft, CatalogError, PENDING } from '../catalog/catalog-draft.js'
import type { NodeRegistration } from '../catalog/catalog-types.js'
import { type CheckRegistration, readNode, readRegisteredCheck, readService, setCheck } from '../catalog/node-registration.js'
import type { ServiceInstance } from '../catalog/service-definition.js'
import type { FieldReader } from '../config-entries/field-reader.js'
import { HttpError } from './respond.js'
import { checkShape, nodeService, nodeShape } from './shapes.js'

interface Verb {
  readonly verb: string
  /** The ModifyIndex of a check-and-set. */
  readonly index: number
}

export type CatalogOperation =
  | (Verb & { readonly type: 'Node'; readonly node: NodeRegistration })
  | (Verb & { readonly type: 'Service'; readonly node: string; readonly id: string; readonly service: ServiceInstance | undefined })
  | (Verb & { readonly type: 'Check'; readonly registration: CheckRegistration })

/** What is printed: the kind of the record, and it. */
export interface CatalogResult {
  readonly type: CatalogOperation['type']
  readonly shape: Record<string, unknown>
}

const WRITING = new Set(['set', 'cas'])

/** Undefined: it is none of the catalog. */
export function readCatalogOperation(fields: FieldReader, datacenter: string): CatalogOperation | undefined {
  for (const type of ['Node', 'Service', 'Check'] as const) {
    const operation = fields.object(type)
    if (operation === undefined) continue
    const verb = operation.string('Verb')
    const record = operation.object(type)
    if (record === undefined) throw new HttpError(400, `Failed to parse body: ${operation.path}.${type}: missing`)
    const wanted = record.string('Datacenter')
    if (wanted !== '' && wanted !== datacenter)
      throw new HttpError(400, `Failed to parse body: ${record.path}.Datacenter: No path to datacenter`)
    const index = record.integer('ModifyIndex', 0, Number.MAX_SAFE_INTEGER, 0)
    try {
      if (type === 'Node') return { type, verb, index, node: readNode(record, 'Meta') }
      const node = (type === 'Check' ? record : operation).string('Node')
      if (node === '') throw new CatalogError('Must provide node')
      if (type === 'Check') return { type, verb, index, registration: readRegisteredCheck(record) }
      const service = WRITING.has(verb) ? readService(record) : undefined
      return { type, verb, index, node, id: service?.ID ?? record.string('ID'), service }
    } catch (error) {
      throw error instanceof CatalogError ? new HttpError(400, `Failed to parse body: ${operation.path}: ${error.message}`) : error
    }
  }
  return undefined
}

/** Throws `CatalogError`. */
export function attemptCatalog(draft: CatalogDraft, operation: CatalogOperation): CatalogResult[] {
  switch (operation.type) {
    case 'Node':
      return attempt(operation, nodeTarget(draft, operation.node))
    case 'Service':
      return attempt(operation, serviceTarget(draft, operation))
    case 'Check':
      return attempt(operation, checkTarget(draft, operation.registration))
  }
}

export function catalogResultJson({ type, shape }: CatalogResult, index: number): string {
  const settled = (at: unknown): unknown => (at === PENDING ? index : at)
  return JSON.stringify({ [type]: { ...shape, CreateIndex: settled(shape['CreateIndex']), ModifyIndex: settled(shape['ModifyIndex']) } })
}

/** A record of the catalog as a verb sees it. */
interface Target {
  /** As refusals name it. */
  readonly quoted: string
  /** What there is of it; undefined: nothing. */
  readonly before: Indexed | undefined
  /** What would be deleted: a node is found by its ID, and deleted by its name. */
  readonly deletable: Indexed | undefined
  set(): Record<string, unknown> | undefined
  get(): Record<string, unknown>
  remove(): void
}

interface Indexed {
  readonly ModifyIndex: number
}

function attempt({ type, verb, index }: CatalogOperation, target: Target): CatalogResult[] {
  const { quoted, before, deletable } = target
  const written = (): CatalogResult[] => {
    const shape = target.set()
    return shape === undefined ? [] : [{ type, shape }]
  }
  switch (verb) {
    case 'get':
      if (before === undefined) throw new CatalogError(`${quoted} doesn't exist`)
      return [{ type, shape: target.get() }]
    case 'cas':
      if ((before?.ModifyIndex ?? 0) !== index) throw new CatalogError(`failed to set ${quoted}, index is stale`)
      return written()
    case 'set':
      return written()
    case 'delete-cas':
      if (deletable?.ModifyIndex !== index) throw new CatalogError(`failed to delete ${quoted}, index is stale`)
      target.remove()
      return []
    case 'delete':
      target.remove()
      return []
    default:
      throw new CatalogError(`unknown ${type} verb ${JSON.stringify(verb)}`)
  }
}

function nodeTarget(draft: CatalogDraft, node: NodeRegistration): Target {
  const before = node.ID === '' ? draft.node(node.Node) : draft.nodeById(node.ID)
  return {
    quoted: `node ${JSON.stringify(node.Node)}`,
    before,
    deletable: draft.node(node.Node),
    get: () => nodeShape(before!),
    set: () => shapeOf(draft.setNode(node), nodeShape),
    remove: () => draft.deleteNode(node.Node),
  }
}

function serviceTarget(draft: CatalogDraft, { node, id, service }: Extract<CatalogOperation, { type: 'Service' }>): Target {
  const before = draft.instance(node, id)
  const shape = (found: NonNullable<typeof before>) => nodeService(draft, found)
  return {
    quoted: `service ${JSON.stringify(id)} on node ${JSON.stringify(node)}`,
    before,
    deletable: before,
    get: () => shape(before!),
    set: () => shapeOf(draft.setInstance(node, service!), shape),
    remove: () => draft.deleteInstance(node, id),
  }
}

function checkTarget(draft: CatalogDraft, { node, check }: CheckRegistration): Target {
  const id = check.definition.CheckID
  const before = draft.check(node, id)
  const shape = (found: NonNullable<typeof before>) => checkShape(draft, found)
  return {
    quoted: `check ${JSON.stringify(id)} on node ${JSON.stringify(node)}`,
    before,
    deletable: before,
    get: () => shape(before!),
    set: () => shapeOf(setCheck(draft, node, check), shape),
    remove: () => draft.deleteCheck(node, id),
  }
}

/** Undefined where nothing was written. */
function shapeOf<Found>(found: Found | undefined, shape: (found: Found) => Record<string, unknown>): Record<string, unknown> | undefined {
  return found === undefined ? undefined : shape(found)
}
