import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescOneof,
  fromBinary,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf'
import { nestedTypes } from '@bufbuild/protobuf/reflect'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { beforeAll, describe, expect, it } from 'vitest'
import { LocalityLbEndpointsSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_components_pb.js'
import { RouteActionSchema, RouteMatchSchema, RouteSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_components_pb.js'
import { AggregatedDiscoveryService } from '../../../src/xds/gen/envoy/service/discovery/v3/ads_pb.js'
import { DeltaDiscoveryRequestSchema } from '../../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { StructMatcherSchema } from '../../../src/xds/gen/envoy/type/matcher/v3/struct_pb.js'
import { FractionalPercent_DenominatorTypeSchema, FractionalPercentSchema } from '../../../src/xds/gen/envoy/type/v3/percent_pb.js'

const GEN = new URL('../../../src/xds/gen/', import.meta.url).pathname

const nameOf = (type: { typeName: string } | undefined): string | undefined => type?.typeName
/** All that a field says: other descriptors by what they are called, what is a function by what it gives. */
const ofField = (field: DescField | DescExtension): object =>
  Object.fromEntries(
    Object.entries(field).map(([key, value]) => {
      if (typeof value === 'function') return [key, key === 'toString' ? String(field) : value()]
      return [key, typeof value === 'object' && value !== null && 'kind' in value ? String(value) : value]
    }),
  )
const ofOneof = (oneof: DescOneof): object => ({
  name: oneof.name,
  localName: oneof.localName,
  parent: oneof.parent.typeName,
  fields: oneof.fields.map(field => field.name),
})
const ofMessage = (message: DescMessage): object => ({
  typeName: message.typeName,
  name: message.name,
  file: message.file.name,
  parent: nameOf(message.parent),
  deprecated: message.deprecated,
  fields: message.fields.map(ofField),
  keys: Object.keys(message.field),
  members: message.members.map(member => member.name),
  oneofs: message.oneofs.map(ofOneof),
  messages: message.nestedMessages.map(nameOf),
  enums: message.nestedEnums.map(nameOf),
  proto: message.proto,
  text: String(message),
})
const ofEnum = (type: DescEnum): object => ({
  typeName: type.typeName,
  name: type.name,
  file: type.file.name,
  parent: nameOf(type.parent),
  open: type.open,
  prefix: type.sharedPrefix,
  deprecated: type.deprecated,
  values: type.values.map(value => [value.name, value.localName, value.number, value.jsonName, value.parent.typeName, value.deprecated]),
  numbers: Object.keys(type.value),
  text: String(type),
})
const ofFile = (file: DescFile): object => ({
  name: file.name,
  edition: file.edition,
  deprecated: file.deprecated,
  text: String(file),
  messages: file.messages.map(nameOf),
  enums: file.enums.map(nameOf),
  extensions: file.extensions.map(ofField),
  services: file.services.map(service => ({
    name: service.name,
    typeName: service.typeName,
    file: service.file.name,
    deprecated: service.deprecated,
    text: String(service),
    methods: service.methods.map(({ name, localName, methodKind, idempotency, input, output, parent }) => ({
      name,
      localName,
      methodKind,
      idempotency,
      types: [input.typeName, output.typeName, parent.typeName],
    })),
    keys: Object.keys(service.method),
  })),
})

/** Every file of the generated code, each before those that import it. */
async function generatedFiles(): Promise<DescFile[]> {
  const files = new Map<string, DescFile>()
  const add = (file: DescFile): void => {
    for (const imported of file.dependencies) add(imported)
    files.set(file.name, file)
  }
  for (const path of readdirSync(GEN, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('_pb.ts')) continue
    const module: Record<string, unknown> = await import(join(GEN, path))
    const name = Object.keys(module).find(key => key.startsWith('file_'))!
    add(module[name] as DescFile)
  }
  return [...files.values()]
}

describe('descriptors of the generated code', () => {
  let files: DescFile[]
  let library: Registry & ReturnType<typeof createFileRegistry>

  beforeAll(async () => {
    files = await generatedFiles()
    library = createFileRegistry(create(FileDescriptorSetSchema, { file: files.map(file => file.proto) }))
  })

  it('say what the library makes of the same files', () => {
    expect(files.length).toBeGreaterThan(200)
    for (const file of files) {
      expect(ofFile(file)).toEqual(ofFile(library.getFile(file.proto.name)!))
      for (const type of nestedTypes(file)) {
        if (type.kind === 'message') expect(ofMessage(type)).toEqual(ofMessage(library.getMessage(type.typeName)!))
        else if (type.kind === 'enum') expect(ofEnum(type)).toEqual(ofEnum(library.getEnum(type.typeName)!))
      }
    }
  })

  it('are one object a type, whoever names it', () => {
    const byName = new Map<string, unknown>()
    for (const file of files) for (const type of nestedTypes(file)) byName.set(type.typeName, type)
    for (const file of files) {
      for (const type of nestedTypes(file)) {
        if (type.kind !== 'message') continue
        expect(type.file).toBe(file)
        for (const field of type.fields) {
          expect(field.parent).toBe(type)
          if (field.message !== undefined) expect(field.message).toBe(byName.get(field.message.typeName))
          if (field.enum !== undefined) expect(field.enum).toBe(byName.get(field.enum.typeName))
        }
      }
    }
    expect(RouteSchema.field.match.message).toBe(RouteMatchSchema)
    expect(FractionalPercentSchema.field.denominator.enum).toBe(FractionalPercent_DenominatorTypeSchema)
    expect(AggregatedDiscoveryService.method.deltaAggregatedResources.input).toBe(DeltaDiscoveryRequestSchema)
  })

  it.each([
    ['a oneof, nested messages, wrappers', RouteActionSchema, { clusterSpecifier: { case: 'cluster', value: 'a' }, prefixRewrite: '/b' }],
    ['a map, a list', DeltaDiscoveryRequestSchema, { initialResourceVersions: { a: '1', b: '2' }, resourceNamesSubscribe: ['a'] }],
    [
      'a message of a message',
      LocalityLbEndpointsSchema,
      { locality: { zone: 'z' }, loadBalancingWeight: 3, lbEndpoints: [{ loadBalancingWeight: 1 }] },
    ],
    ['an enum', FractionalPercentSchema, { numerator: 5, denominator: 1 }],
    ['a type that other files of its package declare', StructMatcherSchema, { path: [{ segment: { case: 'key', value: 'k' } }] }],
  ] as const)('write and read %s as the library does', (_, schema, init) => {
    const bytes = toBinary(schema as DescMessage, create(schema as DescMessage, init))
    const theirs = library.getMessage(schema.typeName)!
    expect(toBinary(theirs, create(theirs, init))).toEqual(bytes)
    expect(fromBinary(schema as DescMessage, bytes)).toEqual(fromBinary(theirs, bytes))
  })
})
