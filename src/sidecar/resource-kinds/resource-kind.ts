// The contract of a resource type: what becomes of one resource that came, was removed or was refused, and what an update counts. One
// file a type implements it; XdsBridge calls them and knows no type. Invariant: nothing here throws for bad config; the errors are the NACK.

import type { Steps } from '../../io/slices.js'
import type { ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { XdsResource, XdsUpdate } from '../../xds/client/client.js'

/** What an update came to. */
export interface UpdateOutcome {
  readonly update: XdsUpdate
  /** Where it comes from. */
  readonly source: ConfigSource
  /** Names of the resources that were refused. */
  readonly refused: ReadonlySet<string>
  readonly durationMs: number
}

export type Applied = readonly ConfigError[] | Promise<readonly ConfigError[]>

export interface ResourceKind {
  readonly typeUrl: string
  /** Names that are gone make room before new ones come (an address that moves from one listener to another). */
  readonly removesFirst: boolean
  /** Decodes and applies one resource; the reasons why it was not. `source`: where it comes from. Steps where it may take long. */
  apply(resource: XdsResource, source: ConfigSource): Applied | Steps<Applied>
  remove(name: string, source: ConfigSource): void
  /** Whether the name is that of a resource of the bootstrap. What comes by it is passed over, as in Envoy: neither refused nor in use. */
  isStatic?(name: string): boolean
  /** A version came that was refused: the start does not wait for it. */
  refused(name: string): void
  /** All of an update has been applied or refused. */
  settled(outcome: UpdateOutcome): void
}
