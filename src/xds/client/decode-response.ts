// Takes discovery responses apart: names, versions and bytes of the resources, and everything that is wrong with the envelope (wrong
// type, two of one name, a name that is not the one inside), as rejections. Called by the ADS client and file subscriptions; what is
// inside a resource is the update handler's to judge. Invariant: one bad resource costs no other its place in the update.

import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { type Any, AnySchema, type Duration } from '@bufbuild/protobuf/wkt'
import { finish, type Steps } from '../../io/slices.js'
import {
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
  ResourceSchema,
  type Resource as WireResource,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { takeOut } from '../message-parts.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  isFullStateType,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
  WRAPPED_RESOURCE_TYPE,
} from '../type-urls.js'

/** One thing wrong with a resource: the path of the field inside it, and why. */
export interface FieldError {
  readonly path: string
  readonly reason: string
}

/** A resource that is refused, with every field that is wrong. */
export interface Rejection {
  readonly name: string
  readonly errors: readonly FieldError[]
}

/** One resource of an update, still packed. */
export interface XdsResource {
  readonly name: string
  readonly version: string
  readonly any: { readonly typeUrl: string; readonly value: Uint8Array }
  /** Other names that it was asked for by (virtual hosts). */
  readonly aliases?: readonly string[]
}

/** What changed, as handed to the update handler. */
export interface XdsUpdate {
  readonly typeUrl: string
  readonly resources: readonly XdsResource[]
  /** Names that are gone or do not exist. */
  readonly removed: readonly string[]
  /** Names that were asked for, and that the server knows nothing under (virtual hosts). */
  readonly absent?: readonly string[]
  /** `system_version_info` (delta) or `version_info` (state of the world); may be empty. */
  readonly systemVersion: string
}

/** The handler's verdict; nothing, or an empty list, accepts all. Resources not named are taken as applied. */
export interface XdsVerdict {
  readonly rejected: readonly Rejection[]
}

/**
 * Called with each update; must not throw for bad config but say so in the verdict. While a verdict is awaited nothing more is read
 * from the stream and nothing is sent on it.
 */
export type XdsUpdateHandler = (update: XdsUpdate) => XdsVerdict | undefined | Promise<XdsVerdict | undefined>

export interface DecodedResponse {
  readonly resources: readonly XdsResource[]
  readonly removed: readonly string[]
  readonly absent: readonly string[]
  readonly rejected: readonly Rejection[]
  /** Time to live of resources that carry one. A name that is only in here is a heartbeat: nothing but its time is renewed. */
  readonly ttlsMs: ReadonlyMap<string, number>
}

// Types whose inner name must be the resource's name. Virtual hosts and extension configs are addressed by other names.
const NAMED_TYPES: ReadonlySet<string> = new Set([CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE])

/** The resource's own name: string field 1 of every resource message (the last occurrence counts), '' if absent. Undefined if not protobuf. */
export function innerName(bytes: Uint8Array): string | undefined {
  let name = ''
  try {
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag()
      if (field === 1 && wireType === WireType.LengthDelimited) name = reader.string()
      else reader.skip(wireType, field)
    }
    return reader.pos === reader.len ? name : undefined
  } catch {
    return undefined
  }
}

function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6
}

// Collects one response's resources; finish() drops names that came twice.
class Collector {
  private readonly resources = new Map<string, XdsResource>()
  private readonly rejected: Rejection[] = []
  private readonly absent: string[] = []
  private readonly seen = new Set<string>()
  private readonly duplicates = new Set<string>()
  private readonly ttlsMs = new Map<string, number>()

  constructor(private readonly typeUrl: string) {}

  add(index: number, name: string, version: string, any: Any | undefined, envelope: WireResource | null): void {
    const inside = any && any.typeUrl === this.typeUrl ? innerName(any.value) : ''
    const known = name || inside || ''
    const label = known || `resources[${index}]`
    const errors: FieldError[] = []
    const aliases = envelope?.aliases ?? []
    if (any && any.typeUrl !== this.typeUrl) {
      errors.push({ path: 'resource.type_url', reason: `is ${any.typeUrl || 'empty'}, the response is of type ${this.typeUrl}` })
    } else if (inside === undefined) {
      errors.push({ path: 'resource.value', reason: `is not a serialised ${this.typeUrl}` })
    } else if (any && name && inside && inside !== name && NAMED_TYPES.has(this.typeUrl) && !name.startsWith('xdstp:')) {
      errors.push({ path: 'name', reason: `is ${name}, but the resource inside names itself ${inside}` })
    }
    if (any && known === '' && errors.length === 0 && this.typeUrl !== LISTENER_TYPE) {
      errors.push({ path: 'name', reason: 'is empty' })
    }
    if (aliases.length > 0 && this.typeUrl !== VIRTUAL_HOST_TYPE) {
      errors.push({ path: 'aliases', reason: 'are not supported for this type' })
    }
    const isAbsent = envelope !== null && any === undefined && !envelope.ttl
    if (isAbsent && this.typeUrl !== VIRTUAL_HOST_TYPE) errors.push({ path: 'resource', reason: 'is missing' })
    if (this.seen.has(label)) this.duplicates.add(label)
    this.seen.add(label)
    if (errors.length > 0) {
      this.rejected.push({ name: label, errors })
      return
    }
    if (envelope?.ttl) this.ttlsMs.set(known, durationMs(envelope.ttl))
    if (isAbsent) this.absent.push(known, ...aliases)
    if (any)
      this.resources.set(label, {
        name: known,
        version,
        any: { typeUrl: any.typeUrl, value: any.value },
        ...(aliases.length === 0 ? {} : { aliases }),
      })
  }

  /** Its bytes are no message of type `schema`. */
  unreadable(index: number, schema: DescMessage): void {
    this.rejected.push({ name: `resources[${index}]`, errors: [{ path: 'resource', reason: `is not a serialised ${schema.typeName}` }] })
  }

  finish(removed: readonly string[]): DecodedResponse {
    const gone: string[] = []
    for (const name of new Set(removed)) {
      if (this.seen.has(name)) this.reject(name, { path: 'name', reason: 'is both among resources and removed_resources' })
      else gone.push(name)
    }
    for (const name of this.duplicates) this.reject(name, { path: 'name', reason: 'occurs more than once in one response' })
    return { resources: [...this.resources.values()], removed: gone, absent: this.absent, rejected: this.rejected, ttlsMs: this.ttlsMs }
  }

  private reject(name: string, error: FieldError): void {
    this.resources.delete(name)
    this.ttlsMs.delete(name)
    this.rejected.push({ name, errors: [error] })
  }
}

/** A response of a stream: `resources` are still the bytes of each, since thousands of them in one go would keep traffic waiting. */
export interface PackedResponse<M> {
  readonly envelope: M
  readonly resources: readonly Uint8Array[]
}

function reader<S extends DescMessage>(schema: S, resources: number): (bytes: Uint8Array) => PackedResponse<MessageShape<S>> {
  return bytes => {
    const { items, rest } = finish(takeOut(bytes, resources))
    return { envelope: fromBinary(schema, rest), resources: items }
  }
}

export const readDelta = reader(DeltaDiscoveryResponseSchema, DeltaDiscoveryResponseSchema.field.resources.number)
export const readStateOfTheWorld = reader(DiscoveryResponseSchema, DiscoveryResponseSchema.field.resources.number)

/** Null: the bytes are none. */
function parsed<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> | null {
  try {
    return fromBinary(schema, bytes)
  } catch {
    return null
  }
}

/** Takes a delta response apart, a resource at a time. */
export function* decodeDelta({ envelope: response, resources }: PackedResponse<DeltaDiscoveryResponse>): Steps<DecodedResponse> {
  const collector = new Collector(response.typeUrl)
  for (const [index, bytes] of resources.entries()) {
    const envelope = parsed(ResourceSchema, bytes)
    if (envelope === null) collector.unreadable(index, ResourceSchema)
    else collector.add(index, envelope.name, envelope.version, envelope.resource, envelope)
    yield
  }
  return collector.finish(response.removedResources)
}

/**
 * Takes a state-of-the-world response apart, unwrapping `Resource` envelopes. `known` are the names that the client has: for types
 * whose response is the whole state, those that it does not name are removed.
 */
export function decodeStateOfTheWorld(response: DiscoveryResponse, typeUrl: string, known: Iterable<string>): DecodedResponse {
  return finish(decodeWholeState(response, response.resources, typeUrl, known))
}

/** The same a resource at a time. */
export function decodeStateOfTheWorldInSteps(
  { envelope, resources }: PackedResponse<DiscoveryResponse>,
  typeUrl: string,
  known: Iterable<string>,
): Steps<DecodedResponse> {
  return decodeWholeState(envelope, anysOf(resources), typeUrl, known)
}

function* anysOf(resources: readonly Uint8Array[]): Iterable<Any | null> {
  for (const bytes of resources) yield parsed(AnySchema, bytes)
}

function* decodeWholeState(
  response: DiscoveryResponse,
  resources: Iterable<Any | null>,
  typeUrl: string,
  known: Iterable<string>,
): Steps<DecodedResponse> {
  const collector = new Collector(typeUrl)
  const named = new Set<string>()
  let unreadable = false
  let index = 0
  for (const any of resources) {
    const name = any === null ? null : addStateOfTheWorld(collector, index, any, typeUrl, response.versionInfo)
    if (any === null) collector.unreadable(index, AnySchema)
    if (name === null) unreadable = true
    else named.add(name)
    index++
    yield
  }
  const removed: string[] = []
  // What cannot be read may be any of them, so nothing is taken for removed then.
  if (isFullStateType(typeUrl) && !unreadable) for (const name of known) if (!named.has(name)) removed.push(name)
  return collector.finish(removed)
}

/** Its name; null where it cannot be read. */
function addStateOfTheWorld(collector: Collector, index: number, any: Any, typeUrl: string, versionInfo: string): string | null {
  if (any.typeUrl !== WRAPPED_RESOURCE_TYPE) {
    collector.add(index, '', versionInfo, any, null)
    return any.typeUrl === typeUrl ? (innerName(any.value) ?? null) : null
  }
  const envelope = parsed(ResourceSchema, any.value)
  if (envelope === null) {
    collector.add(index, '', '', any, null)
    return null
  }
  const name = envelope.name || (envelope.resource ? (innerName(envelope.resource.value) ?? '') : '')
  collector.add(index, name, envelope.version || versionInfo, envelope.resource, envelope)
  return name
}

/** Longest NACK message, in characters. */
export const MAX_NACK_MESSAGE = 16 * 1024

/** One line a bad field, `resource: path: reason`; cut at MAX_NACK_MESSAGE with the number of lines left out. */
export function rejectionMessage(rejected: readonly Rejection[]): string {
  const lines: string[] = []
  for (const { name, errors } of rejected) for (const { path, reason } of errors) lines.push(`${name}: ${path}: ${reason}`)
  let length = 0
  let kept = 0
  for (const line of lines) {
    if (kept > 0 && length + line.length > MAX_NACK_MESSAGE) break
    length += line.length + 1
    kept++
  }
  const message = lines.slice(0, kept).join('\n').slice(0, MAX_NACK_MESSAGE)
  return kept < lines.length ? `${message}\n... and ${lines.length - kept} more` : message
}
