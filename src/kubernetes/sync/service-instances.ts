// What a Kubernetes Service is in the catalog: its instances, by consul-k8s' rules for each type and consul-k8s' annotations. Pure; called by
// catalog-writer.ts. Invariant: the same objects give the same instances under the same IDs, whatever order they came in.
import { booleanOf, PREFIX, splitTags } from '../inject/annotation-reader.js'
import { type NamespaceRules, namespaceExcludes } from '../namespace-rules.js'
import type { EndpointSlice, KubeNode, KubeService, ServicePort } from './kube-objects.js'

/** Which of a node's addresses stand for a NodePort service. */
export type NodePortAddress = 'ExternalOnly' | 'ExternalFirst' | 'InternalOnly'

export interface InstanceRules extends NamespaceRules {
  readonly byDefault: boolean
  readonly clusterIps: boolean
  readonly nodePortAddress: NodePortAddress
  /** Tag of all that is synced. */
  readonly tag: string
  /** `-<namespace>` behind the name. */
  readonly namespaceSuffix: boolean
}

export interface CatalogInstance {
  readonly id: string
  readonly service: string
  readonly address: string
  readonly port: number
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly ready: boolean
}

/** On Services that this sync made of the catalog's: they do not go back there. */
export const SYNCED_LABEL = 'outrigger.dev/from-catalog'
const SLICE_OF = 'kubernetes.io/service-name'
const META_PREFIX = `${PREFIX}service-meta-`

export interface InstancesOf {
  readonly instances: readonly CatalogInstance[]
  /** Annotations that cannot be followed; the service is left out then. */
  readonly problem: string
}

/** `slices`: those of the service. `nodes`: by name. */
export function instancesOf(
  service: KubeService,
  slices: readonly EndpointSlice[],
  nodes: ReadonlyMap<string, KubeNode>,
  rules: InstanceRules,
): InstancesOf {
  const { metadata, spec } = service
  const { namespace = '', annotations = {}, labels = {} } = metadata
  const none: InstancesOf = { instances: [], problem: '' }
  if (labels[SYNCED_LABEL] !== undefined) return none
  if (namespaceExcludes(namespace, rules) !== undefined) return none
  const where = `service ${namespace}/${metadata.name}`
  const asked = annotations[`${PREFIX}service-sync`]?.trim()
  const wanted = asked === undefined ? rules.byDefault : booleanOf(asked)
  if (wanted === undefined) return { instances: [], problem: `${where}: ${PREFIX}service-sync "${asked}": must be true or false` }
  if (!wanted) return none
  const picked = pickPort(spec.ports ?? [], annotations[`${PREFIX}service-port`]?.trim() ?? '')
  if (typeof picked === 'string') return { instances: [], problem: `${where}: ${PREFIX}service-port ${picked}` }
  const name = annotations[`${PREFIX}service-name`]?.trim() || (rules.namespaceSuffix ? `${metadata.name}-${namespace}` : metadata.name)
  const places = placesOf(service, picked, slices, nodes, rules)
  const common = {
    service: name,
    tags: [...new Set([rules.tag, ...splitTags(annotations[`${PREFIX}service-tags`] ?? '')])],
  }
  const ports = Object.fromEntries((spec.ports ?? []).map(port => [`port-${port.name || port.port}`, String(port.nodePort ?? port.port)]))
  const own = Object.entries(annotations).flatMap(([key, value]) =>
    key.startsWith(META_PREFIX) && key.length > META_PREFIX.length ? [[key.slice(META_PREFIX.length), value] as const] : [],
  )
  const meta = {
    ...ports,
    ...Object.fromEntries(own),
    'external-source': 'kubernetes',
    'external-k8s-ns': namespace,
    'external-k8s-ref-name': metadata.name,
  }
  const byId = new Map<string, CatalogInstance>()
  for (const place of places) {
    const id = `${namespace}-${metadata.name}-${place.address}-${place.port}`
    // A pod may be in two slices for a moment: ready in one is ready.
    byId.set(id, { id, ...common, ...place, meta, ready: place.ready || byId.get(id)?.ready === true })
  }
  return { instances: [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)), problem: '' }
}

/** A text is what is wrong. A number that no port has is meant as it stands. */
function pickPort(ports: readonly ServicePort[], asked: string): ServicePort | number | undefined | string {
  if (asked === '') return ports[0]
  if (!/^\d{1,5}$/.test(asked)) return ports.find(({ name }) => name === asked) ?? `"${asked}": the service has no port of this name`
  const number = Number(asked)
  if (number < 1 || number > 65_535) return `"${asked}": is no port`
  return ports.find(({ port }) => port === number) ?? number
}

interface Place {
  readonly address: string
  readonly port: number
  readonly ready: boolean
}

type Picked = ServicePort | number | undefined

const portNumber = (picked: Picked): number => (typeof picked === 'number' ? picked : (picked?.port ?? 0))

function placesOf(
  { spec, status }: KubeService,
  picked: Picked,
  slices: readonly EndpointSlice[],
  nodes: ReadonlyMap<string, KubeNode>,
  rules: InstanceRules,
): Place[] {
  const at = (address: string): Place => ({ address, port: portNumber(picked), ready: true })
  const externalIps = spec.externalIPs ?? []
  if (externalIps.length > 0) return externalIps.map(at)
  switch (spec.type ?? 'ClusterIP') {
    case 'LoadBalancer':
      return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => (ip || hostname ? [at(ip || hostname!)] : []))
    case 'ExternalName':
      return spec.externalName ? [at(spec.externalName)] : []
    case 'NodePort':
      return nodePlaces(picked, slices, nodes, rules.nodePortAddress)
    default:
      return rules.clusterIps || spec.clusterIP === 'None' ? endpointPlaces(picked, slices) : []
  }
}

/** Each pod behind it, at its own port. */
function endpointPlaces(picked: Picked, slices: readonly EndpointSlice[]): Place[] {
  return slices.flatMap(({ endpoints, ports }) => {
    const named = typeof picked === 'object' ? (ports ?? []).find(({ name }) => (name ?? '') === (picked.name ?? '')) : undefined
    const port = typeof picked === 'number' ? picked : (named?.port ?? ports?.[0]?.port ?? portNumber(picked))
    return (endpoints ?? []).flatMap(({ addresses, conditions }) => {
      const [address] = addresses
      // Not said is ready.
      return address === undefined ? [] : [{ address, port, ready: conditions?.ready !== false }]
    })
  })
}

/** Each node that has a pod of it. */
function nodePlaces(
  picked: Picked,
  slices: readonly EndpointSlice[],
  nodes: ReadonlyMap<string, KubeNode>,
  kind: NodePortAddress,
): Place[] {
  const port = typeof picked === 'object' ? (picked.nodePort ?? picked.port) : portNumber(picked)
  const readyByNode = new Map<string, boolean>()
  for (const { endpoints } of slices)
    for (const { nodeName, conditions } of endpoints ?? [])
      if (nodeName) readyByNode.set(nodeName, conditions?.ready !== false || readyByNode.get(nodeName) === true)
  return [...readyByNode].flatMap(([name, ready]) => {
    const addresses = nodes.get(name)?.status?.addresses ?? []
    const of = (type: string): string[] => addresses.filter(each => each.type === type).map(({ address }) => address)
    const external = kind === 'InternalOnly' ? [] : of('ExternalIP')
    const chosen = external.length > 0 || kind === 'ExternalOnly' ? external : of('InternalIP')
    return chosen.map(address => ({ address, port, ready }))
  })
}

/** By `namespace/name` of the service that they are of. */
export function slicesByService(slices: Iterable<EndpointSlice>): Map<string, EndpointSlice[]> {
  const found = new Map<string, EndpointSlice[]>()
  for (const slice of slices) {
    const owner = slice.metadata.labels?.[SLICE_OF]
    if (owner === undefined || slice.addressType === 'FQDN') continue
    const key = `${slice.metadata.namespace ?? ''}/${owner}`
    found.set(key, [...(found.get(key) ?? []), slice])
  }
  return found
}
