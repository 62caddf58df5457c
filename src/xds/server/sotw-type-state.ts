// Server side of one resource type on one state-of-the-world xDS stream. Driven by server-stream.ts. Every response carries all
// resources of the subscription; for Cluster and Listener that makes what is missing removed. Invariant: clusters disappear only in the
// removal phase, so the upsert phase sends the new clusters together with those that are on their way out (make before break).

import { createHash } from 'node:crypto'
import { CLUSTER_TYPE } from '../type-urls.js'
import type { Push, PushPart, TypeState } from './server-type-state.js'
import type { Resource } from './snapshot.js'

type Resources = ReadonlyMap<string, Resource>

const NONE: Resources = new Map()

function contentVersion(resources: Resources): string {
  const hash = createHash('sha256')
  for (const name of [...resources.keys()].sort()) hash.update(`${name}\0${resources.get(name)!.version}\0`)
  return hash.digest('hex')
}

export class SotwTypeState implements TypeState {
  pendingNonce: string | null = null
  /** Nonce of the last response sent on this stream, empty before the first. */
  lastNonce = ''
  wildcard = false
  hasUpserts = false
  hasRemovals = false

  private names: ReadonlySet<string> = new Set()
  private everNamed = false
  private first = true
  private force = false
  private dirty = true
  private target: Resources = NONE
  private reduced: Resources = NONE
  private held: Resources = NONE
  private heldVersion = ''
  private inFlight: Resources = NONE
  private inFlightVersion = ''
  private refusedVersion = ''

  constructor(readonly typeUrl: string) {}

  get refused(): boolean {
    return this.refusedVersion !== ''
  }

  get subscriptionCount(): number {
    return this.names.size
  }

  /**
   * Applies the full list of names of one request. An empty list is the legacy wildcard until a name has been given once on this
   * stream (xDS protocol, "How the client specifies what resources to return"); a name that was not in the last list forces a response.
   */
  subscribe(list: readonly string[]): void {
    const wildcardBefore = this.wildcard
    const namesBefore = this.names
    const names = new Set(list)
    if (list.length > 0) this.everNamed = true
    this.wildcard = !this.everNamed || names.delete('*')
    this.names = names
    if (this.wildcard !== wildcardBefore) this.dirty = true
    if (this.wildcard && !wildcardBefore) this.force = true
    for (const name of names) if (!namesBefore.has(name)) this.force = true
    if (this.force) this.dirty = true
    if (!this.wildcard) this.dropHeldOutside(names)
  }

  private dropHeldOutside(names: ReadonlySet<string>): void {
    const kept = new Map(this.held)
    for (const name of this.held.keys()) if (!names.has(name)) kept.delete(name)
    if (kept.size === this.held.size) return
    this.held = kept
    if (this.heldVersion !== '') this.heldVersion = contentVersion(kept)
    this.dirty = true
  }

  prepare(current: Resources): void {
    if (!this.dirty || this.pendingNonce !== null) return
    this.dirty = false
    const scope = this.inScope(current)
    this.reduced = scope
    this.target = scope
    this.hasRemovals = false
    if (this.typeUrl === CLUSTER_TYPE) {
      const union = new Map(scope)
      for (const [name, resource] of this.held) if (!union.has(name)) union.set(name, resource)
      if (union.size > scope.size) {
        this.target = union
        this.hasRemovals = !this.refused
      }
    }
    const version = contentVersion(this.target)
    this.hasUpserts = this.first || this.force || (version !== this.heldVersion && version !== this.refusedVersion)
  }

  private inScope(current: Resources): Resources {
    if (this.wildcard) return current
    const scope = new Map<string, Resource>()
    for (const name of this.names) {
      const resource = current.get(name)
      if (resource) scope.set(name, resource)
    }
    return scope
  }

  send(part: PushPart, nonce: string): Push {
    const resources = part === 'upserts' ? this.target : this.reduced
    const changed: Resource[] = []
    for (const [name, resource] of resources) if (this.held.get(name)?.version !== resource.version) changed.push(resource)
    this.first = false
    this.force = false
    this.hasUpserts = false
    if (part !== 'upserts') this.hasRemovals = false
    this.pendingNonce = nonce
    this.lastNonce = nonce
    this.inFlight = resources
    this.inFlightVersion = contentVersion(resources)
    return { resources: [...resources.values()], removed: [], version: this.inFlightVersion, changed }
  }

  ack(): void {
    this.pendingNonce = null
    this.held = this.inFlight
    this.heldVersion = this.inFlightVersion
    this.refusedVersion = ''
    this.inFlight = NONE
  }

  nack(): readonly string[] {
    this.pendingNonce = null
    this.refusedVersion = this.inFlightVersion
    // The client may have taken part of it: nothing counts as held at a known version any more, though the names still are.
    this.heldVersion = ''
    this.hasRemovals = false
    const names = [...this.inFlight.keys()]
    this.inFlight = NONE
    return names
  }

  wipe(names: readonly string[]): void {
    if (!names.some(name => this.wildcard || this.names.has(name))) return
    this.force = true
    this.dirty = true
  }

  snapshotChanged(differs: boolean): void {
    if (!differs && !this.refused) return
    this.refusedVersion = ''
    this.dirty = true
  }

  ackedVersions(): ReadonlyMap<string, string> {
    const acked = new Map<string, string>()
    for (const [name, resource] of this.held) acked.set(name, resource.version)
    return acked
  }
}
