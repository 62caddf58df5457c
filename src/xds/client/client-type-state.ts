// What the ADS client knows about one resource type: the names it wants, what it has told the server on this stream, the version it
// holds of each resource. Used by client.ts only. Invariant: `versions` holds a name exactly while the handler
// has an accepted resource of that name, so it is what `initial_resource_versions` may claim after a reconnect.

import { create } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import type { Status } from '../gen/google/rpc/status_pb.js'
import { VIRTUAL_HOST_TYPE } from '../type-urls.js'

/** An answer waiting to be sent: an ACK, or with `error` a NACK. */
export interface PendingAck {
  readonly typeUrl: string
  readonly nonce: string
  readonly error: Status | null
}

export class ClientTypeState {
  readonly names = new Set<string>()
  wildcard = false
  /** Name -> version of the resources accepted. */
  readonly versions = new Map<string, string>()
  /** Names that were refused and of which there is no accepted version: when they are gone, the handler is told of that too. */
  readonly refused = new Set<string>()
  /** Name -> when its time to live ends, ms since the epoch. */
  readonly expiries = new Map<string, number>()
  /** Last accepted `version_info` (state of the world). */
  acceptedVersion = ''
  /** Last refused `version_info`, and how often in a row (state of the world). */
  refusals = { version: '', count: 0 }
  private namesChanged = false
  /** Names that came or went since the last request told of names. A name on demand must not cost a look at all others. */
  private readonly touched = new Set<string>()
  private toldAnything = false
  private toldWildcard: 'no' | 'legacy' | 'named' = 'no'
  private told = new Set<string>()
  private readonly renew = new Set<string>()
  private nonce = ''

  constructor(readonly typeUrl: string) {}

  get wanted(): boolean {
    return this.wildcard || this.names.size > 0
  }

  /** There are subscription changes that no request has told yet. */
  get untold(): boolean {
    return this.namesChanged
  }

  wants(name: string): boolean {
    return this.wildcard || this.names.has(name)
  }

  add(names: readonly string[] | 'wildcard'): void {
    if (names === 'wildcard') this.wildcard = true
    else {
      for (const name of names) {
        // Given up and wanted again before the server heard of the first: what was held is gone, so it must be sent once more.
        if (!this.names.has(name) && this.told.has(name)) this.renew.add(name)
        this.names.add(name)
        this.touched.add(name)
      }
    }
    this.namesChanged = true
  }

  /** Takes names (or the wildcard) away and drops what is held of resources that nothing wants any more. */
  remove(names: readonly string[] | 'wildcard'): void {
    if (names === 'wildcard') this.wildcard = false
    else {
      for (const name of names) {
        this.names.delete(name)
        this.renew.delete(name)
        this.touched.add(name)
      }
    }
    this.namesChanged = true
    for (const name of names === 'wildcard' ? this.versions.keys() : names) {
      if (!this.wants(name)) this.forget(name)
    }
  }

  /** Everything that the handler has heard of. */
  heardOf(): string[] {
    return [...this.versions.keys(), ...this.refused]
  }

  hold(name: string, version: string): void {
    this.refused.delete(name)
    this.versions.set(name, version)
  }

  forget(name: string): void {
    this.versions.delete(name)
    this.refused.delete(name)
    this.expiries.delete(name)
  }

  private setTold(): void {
    if (!this.toldAnything) this.told = new Set(this.names)
    else
      for (const name of this.touched) {
        if (this.names.has(name)) this.told.add(name)
        else this.told.delete(name)
      }
    this.touched.clear()
    this.namesChanged = false
    this.toldAnything = true
  }

  /** A new stream has begun: the server knows nothing. */
  resetStream(): void {
    this.toldAnything = false
    this.toldWildcard = 'no'
    this.told = new Set()
    this.renew.clear()
    this.nonce = ''
  }

  received(nonce: string): void {
    this.nonce = nonce
  }

  /** The next delta request, or null if there is nothing to say. */
  deltaRequest(ack: PendingAck | null): DeltaDiscoveryRequest | null {
    const first = !this.toldAnything
    const subscribe: string[] = []
    const unsubscribe: string[] = []
    for (const name of first ? this.names : this.touched) {
      const had = this.told.has(name)
      if (!this.names.has(name)) {
        if (had) unsubscribe.push(name)
      } else if (!had || this.renew.has(name)) subscribe.push(name)
    }
    if (this.wildcard) {
      // The empty list is what every server knows (Consul knows no `*`); next to names the wildcard must be spelled out. Virtual hosts on
      // demand are asked for by their names alone, as Envoy does: the server has heard the wildcard before.
      if (this.toldWildcard === 'no' && (!first || subscribe.length > 0)) subscribe.unshift('*')
      else if (this.toldWildcard === 'legacy' && subscribe.length > 0 && this.typeUrl !== VIRTUAL_HOST_TYPE) subscribe.unshift('*')
    } else if (this.toldWildcard !== 'no') {
      unsubscribe.unshift('*')
    }
    if (!ack && (first ? !this.wanted : subscribe.length === 0 && unsubscribe.length === 0)) return null
    const request = create(DeltaDiscoveryRequestSchema, {
      typeUrl: this.typeUrl,
      resourceNamesSubscribe: subscribe,
      resourceNamesUnsubscribe: unsubscribe,
      responseNonce: ack?.nonce ?? '',
      errorDetail: ack?.error ?? undefined,
    })
    if (first) for (const [name, version] of this.versions) if (this.wants(name)) request.initialResourceVersions[name] = version
    if (!this.wildcard) this.toldWildcard = 'no'
    else if (subscribe[0] === '*') this.toldWildcard = 'named'
    else if (this.toldWildcard === 'no') this.toldWildcard = 'legacy'
    this.renew.clear()
    this.setTold()
    return request
  }

  /** The next state-of-the-world request, or null if there is nothing to say. */
  sotwRequest(ack: PendingAck | null): DiscoveryRequest | null {
    const changed = this.namesChanged || (this.toldWildcard !== 'no') !== this.wildcard
    if (!ack && (this.toldAnything ? !changed : !this.wanted)) return null
    const everNamed = this.told.size > 0 || this.toldWildcard === 'named' || (this.toldAnything && this.toldWildcard === 'no')
    const spellOut = this.wildcard && (this.names.size > 0 || everNamed)
    this.toldWildcard = !this.wildcard ? 'no' : spellOut ? 'named' : 'legacy'
    const names = [...this.names].filter(name => !this.renew.has(name))
    this.setTold()
    if (this.renew.size > 0) {
      // Named anew in a second request: a server answers only names that were not in the list before.
      this.namesChanged = true
      this.renew.clear()
    }
    return create(DiscoveryRequestSchema, {
      typeUrl: this.typeUrl,
      resourceNames: spellOut ? ['*', ...names] : names,
      versionInfo: this.acceptedVersion,
      responseNonce: ack?.nonce ?? this.nonce,
      errorDetail: ack?.error ?? undefined,
    })
  }
}
