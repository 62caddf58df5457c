// What the catalog holds: nodes, service instances and checks with the indexes of their records, and the keys they are stored under. Types
// and key arithmetic only; used by the catalog, its readers and the shapes of the HTTP API.
// Invariant: `Node` is '' for this server's own node and the name in lower case for any other, so that what the agent API registers keeps
// its bare id as its key, and a name never meets another that differs in case alone.
import type { CheckDefinition, HealthStatus } from './check-definition.js'
import type { Locality } from './locality.js'
import type { ServiceInstance } from './service-definition.js'

/** The node of this process. */
export const OWN_NODE = ''

/** A node as it was registered. */
export interface NodeRegistration {
  /** '' when it was registered without one. */
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly TaggedAddresses: Readonly<Record<string, string>> | null
  readonly Meta: Readonly<Record<string, string>> | null
  /** Of its services too, where they say nothing else. */
  readonly Locality?: Locality
}

/** Of all nodes, sidecars included. */
export const MAX_INSTANCES = 250_000

interface Indexed {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export interface CatalogNode extends NodeRegistration, Indexed {
  readonly Datacenter: string
}

export interface CatalogInstance extends ServiceInstance, Indexed {
  /** Key of its node. */
  readonly Node: string
}

/** A check that was registered with the catalog and that no agent runs: what its owner wrote is printed as it was written. */
export interface RegisteredCheck {
  readonly Type: string
  readonly Interval: string
  readonly Timeout: string
  readonly ExposedPort: number
  readonly Definition: Readonly<Record<string, unknown>>
}

/** Where the sidecar lets a check through. */
export interface CheckExposure {
  /** ID of the sidecar. */
  readonly Proxy: string
  readonly Address: string
  readonly Port: number
}

/** A check as the store has it; its indexes are the record's, its node stands in the key. */
export interface StoredCheck {
  readonly definition: CheckDefinition
  readonly status: HealthStatus
  readonly output: string
  readonly registered?: RegisteredCheck
  /** Undefined: it reaches what it checks by itself. */
  readonly exposed?: CheckExposure
}

export interface CatalogCheck extends StoredCheck, Indexed {
  /** Key of its node. */
  readonly Node: string
}

export interface CatalogChange {
  /** Names of the services whose instances or health changed, as dialled (a sidecar counts for the service it stands before). */
  readonly services: ReadonlySet<string>
  /** Keys of connect-proxies that were added, changed or removed. */
  readonly proxies: ReadonlySet<string>
  /** Keys of nodes that were added, changed or removed. */
  readonly nodes: ReadonlySet<string>
  /** Keys of instances that were added, changed or removed, or of which a check, or the node, was. */
  readonly instances: ReadonlySet<string>
  /** Keys of checks that were added, changed or removed. */
  readonly checks: ReadonlySet<string>
}

/** No id and no name has this character in it. */
const SEPARATOR = '\0'

/** The key of an instance or a check, by the key of its node. */
export function keyOn(node: string, id: string): string {
  return node === OWN_NODE ? id : `${node}${SEPARATOR}${id}`
}

/** The other way round. */
export function splitKey(key: string): { readonly node: string; readonly id: string } {
  const at = key.indexOf(SEPARATOR)
  return at < 0 ? { node: OWN_NODE, id: key } : { node: key.slice(0, at), id: key.slice(at + 1) }
}

export const keyOfInstance = ({ Node, ID }: CatalogInstance): string => keyOn(Node, ID)

/** The service whose identity a proxy shows: the one it stands before; a gateway's, and any other instance's, own. */
export const meshServiceOf = ({ Proxy: proxy, Service }: Pick<ServiceInstance, 'Proxy' | 'Service'>): string =>
  proxy?.DestinationServiceName || Service
