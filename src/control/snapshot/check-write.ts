// Would every sidecar take what comes of this write? Builds the resources of a proxy as it would be afterwards and asks the decoders
// (resource-errors.ts). Called by the catalog with the proxy that is being registered, and by the config entries with proxies that stand for
// those the entry reaches: one of the service itself that also calls it, or, where an entry concerns every proxy, one for each protocol.
// An error is laid at the door of the smallest part of the written object without which it goes away.
import { isIP } from 'node:net'
import type { GatewayKind, ServiceInstance } from '../catalog/service-definition.js'
import { withChange } from '../config-entries/entry-index.js'
import { isObject } from '../config-entries/field-reader.js'
import type { ConfigEntry, ConfigEntryIndex, ConfigError } from '../config-entries/types.js'
import { alikeKey, type ProxyKinds } from './build-snapshot.js'
import { NO_PLACES } from './failover-order.js'
import {
  type MeshSources,
  NO_FEDERATIONS,
  NO_PEERS,
  type ProxyInstance,
  RefusedConfig,
  type RegisteredServices,
  SnapshotError,
} from './kinds/proxy-kind.js'
import { LONE_GATEWAY, withLoneRoute } from './lone-route.js'
import type { ResourceErrors } from './resource-errors.js'

export interface WriteCheckSources {
  readonly mesh: Pick<MeshSources, 'datacenter' | 'trustDomain' | 'defaultPolicy'>
  readonly kinds: ProxyKinds
  readonly errors: ResourceErrors
}

/** What an entry comes to must not hang on who is registered. */
const NOTHING_REGISTERED: RegisteredServices = {
  serviceNames: () => [],
  instancesOf: () => [],
  isInMesh: () => false,
  connectInstancesOf: () => [],
  virtualServices: () => [],
  addressOf: () => '127.0.0.1',
  health: () => 'passing',
  inSubset: () => true,
}
/** Stand in for a certificate that may not have been issued yet; decoders look at their place, not into them. */
const PLACEHOLDER_PEM = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'
/** Say what an object is; without them it would be another. */
const IDENTITY: ReadonlySet<string> = new Set(['Kind', 'Name', 'ID', 'Service', 'Proxy.DestinationServiceName'])
/** Steps of the search for the part at fault; a larger object is blamed as a whole. */
const MAX_BLAME_STEPS = 400
const MAX_KNOWN_GOOD = 10_000

export class WriteCheck {
  private readonly sources: WriteCheckSources
  /** Proxies that were found good, by what is made of them: most that are registered are like another but for their place. */
  private readonly good = new Set<string>()
  private goodWith: ConfigEntryIndex | undefined

  constructor(sources: WriteCheckSources) {
    this.sources = sources
  }

  /** Errors of the proxy that is about to be registered, with paths in its definition. */
  ofProxy(instance: ServiceInstance, entries: ConfigEntryIndex): ConfigError[] {
    if (this.goodWith !== entries) this.entriesChanged()
    this.goodWith = entries
    const key = this.likeness(instance)
    if (this.good.has(key)) return []
    const errors = errorOf(instance, candidate => this.reasons(candidate, entries))
    if (this.good.size >= MAX_KNOWN_GOOD) this.good.clear()
    if (errors.length === 0) this.good.add(key)
    return errors
  }

  /** The first check of a process reads and compiles the types that it meets: done in idle turns, nobody waits for that. */
  async warmUp(entries: ConfigEntryIndex): Promise<void> {
    for (const proxy of EVERYDAY_PROXIES) {
      await new Promise(resolve => setImmediate(resolve))
      this.reasons(proxy, entries)
    }
  }

  /** What was good with the entries of before may not be with these. */
  entriesChanged(): void {
    this.good.clear()
  }

  private likeness(instance: ServiceInstance): string {
    const proxy = asProxy(instance)
    const { placed } = this.sources.kinds[instance.Kind] ?? {}
    if (placed === undefined) return alikeKey(proxy)
    // One IP address is as good as another.
    return `${isIP(instance.Address) === 0 ? instance.Address : 'ip'} ${this.sources.mesh.defaultPolicy()} ${alikeKey(placed.unplaced(proxy))}`
  }

  /** Errors that come with `entry`, with paths in it. */
  ofEntry(entry: ConfigEntry, before: ConfigEntryIndex): ConfigError[] {
    const proxies = standIns(entry)
    const used = entry.Kind === 'jwt-provider' ? withChange(before, { op: 'put', entry: namingProvider(entry.Name) }) : before
    // Looked for only where there is something to compare with it.
    let known: ReadonlySet<string> | undefined
    return errorOf(entry, candidate => {
      const after = withChange(used, { op: 'put', entry: candidate })
      const found = [...proxies.flatMap(proxy => this.reasons(proxy, after)), ...this.loneReasons(candidate, used)]
      if (found.length === 0) return found
      known ??= new Set(proxies.flatMap(proxy => this.reasons(proxy, before)))
      return found.filter(reason => !known!.has(reason))
    })
  }

  private loneReasons(entry: ConfigEntry, before: ConfigEntryIndex): string[] {
    return entry.Kind === 'http-route' ? this.reasons(gatewayStandIn('api-gateway', LONE_GATEWAY), withLoneRoute(entry, before)) : []
  }

  /** What the decoders say, one text an error. */
  private reasons(instance: ServiceInstance, entries: ConfigEntryIndex): string[] {
    const kind = this.sources.kinds[instance.Kind]
    if (kind === undefined) return []
    const { datacenter, trustDomain, defaultPolicy } = this.sources.mesh
    const mesh: MeshSources = {
      datacenter,
      trustDomain,
      defaultPolicy,
      rootsPem: () => PLACEHOLDER_PEM,
      leaf: () => ({ chainPem: PLACEHOLDER_PEM, keyPem: PLACEHOLDER_PEM }),
      peers: NO_PEERS,
      federations: NO_FEDERATIONS,
    }
    const proxy = asProxy(instance)
    try {
      const view = kind.view(proxy, {
        mesh,
        entries,
        catalog: NOTHING_REGISTERED,
        problems: [],
        places: NO_PLACES,
        acceptsTunnels: () => true,
      })
      const resources = [...kind.listeners(view), ...kind.clusters(view), ...kind.routes(view)]
      return resources.flatMap(resource =>
        this.sources.errors.of(resource).map(({ path, reason }) => `sidecars would refuse it (${lastOf(path)}: ${reason})`),
      )
    } catch (error) {
      if (error instanceof RefusedConfig) return [error.message]
      // Chains that don't compile are refused elsewhere, with better words.
      if (error instanceof SnapshotError) return []
      throw error
    }
  }
}

function asProxy(instance: ServiceInstance): ProxyInstance {
  return { ...instance, CreateIndex: 0, ModifyIndex: 0 } as ProxyInstance
}

function errorOf<T extends object>(value: T, reasons: (candidate: T) => readonly string[]): ConfigError[] {
  const [reason] = reasons(value)
  if (reason === undefined) return []
  let steps = 0
  const judge = (candidate: unknown): Judgement => {
    if (++steps > MAX_BLAME_STEPS) return 'bad'
    try {
      return reasons(candidate as T).includes(reason) ? 'bad' : 'good'
    } catch {
      // Nothing can be made without that part, which says nothing about it.
      return 'unknown'
    }
  }
  return [{ path: blame(value, '', judge) ?? '', reason }]
}

/** The field's own name says enough; the place in Envoy's message is nothing that the writer knows. */
function lastOf(path: string): string {
  return path.split('.').slice(-2).join('.')
}

/** Proxies that an entry of this kind shows itself in. */
function standIns(entry: ConfigEntry): readonly ServiceInstance[] {
  switch (entry.Kind) {
    case 'proxy-defaults':
    case 'mesh':
    case 'jwt-provider':
      return EVERYDAY_PROXIES
    case 'http-route':
    case 'tcp-route':
      return entry.Parents.map(({ Name }) => gatewayStandIn('api-gateway', Name))
    case 'inline-certificate':
    case 'file-system-certificate':
      return []
    case 'api-gateway':
    case 'ingress-gateway':
    case 'terminating-gateway':
      return [gatewayStandIn(entry.Kind, entry.Name)]
    default:
      return [standIn(entry.Name, {})]
  }
}

/** A provider is part of a sidecar only where intentions name it. */
function namingProvider(provider: string): ConfigEntry {
  const source = { Name: '*', Type: 'consul', Action: 'allow', Precedence: 8 } as const
  return { Kind: 'service-intentions', Name: 'any', Sources: [source], JWT: { Providers: [{ Name: provider }] } }
}

function standIn(service: string, config: Readonly<Record<string, unknown>>): ServiceInstance {
  return {
    ID: `${service}-sidecar-proxy`,
    Kind: 'connect-proxy',
    Service: `${service}-sidecar-proxy`,
    Tags: [],
    Meta: {},
    Address: '127.0.0.1',
    Port: 20_000,
    SocketPath: '',
    TaggedAddresses: {},
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Native: false,
    LocallyRegisteredAsSidecar: false,
    Proxy: {
      DestinationServiceName: service,
      DestinationServiceID: service,
      LocalServiceAddress: '127.0.0.1',
      LocalServicePort: 8080,
      LocalServiceSocketPath: '',
      Config: config,
      Upstreams: [
        {
          DestinationType: 'service',
          DestinationName: service,
          DestinationNamespace: 'default',
          DestinationPartition: 'default',
          Datacenter: '',
          LocalBindAddress: '127.0.0.1',
          LocalBindPort: 20_001,
          LocalBindSocketPath: '',
          LocalBindSocketMode: '',
          Config: config,
        },
      ],
    },
  }
}

function gatewayStandIn(Kind: GatewayKind, name: string): ServiceInstance {
  const sidecar = standIn(name, {})
  const none = { DestinationServiceName: '', DestinationServiceID: '', LocalServiceAddress: '', LocalServicePort: 0 }
  return { ...sidecar, ID: name, Kind, Service: name, Proxy: { ...sidecar.Proxy!, ...none, Upstreams: [] } }
}

/** One of each kind that a mesh is full of. */
const EVERYDAY_PROXIES = ['http', 'tcp'].map(protocol => standIn('any', { protocol }))

type Judgement = 'good' | 'bad' | 'unknown'
type Key = string | number

/**
 * Path of the smallest part of `container` that makes the whole bad: with it emptied, or gone, the whole is good. Undefined when no single
 * part is at fault. `judge` is given the container with one part changed.
 */
function blame(container: unknown, path: string, judge: (container: unknown) => Judgement): string | undefined {
  for (const [key, part] of partsOf(container)) {
    const below = typeof key === 'number' ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    if (IDENTITY.has(below) || isEmpty(part)) continue
    const replaced = (value: unknown): unknown => withPart(container, key, value)
    let judgement = judge(replaced(emptied(part)))
    if (judgement !== 'good') judgement = judge(without(container, key)) === 'good' ? 'good' : judgement
    if (judgement === 'bad') continue
    const inside = blame(part, below, value => judge(replaced(value)))
    if (inside !== undefined || judgement === 'good') return inside ?? below
  }
  return undefined
}

function partsOf(container: unknown): [key: Key, part: unknown][] {
  if (Array.isArray(container)) return [...container.entries()]
  return isObject(container) ? Object.entries(container) : []
}

function emptied(part: unknown): unknown {
  if (Array.isArray(part)) return []
  if (isObject(part)) return {}
  return typeof part === 'string' ? '' : typeof part === 'number' ? 0 : false
}

const isEmpty = (part: unknown): boolean =>
  part === '' || part === 0 || part === false || part === undefined || (typeof part === 'object' && partsOf(part).length === 0)

function withPart(container: unknown, key: Key, part: unknown): unknown {
  return Array.isArray(container) ? container.with(key as number, part) : { ...(container as object), [key]: part }
}

function without(container: unknown, key: Key): unknown {
  if (Array.isArray(container)) return container.filter((_, i) => i !== key)
  const { [key]: _gone, ...rest } = container as Record<Key, unknown>
  return rest
}
