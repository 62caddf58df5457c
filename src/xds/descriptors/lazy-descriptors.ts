// Descriptors of Envoy's types, made at first use. The generated code (src/xds/gen) calls this in the place of protobuf-es' own `codegenv2`, which
// decodes every file and makes every field of every message when a module is loaded: a third of a start, for 900 messages of which a
// bootstrap has forty. Here a file is a text until one of its names is asked for, and a message a slice of bytes until its fields are.
// What makes fields, values and methods of bytes is the library's createFileRegistry, given one message, enum or service at a time.
// Invariant: each type has one descriptor object, whoever asks for it; what it says is what the library's own would say (the test compares all).
import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescOneof,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
} from '@bufbuild/protobuf'
import type { GenEnum, GenExtension, GenFile, GenMessage, GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2'
import { nestedTypes, protoCamelCase } from '@bufbuild/protobuf/reflect'
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  Edition,
  type EnumDescriptorProto,
  EnumDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type ServiceDescriptorProto,
  ServiceDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'
import { type Declaration, type FileParts, type MessageParts, readFile, readMessage } from './descriptor-bytes.js'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Declared = Pick<MessageInitShape<typeof FileDescriptorProtoSchema>, 'messageType' | 'enumType' | 'service' | 'extension'>
type Type = LazyMessage | LazyEnum

/** Names of the two files that the library is given. */
const OWN = 'own'
const NEEDED = 'needed'

/** The generator leaves out JSON names that follow from a name. */
function restoreJsonNames(message: DescriptorProto): DescriptorProto {
  for (const field of message.field) if (!Object.hasOwn(field, 'jsonName')) field.jsonName = protoCamelCase(field.name)
  for (const nested of message.nestedType) restoreJsonNames(nested)
  return message
}

/** SPIFFE's file names no package. */
const inScope = (scope: string, name: string): string => (scope === '' ? name : `${scope}.${name}`)

/** What `typeName` stands for in the file, and in those that it imports. */
function resolve(file: LazyFile, typeName: string): DescMessage | DescEnum {
  const name = typeName.replace(/^\./, '')
  for (const each of [file, ...file.dependencies]) {
    const found = each instanceof LazyFile ? each.find(name) : [...nestedTypes(each)].find(type => type.typeName === name)
    if (found?.kind === 'message' || found?.kind === 'enum') return found
  }
  throw new Error(`${file}: nothing that it imports declares ${name}`)
}

/** What is declared, as the library makes it of a file with nothing else in it. The types that it names come from where they are. */
function hydrate(file: LazyFile, scope: string, declared: Declared, typeNames: readonly string[]): DescFile {
  const types = [...new Set(typeNames)].filter(name => name !== '').map(name => resolve(file, name))
  const needed: DescFile = {
    kind: 'file',
    name: NEEDED,
    proto: create(FileDescriptorProtoSchema, { name: NEEDED }),
    edition: file.edition,
    deprecated: false,
    dependencies: [],
    messages: types.filter(type => type.kind === 'message'),
    enums: types.filter(type => type.kind === 'enum'),
    services: [],
    extensions: [],
  }
  const proto = create(FileDescriptorProtoSchema, { name: OWN, package: scope, syntax: file.syntax, dependency: [NEEDED], ...declared })
  return createFileRegistry(proto, () => needed).getFile(OWN)!
}

class LazyFile implements DescFile {
  readonly kind = 'file'
  readonly dependencies: DescFile[]
  private readonly base64: string
  private parts: FileParts | null
  readonly scope: Scope
  private readonly madeServices: DescService[]
  private madeExtensions: DescExtension[] | null

  constructor(base64: string, imports: DescFile[]) {
    this.dependencies = imports
    this.base64 = base64
    this.parts = null
    this.scope = new Scope(this, undefined)
    this.madeServices = []
    this.madeExtensions = null
  }

  get declared(): FileParts {
    this.parts ??= readFile(Buffer.from(this.base64, 'base64'))
    return this.parts
  }

  get name(): string {
    return this.declared.name.replace(/\.proto$/, '')
  }

  get package(): string {
    return this.declared.package
  }

  get syntax(): string {
    return this.declared.syntax
  }

  get edition(): DescFile['edition'] {
    return this.declared.syntax === 'proto3' ? Edition.EDITION_PROTO3 : Edition.EDITION_PROTO2
  }

  get deprecated(): boolean {
    return this.proto.options?.deprecated ?? false
  }

  /** Decoded each time: nobody asks for it on the way of a config. */
  get proto(): FileDescriptorProto {
    const proto = fromBinary(FileDescriptorProtoSchema, Buffer.from(this.base64, 'base64'))
    for (const message of proto.messageType) restoreJsonNames(message)
    proto.dependency = this.dependencies.map(file => (file instanceof LazyFile ? file.declared.name : file.proto.name))
    return proto
  }

  get messages(): DescMessage[] {
    return this.scope.messages
  }

  get enums(): DescEnum[] {
    return this.scope.enums
  }

  get services(): DescService[] {
    return this.declared.services.map((_, i) => this.service(i))
  }

  service(index: number): DescService {
    this.madeServices[index] ??= new LazyService(this, index)
    return this.madeServices[index]
  }

  /** Few files have any, and their modules ask for all. */
  get extensions(): DescExtension[] {
    if (this.madeExtensions === null) {
      const extension = this.declared.extensions.map(bytes => fromBinary(FieldDescriptorProtoSchema, bytes))
      for (const each of extension) if (!Object.hasOwn(each, 'jsonName')) each.jsonName = protoCamelCase(each.name)
      const types = extension.flatMap(each => [each.typeName, each.extendee])
      this.madeExtensions = hydrate(this, this.package, { extension }, types).extensions
      for (const each of this.madeExtensions) (each as Mutable<DescExtension>).file = this
    }
    return this.madeExtensions
  }

  find(typeName: string): Type | undefined {
    const prefix = inScope(this.package, '')
    return typeName.startsWith(prefix) ? this.scope.find(typeName.slice(prefix.length)) : undefined
  }

  toString(): string {
    return `file ${this.declared.name}`
  }
}

/** The messages and enums of a file, or of a message: each made when it is asked for, by its place or by its name. */
class Scope {
  private readonly file: LazyFile
  private readonly parent: LazyMessage | undefined
  private readonly madeMessages: LazyMessage[]
  private readonly madeEnums: LazyEnum[]

  constructor(file: LazyFile, parent: LazyMessage | undefined) {
    this.file = file
    this.parent = parent
    this.madeMessages = []
    this.madeEnums = []
  }

  private get declared(): Pick<FileParts, 'messages' | 'enums'> {
    return (this.parent ?? this.file).declared
  }

  get messages(): DescMessage[] {
    return this.declared.messages.map((_, i) => this.message(i))
  }

  get enums(): DescEnum[] {
    return this.declared.enums.map((_, i) => this.enumeration(i))
  }

  message(index: number): LazyMessage {
    this.madeMessages[index] ??= new LazyMessage(this.file, this.parent, index)
    return this.madeMessages[index]
  }

  enumeration(index: number): LazyEnum {
    this.madeEnums[index] ??= new LazyEnum(this.file, this.parent, index)
    return this.madeEnums[index]
  }

  /** `Route` or `Route.Kind`, seen from here. */
  find(path: string): Type | undefined {
    const dot = path.indexOf('.')
    const name = dot === -1 ? path : path.slice(0, dot)
    const message = this.declared.messages.findIndex(each => each.name === name)
    if (message !== -1) return dot === -1 ? this.message(message) : this.message(message).scope.find(path.slice(dot + 1))
    const index = dot === -1 ? this.declared.enums.findIndex(each => each.name === name) : -1
    return index === -1 ? undefined : this.enumeration(index)
  }
}

/** A message or an enum: known by its place until its name is asked for, which the file has. */
abstract class LazyType {
  readonly file: LazyFile
  readonly parent: LazyMessage | undefined
  private readonly place: number
  private qualifiedName: string | null

  constructor(file: LazyFile, parent: LazyMessage | undefined, place: number) {
    this.file = file
    this.parent = parent
    this.place = place
    this.qualifiedName = null
  }

  protected abstract among(parts: Pick<FileParts, 'messages' | 'enums'>): readonly Declaration[]

  protected get declaration(): Declaration {
    return this.among((this.parent ?? this.file).declared)[this.place]!
  }

  /** What its name stands in. */
  protected get within(): string {
    return this.parent?.typeName ?? this.file.package
  }

  get name(): string {
    return this.declaration.name
  }

  get typeName(): string {
    this.qualifiedName ??= inScope(this.within, this.name)
    return this.qualifiedName
  }
}

class LazyMessage extends LazyType implements DescMessage {
  readonly kind = 'message'
  readonly scope: Scope
  private parts: MessageParts | null
  private made: DescMessage | null

  constructor(file: LazyFile, parent: LazyMessage | undefined, place: number) {
    super(file, parent, place)
    this.scope = new Scope(file, this)
    this.parts = null
    this.made = null
  }

  protected override among(parts: Pick<FileParts, 'messages'>): readonly Declaration[] {
    return parts.messages
  }

  get declared(): MessageParts {
    this.parts ??= readMessage(this.declaration.bytes)
    return this.parts
  }

  private get own(): DescMessage {
    this.made ??= this.hydrated()
    return this.made
  }

  private hydrated(): DescMessage {
    const proto = restoreJsonNames(fromBinary(DescriptorProtoSchema, this.declared.rest))
    const self = `.${this.typeName}`
    const entries = new Set(proto.nestedType.map(entry => `${self}.${entry.name}`))
    const typeNames = [proto, ...proto.nestedType].flatMap(message => message.field.map(field => field.typeName))
    const needed = typeNames.filter(name => name !== self && !entries.has(name))
    const made = hydrate(this.file, this.within, { messageType: [proto] }, needed).messages[0]!
    for (const field of made.fields as Mutable<DescField>[]) {
      field.parent = this
      if (field.message === made) field.message = this
    }
    for (const oneof of made.oneofs as Mutable<DescOneof>[]) oneof.parent = this
    return made
  }

  get fields(): DescField[] {
    return this.own.fields
  }

  get field(): Record<string, DescField> {
    return this.own.field
  }

  get oneofs(): DescOneof[] {
    return this.own.oneofs
  }

  get members(): (DescField | DescOneof)[] {
    return this.own.members
  }

  get deprecated(): boolean {
    return this.own.deprecated
  }

  get nestedMessages(): DescMessage[] {
    return this.scope.messages
  }

  get nestedEnums(): DescEnum[] {
    return this.scope.enums
  }

  /** Envoy's messages declare none. */
  get nestedExtensions(): DescExtension[] {
    return []
  }

  get proto(): DescriptorProto {
    return restoreJsonNames(fromBinary(DescriptorProtoSchema, this.declaration.bytes))
  }

  override toString(): string {
    return `message ${this.typeName}`
  }
}

class LazyEnum extends LazyType implements DescEnum {
  readonly kind = 'enum'
  private made: DescEnum | null

  constructor(file: LazyFile, parent: LazyMessage | undefined, place: number) {
    super(file, parent, place)
    this.made = null
  }

  protected override among(parts: Pick<FileParts, 'enums'>): readonly Declaration[] {
    return parts.enums
  }

  private get own(): DescEnum {
    this.made ??= this.hydrated()
    return this.made
  }

  private hydrated(): DescEnum {
    const proto = fromBinary(EnumDescriptorProtoSchema, this.declaration.bytes)
    const made = hydrate(this.file, this.within, { enumType: [proto] }, []).enums[0]!
    for (const value of made.values) (value as Mutable<typeof value>).parent = this
    return made
  }

  get open(): boolean {
    return this.own.open
  }

  get values(): DescEnum['values'] {
    return this.own.values
  }

  get value(): DescEnum['value'] {
    return this.own.value
  }

  get sharedPrefix(): string | undefined {
    return this.own.sharedPrefix
  }

  get deprecated(): boolean {
    return this.own.deprecated
  }

  get proto(): EnumDescriptorProto {
    return this.own.proto
  }

  override toString(): string {
    return `enum ${this.typeName}`
  }
}

class LazyService implements DescService {
  readonly kind = 'service'
  readonly file: LazyFile
  private readonly place: number
  private made: DescService | null

  constructor(file: LazyFile, place: number) {
    this.file = file
    this.place = place
    this.made = null
  }

  get name(): string {
    return this.own.name
  }

  get typeName(): string {
    return this.own.typeName
  }

  private get own(): DescService {
    this.made ??= this.hydrated()
    return this.made
  }

  private hydrated(): DescService {
    const proto = fromBinary(ServiceDescriptorProtoSchema, this.file.declared.services[this.place]!.bytes)
    const types = proto.method.flatMap(method => [method.inputType, method.outputType])
    const made = hydrate(this.file, this.file.package, { service: [proto] }, types).services[0]!
    for (const method of made.methods) (method as Mutable<typeof method>).parent = this
    return made
  }

  get methods(): DescService['methods'] {
    return this.own.methods
  }

  get method(): DescService['method'] {
    return this.own.method
  }

  get deprecated(): boolean {
    return this.own.deprecated
  }

  get proto(): ServiceDescriptorProto {
    return this.own.proto
  }

  toString(): string {
    return `service ${this.typeName}`
  }
}

// What generated code calls. Its types have brands that exist for the compiler alone.

export function fileDesc(base64: string, imports: readonly GenFile[] = []): GenFile {
  return new LazyFile(base64, [...imports]) as DescFile as GenFile
}

/** Places lead from the file through the messages that a type is nested in. */
function scopeAt(file: GenFile, places: readonly number[]): Scope {
  return places.reduce((scope, place) => scope.message(place).scope, (file as DescFile as LazyFile).scope)
}

export function messageDesc<Shape extends Message>(file: GenFile, ...places: number[]): GenMessage<Shape> {
  return scopeAt(file, places.slice(0, -1)).message(places.at(-1)!) as DescMessage as GenMessage<Shape>
}

export function enumDesc<Shape extends number>(file: GenFile, ...places: number[]): GenEnum<Shape> {
  return scopeAt(file, places.slice(0, -1)).enumeration(places.at(-1)!) as DescEnum as GenEnum<Shape>
}

export function serviceDesc<Methods extends GenServiceMethods>(file: GenFile, place: number): GenService<Methods> {
  return (file as DescFile as LazyFile).service(place) as DescService as GenService<Methods>
}

export function extDesc<Extendee extends Message, Value>(file: GenFile, place: number): GenExtension<Extendee, Value> {
  return file.extensions[place] as GenExtension<Extendee, Value>
}
