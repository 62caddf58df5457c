// envoy.service.ext_proc.v3 on the wire: ProcessingRequest out, ProcessingResponse in. Called by ext-proc.ts. What comes back is bounded and
// checked: a response that is no message is null.

import type { HeaderOption } from '../../../model/header-option.js'
import type { JsonValue } from '../../../model/metadata.js'
import type { HeaderList } from '../../codec/header-list.js'
import { readStruct, writeStruct } from '../../grpc/protobuf-struct.js'
import { ProtobufReader, ProtobufWriter } from '../../grpc/protobuf-writer.js'
import type { Attributes } from './ext-proc-attributes.js'

/** Headers that one answer may set, and as many that it may remove. */
const MAX_MUTATIONS = 256

/** The key of the attributes, whatever the filter is called. */
const FILTER_NAME = 'envoy.filters.http.ext_proc'

/** Field numbers of ProcessingRequest's oneof; an answer's are one less. */
export const Part = {
  RequestHeaders: 2,
  ResponseHeaders: 3,
  RequestBody: 4,
  ResponseBody: 5,
  RequestTrailers: 6,
  ResponseTrailers: 7,
} as const
export type Part = (typeof Part)[keyof typeof Part]
/** Field numbers of ProcessingResponse's oneof that answer a part, in the order of request headers … response trailers. */
const ANSWERS: readonly Part[] = [
  Part.RequestHeaders,
  Part.ResponseHeaders,
  Part.RequestBody,
  Part.ResponseBody,
  Part.RequestTrailers,
  Part.ResponseTrailers,
]

export type NamedFields = readonly (readonly [name: string, value: string])[]

/** What goes along with a part of a message. */
export interface MessageContext {
  /** Namespaces of dynamic metadata that are forwarded. */
  readonly metadata: Readonly<Record<string, object>>
  /** Null: none, or they were sent. */
  readonly attributes: Attributes | null
}

export function headersMessage(part: Part, fields: NamedFields, end: boolean, context: MessageContext): Buffer {
  const writer = new ProtobufWriter()
  writer.message(part, http => {
    http.message(1, map => writeFields(map, fields)).bool(3, end)
  })
  return finish(writer, context)
}

export function bodyMessage(part: Part, body: Buffer, end: boolean, context: MessageContext): Buffer {
  const writer = new ProtobufWriter()
  writer.message(part, http => {
    http.bytes(1, body).bool(2, end)
  })
  return finish(writer, context)
}

export function trailersMessage(part: Part, trailers: HeaderList, context: MessageContext): Buffer {
  const writer = new ProtobufWriter()
  const fields = [...trailers.lower].map((name, i): [string, string] => [name, trailers.values[i]!])
  writer.message(part, http => {
    http.message(1, map => writeFields(map, fields))
  })
  return finish(writer, context)
}

function writeFields(map: ProtobufWriter, fields: NamedFields): void {
  for (const [name, value] of fields) map.message(1, field => field.string(1, name).latin1(3, value))
}

function finish(writer: ProtobufWriter, { metadata, attributes }: MessageContext): Buffer {
  const namespaces = Object.entries(metadata)
  if (namespaces.length > 0) {
    writer.message(8, message => {
      for (const [name, struct] of namespaces)
        message.message(1, entry => entry.string(1, name).message(2, value => writeStruct(value, struct as Record<string, unknown>)))
    })
  }
  if (attributes !== null) writer.message(9, entry => entry.string(1, FILTER_NAME).message(2, struct => writeStruct(struct, attributes)))
  return writer.finish()
}

export interface HeaderMutation {
  readonly set: { readonly name: string; readonly value: string; readonly action: HeaderOption['action'] }[]
  readonly remove: string[]
}

export interface PartAnswer {
  readonly kind: 'part'
  readonly part: Part
  readonly headers: HeaderMutation
  /** null: the body stays. */
  readonly body: Buffer | null
  /** CONTINUE_AND_REPLACE: the body that is still to come goes, too. */
  readonly replaces: boolean
  readonly clearRouteCache: boolean
}

export interface ImmediateAnswer {
  readonly kind: 'immediate'
  readonly status: number
  readonly headers: HeaderMutation
  readonly body: Buffer
  readonly details: string
  /** -1: none. */
  readonly grpcStatus: number
}

export interface ProcessingAnswer {
  /** null: a message without an answer, which may prolong a timeout. */
  readonly answer: PartAnswer | ImmediateAnswer | null
  readonly metadata: Record<string, JsonValue> | null
  readonly mode: ModeOverride | null
  /** 0 = none. */
  readonly timeoutMs: number
}

/** Numbers of ProcessingMode's enums. */
export interface ModeOverride {
  readonly requestHeaders: number
  readonly responseHeaders: number
  readonly requestBody: number
  readonly responseBody: number
  readonly requestTrailers: number
  readonly responseTrailers: number
}

export function readAnswer(message: Buffer): ProcessingAnswer | null {
  const reader = new ProtobufReader(message)
  let answer: ProcessingAnswer['answer'] = null
  let metadata: ProcessingAnswer['metadata'] = null
  let mode: ModeOverride | null = null
  let timeoutMs = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field >= 1 && field <= 6) {
      answer = readPart(ANSWERS[field - 1]!, reader.nested())
      if (answer === null) return null
    } else if (field === 7) {
      answer = readImmediate(reader.nested())
      if (answer === null) return null
    } else if (field === 8) metadata = readStruct(reader.nested())
    else if (field === 9) mode = readMode(reader.nested())
    else if (field === 10) timeoutMs = readDuration(reader.nested())
  }
  return reader.failed ? null : { answer, metadata, mode, timeoutMs }
}

function readPart(part: Part, reader: ProtobufReader): PartAnswer | null {
  const found = { headers: { set: [], remove: [] } as HeaderMutation, body: null as Buffer | null, replaces: false, clearRouteCache: false }
  const isTrailers = part === Part.RequestTrailers || part === Part.ResponseTrailers
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field !== 1) continue
    const inner = reader.nested()
    if (!(isTrailers ? readHeaderMutation(inner, found.headers) : readCommon(inner, found))) return null
  }
  return reader.failed ? null : { kind: 'part', part, ...found }
}

/** CommonResponse. */
function readCommon(
  reader: ProtobufReader,
  found: { headers: HeaderMutation; body: Buffer | null; replaces: boolean; clearRouteCache: boolean },
): boolean {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) found.replaces = reader.value === 1
    else if (field === 2) {
      if (!readHeaderMutation(reader.nested(), found.headers)) return false
    } else if (field === 3) {
      const mutation = reader.nested()
      for (let kind = mutation.next(); kind !== 0; kind = mutation.next()) {
        if (kind === 1) found.body = Buffer.from(mutation.data)
        else if (kind === 2 && mutation.value !== 0) found.body = Buffer.alloc(0)
      }
      if (mutation.failed) return false
    } else if (field === 5) found.clearRouteCache = reader.value !== 0
  }
  return !reader.failed
}

const ACTIONS: readonly HeaderOption['action'][] = [
  'APPEND_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
]

function readHeaderMutation(reader: ProtobufReader, into: HeaderMutation): boolean {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      const option = readOption(reader.nested())
      if (option === null) return false
      into.set.push(option)
    } else if (field === 2) into.remove.push(reader.text().toLowerCase())
    if (into.set.length > MAX_MUTATIONS || into.remove.length > MAX_MUTATIONS) return false
  }
  return !reader.failed
}

/** HeaderValueOption {header, append (BoolValue), append_action}. */
function readOption(reader: ProtobufReader): HeaderMutation['set'][number] | null {
  let name = ''
  let value = ''
  let append = false
  let action = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      const header = reader.nested()
      for (let part = header.next(); part !== 0; part = header.next()) {
        if (part === 1) name = header.text()
        else if ((part === 2 || part === 3) && header.data.length > 0) value = header.byteString()
      }
      if (header.failed) return null
    } else if (field === 2) {
      const wrapper = reader.nested()
      for (let part = wrapper.next(); part !== 0; part = wrapper.next()) if (part === 1) append = wrapper.value !== 0
    } else if (field === 3) action = reader.value
  }
  if (reader.failed) return null
  // As in Envoy: the field's zero means that it was not set, and then `append` counts, which is false unless it says otherwise.
  const chosen = action === 0 ? (append ? 0 : 2) : action
  return { name, value, action: ACTIONS[chosen] ?? 'OVERWRITE_IF_EXISTS_OR_ADD' }
}

function readImmediate(reader: ProtobufReader): ImmediateAnswer | null {
  const found = { status: 200, headers: { set: [], remove: [] } as HeaderMutation, body: Buffer.alloc(0), details: '', grpcStatus: -1 }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      const status = reader.nested()
      for (let part = status.next(); part !== 0; part = status.next()) if (part === 1) found.status = status.value
    } else if (field === 2) {
      if (!readHeaderMutation(reader.nested(), found.headers)) return null
    } else if (field === 3) found.body = Buffer.from(reader.data)
    else if (field === 4) {
      const status = reader.nested()
      found.grpcStatus = 0
      for (let part = status.next(); part !== 0; part = status.next()) if (part === 1) found.grpcStatus = status.value
    } else if (field === 5) found.details = reader.text()
  }
  if (reader.failed || found.status < 200 || found.status > 599) return null
  return { kind: 'immediate', ...found }
}

function readMode(reader: ProtobufReader): ModeOverride {
  const numbers = [0, 0, 0, 0, 0, 0, 0]
  for (let field = reader.next(); field !== 0; field = reader.next()) if (field <= 6) numbers[field] = reader.value
  const [, requestHeaders = 0, responseHeaders = 0, requestBody = 0, responseBody = 0, requestTrailers = 0, responseTrailers = 0] = numbers
  return { requestHeaders, responseHeaders, requestBody, responseBody, requestTrailers, responseTrailers }
}

function readDuration(reader: ProtobufReader): number {
  let ms = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) ms += reader.value * 1000
    else if (field === 2) ms += reader.value / 1e6
  }
  return ms
}
