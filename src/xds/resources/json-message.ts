// ProtoJSON -> message with the path of every problem: unknown fields, wrong types, bad enum names. Used for bootstrap files
// (bootstrap.ts) and TypedStruct (any.ts). Both spellings of a field are taken (`stat_prefix`, `statPrefix`); paths use the proto's.
// Leaves are read by the protobuf runtime, so its rules for durations, enums, 64-bit numbers and base64 hold.

import { create, type DescField, type DescMessage, fromJson, type JsonValue, type Message, ScalarType, toBinary } from '@bufbuild/protobuf'
import { type Any, AnySchema, isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { type TypedStruct, TypedStructSchema } from '../gen/xds/type/v3/typed_struct_pb.js'
import { isWalked } from './constraint.js'
import { Ctx } from './field-path.js'
import { schemaOf } from './schemas.js'

/** The protobuf runtimes' own bound on nesting. */
export const MAX_JSON_DEPTH = 100

type Fields = { [field: string]: unknown }

/** Reads `json` into a message of type `desc`; problems go to `ctx`, what could be read is returned. */
export function messageFromJson(desc: DescMessage, json: unknown, ctx: Ctx, depth = 0): Message {
  const message = create(desc) as Message
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    ctx.error(`expected an object, got ${jsonKind(json)}`)
    return message
  }
  if (depth > MAX_JSON_DEPTH) {
    ctx.error(`nested deeper than ${MAX_JSON_DEPTH} levels`)
    return message
  }
  const seen = new Set<string>()
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find(candidate => candidate.name === key || candidate.jsonName === key)
    if (field === undefined) {
      reportUnknown(desc, key, ctx)
      continue
    }
    if (seen.has(field.name)) ctx.at(field.name).error('field is given twice')
    seen.add(field.name)
    if (value === null && field.message?.typeName !== 'google.protobuf.Value') continue
    readField(message as Fields, desc, field, value, ctx.at(field.name), depth + 1)
  }
  return message
}

function reportUnknown(desc: DescMessage, key: string, ctx: Ctx): void {
  if (ctx.sink.options.unknownFields === 'count') ctx.sink.unknownFields++
  else ctx.at(key).error(`unknown field: ${desc.typeName} has no such field`)
}

function jsonKind(json: unknown): string {
  if (json === null || json === undefined) return 'nothing'
  return Array.isArray(json) ? 'a list' : `a ${typeof json}`
}

function readField(target: Fields, desc: DescMessage, field: DescField, value: unknown, ctx: Ctx, depth: number): void {
  switch (field.fieldKind) {
    case 'list': {
      // One value in place of a list is taken, as Envoy's JSON reader does: Consul's bootstrap has `grpc_services: {...}`.
      const items: readonly unknown[] = Array.isArray(value) ? value : [value]
      const out = target[field.localName] as unknown[]
      items.forEach((item, i) => {
        const itemCtx = new Ctx(ctx.sink, `${ctx.path}[${i}]`)
        const read = field.listKind === 'message' && isNested(field.message) ? nested(field.message, item, itemCtx, depth) : undefined
        if (read !== undefined) out.push(read)
        else leaf(desc, field, [item], itemCtx, part => out.push(...(part as unknown[])))
      })
      return
    }
    case 'map': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        ctx.error(`expected an object, got ${jsonKind(value)}`)
        return
      }
      const out = target[field.localName] as object
      for (const [key, item] of Object.entries(value)) {
        const itemCtx = new Ctx(ctx.sink, `${ctx.path}[${JSON.stringify(key)}]`)
        if (field.mapKind === 'message' && isNested(field.message)) setOwn(out, key, nested(field.message, item, itemCtx, depth))
        else
          leaf(desc, field, { [key]: item }, itemCtx, part => {
            for (const [k, v] of Object.entries(part as object)) setOwn(out, k, v)
          })
      }
      return
    }
    default: {
      if (field.fieldKind === 'message' && isNested(field.message)) {
        assign(target, field, nested(field.message, value, ctx, depth), ctx)
        return
      }
      leaf(desc, field, value, ctx, part => assign(target, field, part, ctx))
    }
  }
}

function isNested(desc: DescMessage): boolean {
  return isWalked(desc) || desc.typeName === AnySchema.typeName
}

function nested(desc: DescMessage, value: unknown, ctx: Ctx, depth: number): Message {
  return desc.typeName === AnySchema.typeName ? anyFromJson(value, ctx, depth) : messageFromJson(desc, value, ctx, depth)
}

/** `__proto__` is a key like any other here, never the prototype. */
function setOwn(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}

function assign(target: Fields, field: DescField, value: unknown, ctx: Ctx): void {
  if (field.oneof === undefined) {
    target[field.localName] = value
    return
  }
  const group = target[field.oneof.localName] as { case: string | undefined }
  if (group.case !== undefined && group.case !== field.localName) ctx.error(`another field of ${field.oneof.name} is already set`)
  target[field.oneof.localName] = { case: field.localName, value }
}

/** Lets the protobuf runtime read one field; what it complains about is reported at the field's path. */
function leaf(desc: DescMessage, field: DescField, given: unknown, ctx: Ctx, take: (part: unknown) => void): void {
  const value = field.fieldKind === 'list' ? (given as unknown[]).map(item => lenient(field, item)) : lenient(field, given)
  try {
    const part = fromJson(desc, { [field.name]: value as JsonValue }) as Fields
    if (field.oneof === undefined) take(part[field.localName])
    else take((part[field.oneof.localName] as { value?: unknown }).value)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    ctx.error(text.replace(/^cannot decode \S+(?: \S+)?(?: from JSON)?: /, '').slice(0, 300))
  }
}

/**
 * Forms that Envoy's JSON reader takes beyond ProtoJSON: `"true"` for a boolean, enum names in any case or with dashes, enum numbers
 * as text, a wrapper, duration or timestamp written as the message it is (`{"value": 3}`, `{"seconds": 1, "nanos": 5}`).
 */
function lenient(field: DescField, value: unknown): unknown {
  const wrapper = field.message !== undefined && isWrapperDesc(field.message) ? field.message : undefined
  if (wrapper !== undefined && typeof value === 'object' && value !== null && Object.keys(value).join() === 'value') {
    return lenient(field, (value as { value: unknown }).value)
  }
  if (typeof value === 'object' && value !== null && TIMES.has(field.message?.typeName ?? '')) return timeText(field, value)
  if (typeof value !== 'string') return value
  const isBoolean = wrapper === undefined ? field.scalar === ScalarType.BOOL : wrapper.typeName === 'google.protobuf.BoolValue'
  if (isBoolean && (value === 'true' || value === 'false')) return value === 'true'
  if (field.enum === undefined) return value
  if (/^-?\d+$/.test(value)) return Number(value)
  const name = value.toUpperCase().replaceAll('-', '_')
  return field.enum.values.find(candidate => candidate.name.toUpperCase() === name)?.name ?? value
}

const TIMES: ReadonlySet<string> = new Set(['google.protobuf.Duration', 'google.protobuf.Timestamp'])

/** The text form of a time in the form of its message; what is no such form is left for the runtime to refuse. */
function timeText(field: DescField, value: object): unknown {
  const { seconds = 0, nanos = 0, ...rest } = value as { seconds?: unknown; nanos?: unknown }
  const whole = Number(seconds)
  const part = Number(nanos)
  if (Object.keys(rest).length > 0 || !Number.isSafeInteger(whole) || !Number.isInteger(part) || Math.abs(part) > 999_999_999) return value
  const fraction = String(Math.abs(part)).padStart(9, '0')
  if (field.message!.typeName === 'google.protobuf.Duration') return `${whole < 0 || part < 0 ? '-' : ''}${Math.abs(whole)}.${fraction}s`
  const date = new Date(whole * 1000)
  return part < 0 || Number.isNaN(date.getTime()) ? value : date.toISOString().replace(/\.\d+Z$/, `.${fraction}Z`)
}

/** A wrapper in an Any stands under `value` (ProtoJSON). */
function wrapperFromJson(desc: DescMessage, { value, ...rest }: { [field: string]: unknown }, ctx: Ctx): Message {
  for (const name of Object.keys(rest)) ctx.at(name).error('no such field')
  try {
    return fromJson(desc, value as JsonValue)
  } catch (error) {
    ctx.at('value').error(error instanceof Error ? error.message.slice(0, 300) : String(error))
    return create(desc)
  }
}

/**
 * An unknown `@type` becomes an Any without content: whoever reads the field says whether that is an error. That of a filter of the embedding
 * program becomes a TypedStruct.
 */
function anyFromJson(json: unknown, ctx: Ctx, depth: number): Any {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    ctx.error(`expected an object with an @type, got ${jsonKind(json)}`)
    return create(AnySchema)
  }
  const { '@type': typeUrl, ...rest } = json as { '@type'?: unknown; [field: string]: unknown }
  if (typeof typeUrl !== 'string') {
    if (Object.keys(rest).length > 0) ctx.at('@type').error('value is required')
    return create(AnySchema)
  }
  const typeName = typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
  const desc = schemaOf(typeName)
  if (desc === undefined)
    return ctx.sink.options.customFilters?.has(typeName) ? typedStruct(typeUrl, rest, ctx) : create(AnySchema, { typeUrl })
  const message = isWrapperDesc(desc) ? wrapperFromJson(desc, rest, ctx) : messageFromJson(desc, rest, ctx, depth)
  return create(AnySchema, { typeUrl, value: toBinary(desc, message) })
}

function typedStruct(typeUrl: string, value: object, ctx: Ctx): Any {
  const struct = messageFromJson(TypedStructSchema, { type_url: typeUrl, value }, ctx) as TypedStruct
  return create(AnySchema, { typeUrl: `type.googleapis.com/${TypedStructSchema.typeName}`, value: toBinary(TypedStructSchema, struct) })
}
