// Protobuf message -> JSON as Envoy's admin prints it: proto field names, secrets replaced by "[redacted]", every Any opened. Called by
// config-dump.ts only, never per request. Fields annotated udpa.annotations.sensitive are redacted as Envoy does (strings and bytes
// replaced, numbers dropped); beyond that, tokens in gRPC initial_metadata are, since no secret may leave through the admin endpoint.
// Invariant: no input throws; an Any of an unknown type is shown as its @type and base64.

import { create, type DescField, type DescMessage, fromBinary, getOption, type JsonValue, type Message, toJson } from '@bufbuild/protobuf'
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt'
import { sensitive } from '../gen/udpa/annotations/sensitive_pb.js'
import { isWalked } from '../resources/constraint.js'
import { Ctx, ErrorCollector } from '../resources/field-path.js'
import { messageFromJson } from '../resources/json-message.js'
import { schemaOf } from '../resources/schemas.js'

export type DumpObject = { [field: string]: JsonValue }

const REDACTED = '[redacted]'
const REDACTED_BASE64 = Buffer.from(REDACTED).toString('base64')
const MAX_PRINT_DEPTH = 100
/** Header names and Struct keys whose values are credentials wherever they stand. */
const CREDENTIAL_HEADER = /token|authorization|password|secret|api-?key/i
const CREDENTIAL_KEY = /^(?:private_?key|password|inline_(?:string|bytes)|session_?ticket_?keys)$/i

type Fields = { [field: string]: unknown }

export function printMessage(desc: DescMessage, message: Message, redact = false, depth = 0): DumpObject {
  const out: DumpObject = {}
  if (depth > MAX_PRINT_DEPTH) return out
  const values = message as Fields
  for (const field of desc.fields) {
    const value = fieldValue(values, field)
    if (value === undefined) continue
    const hide = redact || getOption(field, sensitive)
    const printed = printField(desc, field, value, hide, depth)
    if (printed !== undefined) setOwn(out, field.name, printed)
  }
  if (desc.typeName === 'envoy.config.core.v3.HeaderValue' && CREDENTIAL_HEADER.test(String(values['key'])) && 'value' in out)
    out['value'] = REDACTED
  return out
}

function setOwn(out: DumpObject, key: string, value: JsonValue): void {
  Object.defineProperty(out, key, { value, enumerable: true, configurable: true, writable: true })
}

function fieldValue(values: Fields, field: DescField): unknown {
  if (field.oneof === undefined) return values[field.localName]
  const group = values[field.oneof.localName] as { case: string | undefined; value?: unknown }
  return group.case === field.localName ? group.value : undefined
}

function printField(desc: DescMessage, field: DescField, value: unknown, redact: boolean, depth: number): JsonValue | undefined {
  const type = field.message
  const one = (item: unknown): JsonValue | undefined => {
    if (type === undefined) return undefined
    if (type.typeName === AnySchema.typeName) return printAny(item as Any, redact, depth + 1)
    return printMessage(type, item as Message, redact, depth + 1)
  }
  const nested = type !== undefined && (isWalked(type) || type.typeName === AnySchema.typeName)
  if (field.fieldKind === 'list') {
    const list = value as unknown[]
    if (list.length === 0) return undefined
    return nested ? list.map(item => one(item) ?? null) : redactLeaf(printLeaf(desc, field, value), redact, isBytes(field))
  }
  if (field.fieldKind === 'map') {
    const entries = Object.entries(value as object)
    if (entries.length === 0) return undefined
    if (!nested) return redactLeaf(printLeaf(desc, field, value), redact, isBytes(field))
    const out: DumpObject = {}
    for (const [key, item] of entries) setOwn(out, key, one(item) ?? null)
    return out
  }
  return nested ? one(value) : redactLeaf(printLeaf(desc, field, value), redact, isBytes(field))
}

const BYTES = 12

function isBytes(field: DescField): boolean {
  return field.scalar === BYTES
}

/** Scalars, enums and well-known types, by the runtime's ProtoJSON. Absent: the field holds its default. */
function printLeaf(desc: DescMessage, field: DescField, value: unknown): JsonValue | undefined {
  const part = create(desc) as Fields
  if (field.oneof === undefined) part[field.localName] = value
  else part[field.oneof.localName] = { case: field.localName, value }
  try {
    return (toJson(desc, part as Message, { useProtoFieldName: true }) as DumpObject)[field.name]
  } catch {
    return undefined // e.g. a duration out of range: it has been refused, but a failed config is dumped too
  }
}

function redactLeaf(value: JsonValue | undefined, redact: boolean, bytes: boolean): JsonValue | undefined {
  if (!redact || value === undefined || value === null) return value
  if (typeof value === 'string') return bytes ? REDACTED_BASE64 : REDACTED
  if (typeof value === 'number' || typeof value === 'boolean') return undefined
  if (Array.isArray(value)) return value.map(item => redactLeaf(item, true, bytes) ?? null)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactLeaf(item, true, bytes) ?? null]))
}

export function printAny(any: Any, redact = false, depth = 0): DumpObject {
  const { typeUrl } = any
  const typeName = typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
  const desc = schemaOf(typeName)
  const raw = (): DumpObject => ({ '@type': typeUrl, value: redact ? REDACTED_BASE64 : Buffer.from(any.value).toString('base64') })
  if (desc === undefined || depth > MAX_PRINT_DEPTH) return raw()
  try {
    const message = fromBinary(desc, any.value) as Message
    if (/^(?:xds|udpa)\.type\.v\d\.TypedStruct$/.test(typeName))
      return printTypedStruct(typeUrl, message as unknown as TypedStruct, redact, depth)
    return { '@type': typeUrl, ...printMessage(desc, message, redact, depth + 1) }
  } catch {
    return raw()
  }
}

interface TypedStruct {
  readonly typeUrl: string
  readonly value?: object | undefined
}

/** Its Struct is read as the message it stands for, so that the same fields are redacted. */
function printTypedStruct(outer: string, struct: TypedStruct, redact: boolean, depth: number): DumpObject {
  const desc = schemaOf(struct.typeUrl.slice(struct.typeUrl.lastIndexOf('/') + 1))
  let value: JsonValue
  if (desc === undefined) value = redactStruct((struct.value ?? {}) as JsonValue, redact)
  else {
    const ctx = new Ctx(new ErrorCollector({ unknownFields: 'count' }))
    value = printMessage(desc, messageFromJson(desc, struct.value ?? {}, ctx), redact, depth + 1)
  }
  return { '@type': outer, type_url: struct.typeUrl, value }
}

function redactStruct(value: JsonValue, redact: boolean): JsonValue {
  if (Array.isArray(value)) return value.map(item => redactStruct(item, redact))
  if (typeof value === 'object' && value !== null) {
    const out: DumpObject = {}
    for (const [key, item] of Object.entries(value)) setOwn(out, key, redactStruct(item, redact || CREDENTIAL_KEY.test(key)))
    return out
  }
  return redact && typeof value === 'string' ? REDACTED : value
}
