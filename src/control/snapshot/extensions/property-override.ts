// `builtin/property-override`: single fields of clusters, endpoint assignments, listeners and route tables set or cleared by path, in
// the manner of JSON Patch. Paths name fields as Envoy's protos do; items of lists and maps have no path (as in Consul).
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf'
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect'
import { ClusterSchema } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../xds/gen/envoy/config/route/v3/route_pb.js'
import { Ctx, ErrorCollector } from '../../../xds/resources/field-path.js'
import { messageFromJson } from '../../../xds/resources/json-message.js'
import type { FieldReader } from '../../config-entries/field-reader.js'
import type { EnvoyExtension, Place } from './envoy-extension.js'
import { eachHcm } from './insert-filter.js'

const SCHEMAS = {
  cluster: ClusterSchema,
  'cluster-load-assignment': ClusterLoadAssignmentSchema,
  listener: ListenerSchema,
  route: RouteConfigurationSchema,
} as const
type ResourceType = keyof typeof SCHEMAS

interface Patch {
  readonly type: ResourceType
  readonly direction: Place['direction']
  /** Of outbound resources: only those of these services; empty: all. */
  readonly services: readonly string[]
  readonly fields: readonly DescField[]
  /** Undefined: the field is cleared. */
  readonly value: { readonly json: unknown } | undefined
}

const MAX_PATCHES = 100

export function readPropertyOverride(args: FieldReader): EnvoyExtension {
  args.ignore('Debug')
  const proxyType = args.string('ProxyType', 'connect-proxy')
  if (proxyType !== 'connect-proxy') args.fail('ProxyType', `must be connect-proxy, not "${proxyType}"`)
  const readers = args.objects('Patches', MAX_PATCHES)
  if (readers.length === 0) args.fail('Patches', 'at least one patch is required')
  const patches = readers.map(readPatch).filter(patch => patch !== undefined)
  const apply = (type: ResourceType, message: Message, place: Place): void => {
    for (const patch of patches)
      if (patch.type === type && patch.direction === place.direction && isFor(patch, place)) patchField(message, patch)
  }
  return {
    cluster: (cluster, place) => apply('cluster', cluster, place),
    endpoints: (assignment, place) => apply('cluster-load-assignment', assignment, place),
    listener(listener, place) {
      apply('listener', listener, place)
      if (!patches.some(({ type }) => type === 'route')) return
      // The route tables that stand in their listener.
      eachHcm(listener, ({ routeSpecifier }) => {
        if (routeSpecifier.case === 'routeConfig') apply('route', routeSpecifier.value, place)
      })
    },
    routes: (table, place) => apply('route', table, place),
  }
}

function isFor({ services }: Patch, place: Place): boolean {
  return services.length === 0 || services.some(service => place.services.includes(service))
}

function readPatch(reader: FieldReader): Patch | undefined {
  const filter = reader.object('ResourceFilter')
  if (filter === undefined) reader.fail('ResourceFilter', 'is required')
  const type = filter?.string('ResourceType') ?? ''
  if (filter !== undefined && !Object.hasOwn(SCHEMAS, type))
    filter.fail('ResourceType', `must be one of ${Object.keys(SCHEMAS).join(', ')}`)
  const direction = filter?.string('TrafficDirection') ?? ''
  if (filter !== undefined && direction !== 'inbound' && direction !== 'outbound')
    filter.fail('TrafficDirection', 'must be inbound or outbound')
  const services = (filter?.objects('Services', MAX_PATCHES) ?? []).map(service => {
    service.ignore('Namespace', 'Partition')
    const name = service.string('Name')
    if (name === '') service.fail('Name', 'missing')
    return name
  })
  if (services.length > 0 && direction !== 'outbound') filter?.fail('Services', 'needs TrafficDirection outbound')
  filter?.refuseUnknown()
  const op = reader.string('Op')
  if (op !== 'add' && op !== 'remove') reader.fail('Op', 'must be add or remove')
  const path = reader.string('Path')
  const json = reader.json('Value')
  if (op === 'add' && json === undefined) reader.fail('Value', 'is required')
  if (op === 'remove' && json !== undefined) reader.fail('Value', 'is not for remove')
  reader.refuseUnknown()
  if (!Object.hasOwn(SCHEMAS, type)) return undefined
  const fields = fieldsOf(SCHEMAS[type as ResourceType], path, reader)
  if (fields === undefined) return undefined
  const patch = {
    type: type as ResourceType,
    direction: direction as Place['direction'],
    services,
    fields,
    value: op === 'add' ? { json } : undefined,
  }
  if (op === 'add' && json !== undefined) holderOf(fields.at(-1)!, json, reason => reader.fail('Value', reason))
  return patch
}

function fieldsOf(schema: DescMessage, path: string, reader: FieldReader): DescField[] | undefined {
  const names = path.replace(/^\/+/, '').split('/')
  const fields: DescField[] = []
  let desc: DescMessage | undefined = schema
  for (const [i, name] of names.entries()) {
    const field: DescField | undefined = desc?.fields.find(candidate => candidate.name === name)
    if (field === undefined) {
      reader.fail('Path', desc === undefined ? `${names[i - 1]} has no fields` : `${desc.typeName} has no field "${name}"`)
      return undefined
    }
    if (i < names.length - 1 && field.fieldKind !== 'message') {
      reader.fail(
        'Path',
        field.fieldKind === 'list' || field.fieldKind === 'map' ? `items of ${name} have no path` : `${name} has no fields`,
      )
      return undefined
    }
    fields.push(field)
    desc = field.message
  }
  return fields
}

/** The value as the field's message holds it. */
function holderOf(field: DescField, json: unknown, report: (reason: string) => void): Message {
  const errors = new ErrorCollector({ unknownFields: 'refuse' })
  const holder = messageFromJson(field.parent, { [field.name]: json }, new Ctx(errors))
  const [first] = errors.errors
  if (first !== undefined) report(`${first.path}: ${first.reason}`)
  return holder
}

function patchField(message: Message, { type, fields, value }: Patch): void {
  let parent: ReflectMessage = reflect(SCHEMAS[type] as DescMessage, message)
  const last = fields.at(-1)!
  for (const field of fields.slice(0, -1)) {
    if (!parent.isSet(field)) {
      if (value === undefined) return
      parent.set(field, parent.get(field))
    }
    parent = parent.get(field) as ReflectMessage
  }
  parent.clear(last)
  if (value === undefined) return
  const holder = reflect(
    last.parent,
    holderOf(last, value.json, () => {}),
  )
  // A field that holds its default is the same as one that is not there.
  if (holder.isSet(last)) parent.set(last, holder.get(last))
}
