// What one proxy should have: resources by type and name, each with a content version. The control plane builds snapshots, the ADS
// server compares and sends them. Invariant: two resources of one name and type are equal exactly when their versions are, so nothing
// here or in the server ever compares bytes or decodes a message.

import { createHash } from 'node:crypto'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** Resources that a parent makes the client (re)warm: a Cluster's endpoints (its name or EDS service name), a Listener's route tables. */
export interface ResourceChildren {
  readonly typeUrl: string
  readonly names: readonly string[]
}

/** One packed resource. `any.value` is the serialised message of type `any.typeUrl` and must not be changed afterwards. */
export interface Resource {
  readonly name: string
  /** Hex SHA-256 of the bytes. The caller serialises deterministically: the same meaning gives the same bytes. */
  readonly version: string
  readonly any: { readonly typeUrl: string; readonly value: Uint8Array }
  /** The resource as it stands in a delta response, field and length before it: written once, however many clients get it. Holds `any.value`. */
  readonly deltaField: Uint8Array
  /** Resent by the server after this resource is sent, even when unchanged (a re-warmed cluster waits for its endpoints again, Envoy issue 13009). */
  readonly children: readonly ResourceChildren[]
}

/** Type URL -> resource name -> resource. A missing type is the same as an empty one. */
export type Snapshot = ReadonlyMap<string, ReadonlyMap<string, Resource>>

/** Packs the serialised message `bytes` as a resource; the version is computed here. */
export function makeResource(name: string, typeUrl: string, bytes: Uint8Array, children: readonly ResourceChildren[] = []): Resource {
  const version = createHash('sha256').update(bytes).digest('hex')
  const deltaField = writeDeltaField(name, version, typeUrl, bytes)
  return { name, version, any: { typeUrl, value: deltaField.subarray(deltaField.length - bytes.length) }, deltaField, children }
}

/** `finish` makes it ready for the next: the buffer of a new one, beyond the heap, costs more than all that is written into it. */
const WRITER = new BinaryWriter()

/** Field `resources` of a DeltaDiscoveryResponse: a Resource of name, version and Any. The bytes come last, so that they are copied once. */
function writeDeltaField(name: string, version: string, typeUrl: string, bytes: Uint8Array): Uint8Array {
  const any = WRITER.tag(1, WireType.LengthDelimited).string(typeUrl)
  const anyHead = any.tag(2, WireType.LengthDelimited).uint32(bytes.length).finish()
  const resource = WRITER.tag(1, WireType.LengthDelimited).string(version).tag(3, WireType.LengthDelimited).string(name)
  const resourceHead = resource
    .tag(2, WireType.LengthDelimited)
    .uint32(anyHead.length + bytes.length)
    .finish()
  const length = resourceHead.length + anyHead.length + bytes.length
  const head = WRITER.tag(2, WireType.LengthDelimited).uint32(length).finish()
  const field = new Uint8Array(head.length + length)
  field.set(head)
  field.set(resourceHead, head.length)
  field.set(anyHead, head.length + resourceHead.length)
  field.set(bytes, field.length - bytes.length)
  return field
}

/** Groups resources by their type URL; of two with one type and name the later wins. */
export function makeSnapshot(resources: Iterable<Resource>): Snapshot {
  const types = new Map<string, Map<string, Resource>>()
  for (const resource of resources) {
    let byName = types.get(resource.any.typeUrl)
    if (!byName) types.set(resource.any.typeUrl, (byName = new Map()))
    byName.set(resource.name, resource)
  }
  return types
}

const NONE: ReadonlyMap<string, Resource> = new Map()

/** The resources of one type, empty if the snapshot has none (or is undefined). */
export function resourcesOf(snapshot: Snapshot | undefined, typeUrl: string): ReadonlyMap<string, Resource> {
  return snapshot?.get(typeUrl) ?? NONE
}

/** Whether two sets hold the same names at the same versions. */
export function resourcesEqual(a: ReadonlyMap<string, Resource>, b: ReadonlyMap<string, Resource>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [name, resource] of a) {
    if (b.get(name)?.version !== resource.version) return false
  }
  return true
}

/** Whether a client that has one snapshot needs nothing to have the other. */
export function snapshotsEqual(a: Snapshot, b: Snapshot): boolean {
  if (a === b) return true
  for (const typeUrl of a.keys()) if (!resourcesEqual(resourcesOf(a, typeUrl), resourcesOf(b, typeUrl))) return false
  for (const typeUrl of b.keys()) if (!a.has(typeUrl) && resourcesOf(b, typeUrl).size > 0) return false
  return true
}
