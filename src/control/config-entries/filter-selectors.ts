// What a filter expression can select of a service instance (Consul's CheckServiceNode): names, kinds and how each is read.
// Used by `filter-expression.ts`. Invariant: a path that is not listed here is unknown, so user input never walks an object freely.

/** A service instance as the health API shows it. Only `Service.ID` and `Service.Service` must be there. */
export interface FilterInstance {
  readonly Node?: {
    readonly ID?: string
    readonly Node?: string
    readonly Address?: string
    readonly Datacenter?: string
    readonly Partition?: string
    readonly PeerName?: string
    readonly Meta?: Readonly<Record<string, string>>
    readonly TaggedAddresses?: Readonly<Record<string, string>>
  }
  readonly Service: {
    readonly ID: string
    readonly Service: string
    readonly Kind?: string
    readonly Tags?: readonly string[]
    readonly Meta?: Readonly<Record<string, string>>
    readonly Address?: string
    readonly Port?: number
    readonly SocketPath?: string
    readonly EnableTagOverride?: boolean
    readonly Weights?: { readonly Passing?: number; readonly Warning?: number }
  }
  readonly Checks?: readonly {
    readonly Node?: string
    readonly CheckID?: string
    readonly Name?: string
    readonly Status?: string
    readonly Notes?: string
    readonly Output?: string
    readonly ServiceID?: string
    readonly ServiceName?: string
    readonly ServiceTags?: readonly string[]
    readonly Type?: string
  }[]
}

export type FieldKind = 'string' | 'number' | 'boolean' | 'list' | 'map'

/** What an expression over subjects of type T can select: the field of a path, or undefined where there is none. */
export type SelectorTable<T> = (path: readonly string[]) => SelectedField<T> | undefined

export interface SelectedField<T = FilterInstance> {
  readonly kind: FieldKind
  /** The selected values: one, except for fields of Checks. `undefined` is a map key that is not there. */
  read(subject: T): readonly unknown[]
}

const NODE_FIELDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['ID', 'string'],
  ['Node', 'string'],
  ['Address', 'string'],
  ['Datacenter', 'string'],
  ['Partition', 'string'],
  ['PeerName', 'string'],
  ['Meta', 'map'],
  ['TaggedAddresses', 'map'],
])

const SERVICE_FIELDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['ID', 'string'],
  ['Service', 'string'],
  ['Kind', 'string'],
  ['Tags', 'list'],
  ['Meta', 'map'],
  ['Address', 'string'],
  ['Port', 'number'],
  ['SocketPath', 'string'],
  ['EnableTagOverride', 'boolean'],
])

const CHECK_FIELDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['Node', 'string'],
  ['CheckID', 'string'],
  ['Name', 'string'],
  ['Status', 'string'],
  ['Notes', 'string'],
  ['Output', 'string'],
  ['ServiceID', 'string'],
  ['ServiceName', 'string'],
  ['ServiceTags', 'list'],
  ['Type', 'string'],
])

/** What an absent field reads as: Go's zero values. */
const ZERO: Readonly<Record<FieldKind, unknown>> = { string: '', number: 0, boolean: false, list: [], map: {} }

export function resolveSelector(path: readonly string[]): SelectedField | undefined {
  const [root, name, ...rest] = path
  if (root === 'Checks') return name === undefined ? { kind: 'list', read: instance => [instance.Checks ?? []] } : ofChecks(name, rest)
  if (name === undefined) return undefined
  if (root === 'Service' && name === 'Weights') return ofWeights(rest)
  if (root === 'Service') return ofObject(SERVICE_FIELDS, instance => instance.Service, name, rest)
  if (root === 'Node') return ofObject(NODE_FIELDS, instance => instance.Node, name, rest)
  return undefined
}

function ofObject(
  fields: ReadonlyMap<string, FieldKind>,
  pick: (instance: FilterInstance) => object | undefined,
  name: string,
  rest: readonly string[],
): SelectedField | undefined {
  const kind = fields.get(name)
  if (kind === undefined) return undefined
  const read = (instance: FilterInstance) => (pick(instance) as Record<string, unknown> | undefined)?.[name] ?? ZERO[kind]
  if (rest.length === 0) return { kind, read: instance => [read(instance)] }
  if (kind !== 'map' || rest.length > 1) return undefined
  const key = rest[0]!
  return {
    kind: 'string',
    read: instance => {
      const map = read(instance) as Record<string, unknown>
      return [Object.hasOwn(map, key) ? map[key] : undefined]
    },
  }
}

function ofWeights([name, ...rest]: readonly string[]): SelectedField | undefined {
  if ((name !== 'Passing' && name !== 'Warning') || rest.length > 0) return undefined
  return { kind: 'number', read: instance => [instance.Service.Weights?.[name] ?? 1] }
}

function ofChecks(name: string, rest: readonly string[]): SelectedField | undefined {
  const kind = CHECK_FIELDS.get(name)
  if (kind === undefined || rest.length > 0) return undefined
  return { kind, read: instance => (instance.Checks ?? []).map(check => (check as Record<string, unknown>)[name] ?? ZERO[kind]) }
}
