// Server side of one resource type on one incremental (delta) xDS stream. Driven by server-stream.ts. Semantics: xDS protocol,
// "Incremental xDS", plus what Consul's server does: re-subscribing forces a resend, and a refused version waits for the next snapshot.
// Invariant: `known` holds only names in the subscription's scope, so it is bounded by the snapshot and the subscription limit.

import type { Push, PushPart, TypeState } from './server-type-state.js'
import type { Resource } from './snapshot.js'

// What the client has under a name, when it is not a version (a hex hash never equals these):
const RESEND = '' // must be told again, whatever it has
const REFUSED = '?' // it refused our last word; it may have the version before or part of the new one
const ABSENT = '-' // it has been told that there is none

export class DeltaTypeState implements TypeState {
  pendingNonce: string | null = null
  wildcard = false

  private readonly names = new Set<string>()
  private readonly known = new Map<string, string>()
  private readonly refusedVersions = new Map<string, string>()
  private readonly inFlight = new Map<string, string>()
  private upserts: Resource[] = []
  private answers: string[] = []
  private removals: string[] = []
  private dirty = true
  private first = true

  constructor(
    readonly typeUrl: string,
    private readonly maxResponseBytes: number,
  ) {}

  get hasUpserts(): boolean {
    return this.first || this.upserts.length > 0 || this.answers.length > 0
  }

  get hasRemovals(): boolean {
    return this.removals.length > 0
  }

  get refused(): boolean {
    return this.refusedVersions.size > 0
  }

  get subscriptionCount(): number {
    return this.names.size
  }

  /**
   * Applies one request's subscription changes. The first request of a stream with no names is the legacy wildcard; later ones only
   * add or take away. `initialVersions` (first request only) is what the client kept from an earlier stream.
   */
  subscribe(subscribe: readonly string[], unsubscribe: readonly string[], initialVersions: ReadonlyMap<string, string> | null): void {
    if (initialVersions && subscribe.length === 0) this.setWildcard(true)
    for (const name of subscribe) {
      if (name === '*') {
        this.setWildcard(true)
        continue
      }
      this.names.add(name)
      this.forget(name)
    }
    for (const name of unsubscribe) {
      if (name === '*') {
        this.setWildcard(false)
        continue
      }
      if (!this.names.delete(name)) continue
      // The client may have dropped a resource that the wildcard still covers, so it is told again, one way or the other.
      if (this.wildcard) this.forget(name)
      else this.drop(name)
    }
    if (initialVersions) {
      for (const [name, version] of initialVersions) {
        if (this.wildcard || this.names.has(name)) this.known.set(name, version)
      }
    }
    if (subscribe.length > 0 || unsubscribe.length > 0) this.dirty = true
  }

  prepare(current: ReadonlyMap<string, Resource>): void {
    if (!this.dirty || this.pendingNonce !== null) return
    this.dirty = false
    this.upserts = []
    this.answers = []
    this.removals = []
    if (this.wildcard) for (const resource of current.values()) this.compare(resource)
    for (const name of this.names) {
      const resource = current.get(name)
      if (!resource) this.compareAbsent(name, this.known.get(name) ?? RESEND)
      else if (!this.wildcard) this.compare(resource)
    }
    for (const [name, version] of this.known) {
      if (current.has(name) || this.names.has(name)) continue
      if (version === ABSENT) this.known.delete(name)
      else this.compareAbsent(name, version)
    }
  }

  private compare(resource: Resource): void {
    if (this.known.get(resource.name) === resource.version || this.refusedVersions.get(resource.name) === resource.version) return
    this.upserts.push(resource)
  }

  private compareAbsent(name: string, version: string): void {
    if (version === ABSENT || this.refusedVersions.get(name) === ABSENT) return
    // A client that asked and waits is answered at once; what it may be using is removed in the removal phase.
    if (version === RESEND) this.answers.push(name)
    else this.removals.push(name)
  }

  send(part: PushPart, nonce: string): Push {
    this.first = false
    this.pendingNonce = nonce
    let resources: Resource[] = []
    let removed: string[] = []
    if (part !== 'removals') {
      resources = this.takeUpserts()
      removed = this.answers
      this.answers = []
    }
    if (part !== 'upserts') {
      removed = removed.concat(this.removals)
      this.removals = []
    }
    for (const resource of resources) this.inFlight.set(resource.name, resource.version)
    for (const name of removed) this.inFlight.set(name, ABSENT)
    return { resources, removed, version: '', changed: resources }
  }

  // What does not fit in one message waits for its ACK: the rest stays in `upserts`.
  private takeUpserts(): Resource[] {
    let bytes = 0
    let count = 0
    for (const resource of this.upserts) {
      bytes += resource.any.value.length + resource.any.typeUrl.length + resource.name.length + 128
      if (count > 0 && bytes > this.maxResponseBytes) break
      count++
    }
    return this.upserts.splice(0, count)
  }

  ack(): void {
    this.pendingNonce = null
    for (const [name, version] of this.inFlight) {
      this.refusedVersions.delete(name)
      if (version === ABSENT && !this.names.has(name)) this.known.delete(name)
      else this.known.set(name, version)
    }
    this.inFlight.clear()
  }

  nack(): readonly string[] {
    this.pendingNonce = null
    const names = [...this.inFlight.keys()]
    for (const [name, version] of this.inFlight) {
      this.refusedVersions.set(name, version)
      this.known.set(name, REFUSED)
    }
    this.inFlight.clear()
    return names
  }

  wipe(names: readonly string[]): void {
    for (const name of names) {
      if (!this.names.has(name) && !this.known.has(name) && !this.inFlight.has(name)) continue
      this.forget(name)
      this.dirty = true
    }
  }

  snapshotChanged(differs: boolean): void {
    if (!differs && !this.refused) return
    this.refusedVersions.clear()
    this.dirty = true
  }

  ackedVersions(): ReadonlyMap<string, string> {
    const acked = new Map<string, string>()
    for (const [name, version] of this.known) {
      if (version !== RESEND && version !== REFUSED && version !== ABSENT) acked.set(name, version)
    }
    return acked
  }

  private forget(name: string): void {
    this.inFlight.delete(name)
    this.refusedVersions.delete(name)
    this.known.set(name, RESEND)
  }

  private drop(name: string): void {
    this.inFlight.delete(name)
    this.refusedVersions.delete(name)
    this.known.delete(name)
  }

  private setWildcard(wildcard: boolean): void {
    if (this.wildcard === wildcard) return
    this.wildcard = wildcard
    this.dirty = true
    if (wildcard) return
    for (const name of [...this.known.keys(), ...this.inFlight.keys()]) if (!this.names.has(name)) this.drop(name)
  }
}
