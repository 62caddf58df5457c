// Unpacks the Any of an extension point: by type URL, through xds and udpa TypedStruct, checking the message found. Called by every
// decoder that has a typed_config. A type we do not know is not an error here: the caller names the filter in its message.

import { type DescMessage, fromBinary, type Message, type MessageShape } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { FilterSettings } from '../../model/custom-filter.js'
import type { TypedStruct as UdpaTypedStruct } from '../gen/udpa/type/v1/typed_struct_pb.js'
import type { TypedStruct } from '../gen/xds/type/v3/typed_struct_pb.js'
import type { Ctx } from './field-path.js'
import { messageFromJson } from './json-message.js'
import { checkMessage } from './message-check.js'
import { schemaOf } from './schemas.js'
import { plainObject } from './values.js'

export interface Unpacked {
  /** Full message name, e.g. `envoy.extensions.filters.http.router.v3.Router`. */
  readonly typeName: string
  /** As it was given, for messages. */
  readonly typeUrl: string
  /** null when the type is unknown, or its bytes were bad (then the error is recorded). */
  readonly message: Message | null
  readonly known: boolean
  /** What a type that we do not know holds: for whoever reads it. */
  readonly settings: FilterSettings | null
}

const TYPED_STRUCTS: ReadonlySet<string> = new Set(['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct'])

/** The message name in a type URL: what follows the last slash. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
}

/** Parses bytes, or records why they cannot be parsed. */
export function parseBytes<D extends DescMessage>(desc: D, bytes: Uint8Array, ctx: Ctx): MessageShape<D> | null {
  try {
    return fromBinary(desc, bytes)
  } catch (error) {
    ctx.error(`cannot parse ${desc.typeName}: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

export function unpackAny(any: Any, ctx: Ctx): Unpacked {
  const typeName = typeNameOf(any.typeUrl)
  const desc = schemaOf(typeName)
  if (desc === undefined)
    return { typeName, typeUrl: any.typeUrl, message: null, known: false, settings: { kind: 'bytes', value: any.value } }
  const message = parseBytes(desc, any.value, ctx) as Message | null
  if (message === null) return { typeName, typeUrl: any.typeUrl, message: null, known: true, settings: null }
  if (TYPED_STRUCTS.has(typeName)) return unpackTypedStruct(message as TypedStruct | UdpaTypedStruct, ctx)
  checkMessage(desc, message, ctx)
  return { typeName, typeUrl: any.typeUrl, message, known: true, settings: null }
}

function unpackTypedStruct(struct: TypedStruct | UdpaTypedStruct, ctx: Ctx): Unpacked {
  const typeName = typeNameOf(struct.typeUrl)
  const desc = TYPED_STRUCTS.has(typeName) ? undefined : schemaOf(typeName)
  if (desc === undefined)
    return {
      typeName,
      typeUrl: struct.typeUrl,
      message: null,
      known: false,
      settings: { kind: 'json', value: plainObject(struct.value ?? {}) },
    }
  const message = messageFromJson(desc, struct.value ?? {}, ctx.at('value'))
  checkMessage(desc, message, ctx.at('value'))
  return { typeName, typeUrl: struct.typeUrl, message, known: true, settings: null }
}

/** For places that take one type: the message, or null after recording the error. */
export function unpackAs<D extends DescMessage>(any: Any | undefined, desc: D, ctx: Ctx): MessageShape<D> | null {
  if (any === undefined) {
    ctx.error('value is required')
    return null
  }
  const unpacked = unpackAny(any, ctx)
  if (unpacked.message !== null && unpacked.typeName === desc.typeName) return unpacked.message as MessageShape<D>
  if (unpacked.message !== null || !unpacked.known) ctx.error(`expected ${desc.typeName}, got ${describeType(unpacked.typeUrl)}`)
  return null
}

export function describeType(typeUrl: string): string {
  return typeUrl === '' ? 'no type' : typeUrl
}
