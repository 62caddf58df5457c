// What filter expressions can select, one tree for each shape of the API: names, kinds, and how each is read from the JSON that the API
// prints. Used by `filter-expression.ts`. Invariant: a path that is in no tree is unknown, so user input never walks an object freely.

export type FieldKind = 'string' | 'number' | 'boolean' | 'list' | 'map'

/** `list` is one of strings; `map` has keys of the user's own; `objects` is a list of objects, each of which is asked. */
export type FieldType = FieldKind | { readonly object: FieldTree } | { readonly objects: FieldTree } | { readonly mapOf: FieldType }

export interface FieldTree {
  readonly [name: string]: FieldType
}

/** What an expression over subjects of type T can select: the field of a path, or undefined where there is none. */
export type SelectorTable<T> = (path: readonly string[]) => SelectedField<T> | undefined

export interface SelectedField<T = FilterInstance> {
  readonly kind: FieldKind
  /** The selected values: one, except below a list of objects. `undefined` is a map key that is not there. */
  read(subject: T): readonly unknown[]
}

/** A service instance as the health API shows it; what is absent reads as Go's zero value. */
export interface FilterInstance {
  readonly Node?: object
  readonly Service: { readonly ID: string; readonly Service: string; readonly [field: string]: unknown }
  readonly Checks?: readonly object[]
}

const ADDRESSES: FieldType = { mapOf: { object: { Address: 'string', Port: 'number' } } }
const WEIGHTS: FieldType = { object: { Passing: 'number', Warning: 'number' } }

const NODE: FieldTree = {
  ID: 'string',
  Node: 'string',
  Address: 'string',
  Datacenter: 'string',
  Partition: 'string',
  PeerName: 'string',
  Meta: 'map',
  TaggedAddresses: 'map',
}

const MESH_GATEWAY: FieldType = { object: { Mode: 'string' } }

const PROXY: FieldTree = {
  DestinationServiceName: 'string',
  DestinationServiceID: 'string',
  LocalServiceAddress: 'string',
  LocalServicePort: 'number',
  LocalServiceSocketPath: 'string',
  Mode: 'string',
  MeshGateway: MESH_GATEWAY,
  TransparentProxy: { object: { OutboundListenerPort: 'number', DialedDirectly: 'boolean' } },
  Upstreams: {
    objects: {
      DestinationType: 'string',
      DestinationNamespace: 'string',
      DestinationPartition: 'string',
      DestinationPeer: 'string',
      DestinationName: 'string',
      Datacenter: 'string',
      LocalBindAddress: 'string',
      LocalBindPort: 'number',
      LocalBindSocketPath: 'string',
      LocalBindSocketMode: 'string',
      MeshGateway: MESH_GATEWAY,
    },
  },
}

const SERVICE: FieldTree = {
  ID: 'string',
  Kind: 'string',
  Service: 'string',
  Namespace: 'string',
  Partition: 'string',
  PeerName: 'string',
  Datacenter: 'string',
  Tags: 'list',
  Meta: 'map',
  Address: 'string',
  Port: 'number',
  SocketPath: 'string',
  TaggedAddresses: ADDRESSES,
  Weights: WEIGHTS,
  EnableTagOverride: 'boolean',
  Proxy: { object: PROXY },
  Connect: { object: { Native: 'boolean' } },
}

const CHECK: FieldTree = {
  Node: 'string',
  CheckID: 'string',
  Name: 'string',
  Status: 'string',
  Notes: 'string',
  Output: 'string',
  ServiceID: 'string',
  ServiceName: 'string',
  ServiceTags: 'list',
  Type: 'string',
  Interval: 'string',
  Timeout: 'string',
  ExposedPort: 'number',
  Namespace: 'string',
  Partition: 'string',
  PeerName: 'string',
}

export const FILTER_TREES = {
  health: { Node: { object: NODE }, Service: { object: SERVICE }, Checks: { objects: CHECK } },
  node: NODE,
  service: SERVICE,
  check: CHECK,
  catalog: {
    ID: 'string',
    Node: 'string',
    Address: 'string',
    Datacenter: 'string',
    TaggedAddresses: 'map',
    NodeMeta: 'map',
    ServiceKind: 'string',
    ServiceID: 'string',
    ServiceName: 'string',
    ServiceTags: 'list',
    ServiceAddress: 'string',
    ServiceTaggedAddresses: ADDRESSES,
    ServiceWeights: WEIGHTS,
    ServiceMeta: 'map',
    ServicePort: 'number',
    ServiceSocketPath: 'string',
    ServiceEnableTagOverride: 'boolean',
    ServiceProxy: { object: PROXY },
    ServiceConnect: { object: { Native: 'boolean' } },
    PeerName: 'string',
  },
  intention: {
    ID: 'string',
    Action: 'string',
    Description: 'string',
    SourceNS: 'string',
    SourceName: 'string',
    SourcePartition: 'string',
    SourcePeer: 'string',
    SourceType: 'string',
    DestinationNS: 'string',
    DestinationName: 'string',
    DestinationPartition: 'string',
    Precedence: 'number',
    Meta: 'map',
  },
  'config-entry': { Kind: 'string', Name: 'string', Namespace: 'string', Partition: 'string', Meta: 'map' },
  member: { Name: 'string', Addr: 'string', Port: 'number', Status: 'number', Tags: 'map' },
} as const satisfies Record<string, FieldTree>

export type FilterShape = keyof typeof FILTER_TREES

/** What an absent field reads as: Go's zero values. */
const ZERO: Readonly<Record<FieldKind, unknown>> = { string: '', number: 0, boolean: false, list: [], map: {} }

/** Of a service instance in the health API's shape, which is what a resolver's subsets are chosen by. */
export const resolveSelector: SelectorTable<FilterInstance> = selectorsOf('health')

/** What can be selected of an element that the API prints in this shape. */
export function selectorsOf(shape: FilterShape): SelectorTable<object> {
  return path => select({ object: FILTER_TREES[shape] }, path, root => [root])
}

function select(type: FieldType, path: readonly string[], read: (root: unknown) => readonly unknown[]): SelectedField<unknown> | undefined {
  const [name, ...rest] = path
  if (typeof type === 'string') {
    if (name === undefined) return { kind: type, read: root => read(root).map(value => value ?? ZERO[type]) }
    // A key of the map, which may not be there.
    if (type !== 'map' || rest.length > 0) return undefined
    return { kind: 'string', read: root => read(root).map(map => ownMember(map, name)) }
  }
  if ('mapOf' in type) {
    if (name === undefined) return { kind: 'map', read: root => read(root).map(value => value ?? ZERO.map) }
    return select(type.mapOf, rest, root => read(root).map(map => ownMember(map, name)))
  }
  if (name === undefined) {
    if ('objects' in type) return { kind: 'list', read: root => read(root).map(value => value ?? ZERO.list) }
    return undefined
  }
  const tree = 'objects' in type ? type.objects : type.object
  const below = Object.hasOwn(tree, name) ? tree[name]! : undefined
  if (below === undefined) return undefined
  if ('objects' in type)
    return select(below, rest, root =>
      read(root)
        .flatMap(list => (list as unknown[] | undefined) ?? [])
        .map(item => ownMember(item, name)),
    )
  return select(below, rest, root => read(root).map(object => ownMember(object, name)))
}

function ownMember(object: unknown, name: string): unknown {
  return typeof object === 'object' && object !== null && Object.hasOwn(object, name)
    ? (object as Record<string, unknown>)[name]
    : undefined
}
