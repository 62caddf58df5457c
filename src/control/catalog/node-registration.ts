// What `PUT /v1/catalog/register` brings, and the node, service and check operations of transactions, as validated values: nodes that no agent
// speaks for, their services, and checks that somebody else watches. Called by the HTTP API; the values go into a `CatalogDraft`.
// A check's `Definition` is kept and printed as it was written; where the node asks for it (`external-node` in its metadata) it is also run.
import { durationFromMs } from '../config-entries/duration.js'
import type { FieldReader } from '../config-entries/field-reader.js'
import { type CatalogDraft, CatalogError } from './catalog-draft.js'
import type { CatalogCheck, NodeRegistration, RegisteredCheck, StoredCheck } from './catalog-types.js'
import {
  type CheckDefinition,
  CONTROL,
  HOST_PORT,
  isHttpUrl,
  MAX_CHECK_ID_CHARS,
  MAX_CHECK_OUTPUT_CHARS,
  MAX_CHECKS_PER_SERVICE,
  PLAIN_CHECK,
  readDuration,
} from './check-definition.js'
import { readLocality } from './locality.js'
import { checkMetaSize } from './metadata.js'
import { readCatalogService, type ServiceInstance } from './service-definition.js'

/** One check and the node that it names; '' for that of the request. */
export interface CheckRegistration {
  readonly node: string
  readonly check: StoredCheck
}

export interface CatalogRegistration {
  readonly node: NodeRegistration
  readonly skipNodeUpdate: boolean
  readonly service: ServiceInstance | undefined
  readonly checks: readonly CheckRegistration[]
}

const NODE_NAME = /^[\x21-\x7e]{1,256}$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const MAX_TAGGED_ADDRESSES = 64

/** Throws `CatalogError` for what Consul refuses by a sentence; the rest is collected by the reader. */
export function readCatalogRegistration(fields: FieldReader): CatalogRegistration {
  const node = readNode(fields)
  const skipNodeUpdate = fields.boolean('SkipNodeUpdate')
  if (node.Address === '' && !skipNodeUpdate) throw new CatalogError('Must provide address if SkipNodeUpdate is not set')
  const service = fields.object('Service')
  const check = fields.object('Check')
  const checks = [...fields.objects('Checks', MAX_CHECKS_PER_SERVICE * 2), ...(check === undefined ? [] : [check])]
  return {
    node,
    skipNodeUpdate,
    service: service === undefined ? undefined : readService(service),
    checks: checks.map(readRegisteredCheck),
  }
}

export function readService(fields: FieldReader): ServiceInstance {
  if (fields.string('ID') !== '' && fields.string('Service') === '')
    throw new CatalogError('Must provide service name (Service.Service) with ID')
  const service = readCatalogService(fields)
  if (service.Address === '0.0.0.0' || service.Address === '::') throw new CatalogError('Invalid service address')
  return service
}

/** `Meta` is `NodeMeta` in a registration. */
export function readNode(fields: FieldReader, metaField = 'NodeMeta'): NodeRegistration {
  const name = fields.string('Node')
  if (name === '') throw new CatalogError('Must provide node')
  if (!NODE_NAME.test(name)) fields.fail('Node', 'must be 1 to 256 visible ASCII characters')
  const id = fields.string('ID').toLowerCase()
  if (id !== '' && !UUID.test(id)) throw new CatalogError(`Bad node ID: ${JSON.stringify(id)} is not a UUID`)
  const address = fields.string('Address')
  if (CONTROL.test(address)) fields.fail('Address', 'has control characters')
  const meta = fields.has(metaField) ? fields.stringMap(metaField) : null
  checkMetaSize(fields, metaField, meta ?? {})
  const tagged = fields.has('TaggedAddresses') ? fields.stringMap('TaggedAddresses') : null
  if (Object.keys(tagged ?? {}).length > MAX_TAGGED_ADDRESSES) fields.fail('TaggedAddresses', `at most ${MAX_TAGGED_ADDRESSES}`)
  const locality = readLocality(fields)
  return { ID: id, Node: name, Address: address, TaggedAddresses: tagged, Meta: meta, ...(locality && { Locality: locality }) }
}

export function readRegisteredCheck(fields: FieldReader): CheckRegistration {
  const name = fields.string('Name')
  const id = fields.string('CheckID') || name
  if (id === '' || CONTROL.test(id) || id.length > MAX_CHECK_ID_CHARS)
    fields.fail('CheckID', `must be 1 to ${MAX_CHECK_ID_CHARS} characters`)
  const status = fields.string('Status') || 'critical'
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') fields.fail('Status', 'must be passing, warning or critical')
  const definition = fields.object('Definition')
  const { run, shown } = definition === undefined ? { run: {}, shown: {} } : readDefinition(definition)
  const registered: RegisteredCheck = {
    Type: fields.string('Type'),
    Interval: fields.string('Interval'),
    Timeout: fields.string('Timeout'),
    ExposedPort: fields.integer('ExposedPort', 0, 65_535, 0),
    Definition: shown,
  }
  return {
    node: fields.string('Node'),
    check: {
      definition: {
        ...PLAIN_CHECK,
        Type: 'registered',
        CheckID: id,
        Name: name,
        Notes: fields.string('Notes'),
        ServiceID: fields.string('ServiceID'),
        ...run,
      },
      status: status as StoredCheck['status'],
      output: fields.string('Output').slice(0, MAX_CHECK_OUTPUT_CHARS),
      registered,
    },
  }
}

/** How it is run, where it is run at all, and how it is shown: what is not set is left out, durations in Go's words. */
function readDefinition(fields: FieldReader): { readonly run: Partial<CheckDefinition>; readonly shown: Record<string, unknown> } {
  const intervalMs = durationOf(fields, 'Interval')
  const timeoutMs = durationOf(fields, 'Timeout')
  const deregisterAfterMs = durationOf(fields, 'DeregisterCriticalServiceAfter')
  const run = {
    HTTP: fields.string('HTTP'),
    Method: fields.string('Method'),
    Header: fields.stringListMap('Header'),
    Body: fields.string('Body'),
    TLSServerName: fields.string('TLSServerName'),
    TLSSkipVerify: fields.boolean('TLSSkipVerify'),
    DisableRedirects: fields.boolean('DisableRedirects'),
    TCP: fields.string('TCP'),
    TCPUseTLS: fields.boolean('TCPUseTLS'),
    UDP: fields.string('UDP'),
    GRPC: fields.string('GRPC'),
    GRPCUseTLS: fields.boolean('GRPCUseTLS'),
    H2PING: fields.string('H2PING'),
  }
  const shown: Record<string, unknown> = {
    ...run,
    OSService: fields.string('OSService'),
    Interval: intervalMs === 0 ? '' : durationFromMs(intervalMs),
    Timeout: timeoutMs === 0 ? '' : durationFromMs(timeoutMs),
    DeregisterCriticalServiceAfter: deregisterAfterMs === 0 ? '' : durationFromMs(deregisterAfterMs),
  }
  if (run.HTTP !== '' && !isHttpUrl(run.HTTP)) fields.fail('HTTP', 'must be an http or https URL')
  if (run.TCP !== '' && !HOST_PORT.test(run.TCP)) fields.fail('TCP', 'must be host:port')
  const type = run.HTTP !== '' ? 'http' : run.TCP !== '' ? 'tcp' : 'registered'
  return {
    run: {
      ...run,
      Method: run.Method || 'GET',
      Type: type,
      ...(intervalMs === 0 ? {} : { intervalMs }),
      ...(timeoutMs === 0 ? {} : { timeoutMs }),
    },
    shown: Object.fromEntries(Object.entries(shown).filter(([, value]) => isSet(value))),
  }
}

/** Go's clients write the durations of a definition under a second name as well. */
function durationOf(fields: FieldReader, name: string): number {
  return readDuration(fields, name, 0) || readDuration(fields, `${name}Duration`, 0)
}

function isSet(value: unknown): boolean {
  return value !== '' && value !== false && !(typeof value === 'object' && value !== null && Object.keys(value).length === 0)
}

/** All of it or nothing. Throws `CatalogError`. */
export function applyRegistration(draft: CatalogDraft, { node, skipNodeUpdate, service, checks }: CatalogRegistration): void {
  if (!skipNodeUpdate || draft.node(node.Node) === undefined) draft.setNode(node)
  if (service !== undefined) draft.setInstance(node.Node, service)
  for (const { node: named, check } of checks) {
    if (named !== '' && named.toLowerCase() !== node.Node.toLowerCase())
      throw new CatalogError(`check node ${JSON.stringify(named)} does not match node ${JSON.stringify(node.Node)}`)
    setCheck(draft, node.Node, check)
  }
}

/** A check that this agent runs itself keeps its definition: who registers it here tells only how it is. */
export function setCheck(draft: CatalogDraft, node: string, check: StoredCheck): CatalogCheck {
  const before = draft.check(node, check.definition.CheckID)
  const isOurs = before !== undefined && before.registered === undefined
  if (!isOurs) return draft.setCheck(node, check)
  const { definition, exposed } = before
  return draft.setCheck(node, { definition, status: check.status, output: check.output, ...(exposed && { exposed }) })
}
