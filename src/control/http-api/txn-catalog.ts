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
      if (type === 'Check') return { type, verb, index, registration: readRegisteredCheck(record) }
      const service = WRITING.has(verb) ? readService(record) : undefined
      return { type, verb, index, node: operation.string('Node'), id: service?.ID ?? record.string('ID'), service }
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
      return attemptNode(draft, operation)
    case 'Service':
      return attemptService(draft, operation)
    case 'Check':
      return attemptCheck(draft, operation)
  }
}

export function catalogResultJson({ type, shape }: CatalogResult, index: number): string {
  const settled = (at: unknown): unknown => (at === PENDING ? index : at)
  return JSON.stringify({ [type]: { ...shape, CreateIndex: settled(shape['CreateIndex']), ModifyIndex: settled(shape['ModifyIndex']) } })
}

function attemptNode(draft: CatalogDraft, { verb, index, node }: Extract<CatalogOperation, { type: 'Node' }>): CatalogResult[] {
  const before = node.ID === '' ? draft.node(node.Node) : draft.nodeById(node.ID)
  const quoted = JSON.stringify(node.Node)
  const result = (found: typeof before): CatalogResult[] => (found === undefined ? [] : [{ type: 'Node', shape: nodeShape(found) }])
  switch (verb) {
    case 'get':
      if (before === undefined) throw new CatalogError(`node ${quoted} doesn't exist`)
      return result(before)
    case 'set':
      return result(draft.setNode(node))
    case 'cas':
      if ((before?.ModifyIndex ?? 0) !== index) throw new CatalogError(`failed to set node ${quoted}, index is stale`)
      return result(draft.setNode(node))
    case 'delete':
      draft.deleteNode(node.Node)
      return []
    case 'delete-cas':
      if (draft.node(node.Node)?.ModifyIndex !== index) throw new CatalogError(`failed to delete node ${quoted}, index is stale`)
      draft.deleteNode(node.Node)
      return []
    default:
      throw new CatalogError(`unknown Node verb ${JSON.stringify(verb)}`)
  }
}

function attemptService(draft: CatalogDraft, operation: Extract<CatalogOperation, { type: 'Service' }>): CatalogResult[] {
  const { verb, index, node, id, service } = operation
  const before = draft.instance(node, id)
  const quoted = `service ${JSON.stringify(id)} on node ${JSON.stringify(node)}`
  const result = (found: typeof before): CatalogResult[] =>
    found === undefined ? [] : [{ type: 'Service', shape: nodeService(draft, found) }]
  switch (verb) {
    case 'get':
      if (before === undefined) throw new CatalogError(`${quoted} doesn't exist`)
      return result(before)
    case 'cas':
      if ((before?.ModifyIndex ?? 0) !== index) throw new CatalogError(`failed to set ${quoted}, index is stale`)
      return result(draft.setInstance(node, service!))
    case 'set':
      return result(draft.setInstance(node, service!))
    case 'delete-cas':
      if (before?.ModifyIndex !== index) throw new CatalogError(`failed to delete ${quoted}, index is stale`)
      draft.deleteInstance(node, id)
      return []
    case 'delete':
      draft.deleteInstance(node, id)
      return []
    default:
      throw new CatalogError(`unknown Service verb ${JSON.stringify(verb)}`)
  }
}

function attemptCheck(draft: CatalogDraft, operation: Extract<CatalogOperation, { type: 'Check' }>): CatalogResult[] {
  const { verb, index, registration } = operation
  const { node, check } = registration
  const id = check.definition.CheckID
  const quoted = `check ${JSON.stringify(id)} on node ${JSON.stringify(node)}`
  const before = draft.check(node, id)
  const result = (found: typeof before): CatalogResult[] =>
    found === undefined ? [] : [{ type: 'Check', shape: checkShape(draft, found) }]
  switch (verb) {
    case 'get':
      if (before === undefined) throw new CatalogError(`${quoted} doesn't exist`)
      return result(before)
    case 'cas':
      if ((before?.ModifyIndex ?? 0) !== index) throw new CatalogError(`failed to set ${quoted}, index is stale`)
      return result(setCheck(draft, node, check))
    case 'set':
      return result(setCheck(draft, node, check))
    case 'delete-cas':
      if (before?.ModifyIndex !== index) throw new CatalogError(`failed to delete ${quoted}, index is stale`)
      draft.deleteCheck(node, id)
      return []
    case 'delete':
      draft.deleteCheck(node, id)
      return []
    default:
      throw new CatalogError(`unknown Check verb ${JSON.stringify(verb)}`)
  }
}
