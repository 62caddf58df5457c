// What came over xDS, raw, for /config_dump and /config_status: accepted versions with their time, and the last refused one with its errors.
// Written by XdsBridge, read by the admin. Bounded by what is subscribed.

import type { ConfigError } from '../model/config-error.js'

export interface RawResource {
  readonly name: string
  readonly version: string
  readonly any: { readonly typeUrl: string; readonly value: Uint8Array }
}

export interface TrackedResource {
  readonly name: string
  accepted: { readonly resource: RawResource; readonly at: Date } | null
  refused: { readonly resource: RawResource; readonly at: Date; readonly errors: readonly ConfigError[] } | null
}

/** Of one type. Accepted ones are bounded by the xDS client; refused names beyond this are in the log alone. */
export const MAX_TRACKED = 250_000

export class TrackedResources {
  private readonly types = new Map<string, Map<string, TrackedResource>>()
  private readonly versions = new Map<string, string>()
  /** Fields of a resource that were accepted without effect. */
  private readonly idleFields = new WeakMap<RawResource, readonly string[]>()

  /** The version that the server gave to all of a type's resources together. */
  versionOf(typeUrl: string): string {
    return this.versions.get(typeUrl) ?? ''
  }

  /** An update of which something was taken. */
  settle(typeUrl: string, version: string): void {
    this.versions.set(typeUrl, version)
  }

  accept(typeUrl: string, resource: RawResource): void {
    const entry = this.entry(typeUrl, resource.name)
    entry.accepted = { resource, at: new Date() }
    entry.refused = null
  }

  refuse(typeUrl: string, resource: RawResource, errors: readonly ConfigError[]): void {
    const known = this.types.get(typeUrl)
    if (known !== undefined && known.size >= MAX_TRACKED && !known.has(resource.name)) return
    this.entry(typeUrl, resource.name).refused = { resource, at: new Date(), errors }
  }

  /** Said by the decoder, before the resource is accepted or refused. */
  noteWithoutEffect(resource: RawResource, fields: readonly string[]): void {
    if (fields.length > 0) this.idleFields.set(resource, fields)
  }

  withoutEffect(resource: RawResource): readonly string[] {
    return this.idleFields.get(resource) ?? []
  }

  remove(typeUrl: string, name: string): void {
    this.types.get(typeUrl)?.delete(name)
  }

  clear(typeUrl: string): void {
    this.types.delete(typeUrl)
  }

  typeUrls(): Iterable<string> {
    return this.types.keys()
  }

  of(typeUrl: string): readonly TrackedResource[] {
    return [...(this.types.get(typeUrl)?.values() ?? [])]
  }

  private entry(typeUrl: string, name: string): TrackedResource {
    let byName = this.types.get(typeUrl)
    if (byName === undefined) {
      byName = new Map()
      this.types.set(typeUrl, byName)
    }
    let entry = byName.get(name)
    if (entry === undefined) {
      entry = { name, accepted: null, refused: null }
      byName.set(name, entry)
    }
    return entry
  }
}
