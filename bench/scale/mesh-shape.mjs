// The mesh that the scale bench registers: machines with ten sidecars each, and endpoints without a sidecar (connect-native programs) beside
// them, as operations of transactions. That is how agents and importers of large meshes write; the control plane's own node has nothing.
// Used by phases.mjs. Invariant: an instance has the same node, address and name whoever asks, so that no phase has to remember it.

const SIDECARS_A_NODE = 10
/** Below Consul's 128 and etcd's: what the control plane writes besides has room in the same commit. */
const OPERATIONS = 96
/** Service, sidecar, and a check of each. */
const OPERATIONS_A_SIDECAR = 4
const APPLICATION_PORT = 8080
const SIDECAR_PORT = 20000

export class MeshShape {
  constructor({ sidecars, services, endpoints, upstreams }) {
    this.sidecars = sidecars
    this.services = services
    this.endpoints = endpoints
    this.upstreams = upstreams
    this.nodeCount = Math.ceil(sidecars / SIDECARS_A_NODE)
  }

  /** Of instance `i` of the whole mesh: those below `sidecars` have one. */
  place(i) {
    const service = i % this.services
    const k = Math.floor(i / this.services)
    return { service, id: `svc-${service}-${k}`, address: `10.${(service >> 8) & 255}.${service & 255}.${k + 1}`, node: this.nodeName(i) }
  }

  nodeName(i) {
    return `machine-${i % this.nodeCount}`
  }

  /** The first instance of a service, which has a sidecar. */
  firstOf(service) {
    return this.place(service)
  }

  proxy(i) {
    const { id, node } = this.place(i)
    return { id: `${id}-sidecar-proxy`, node }
  }

  /** Transactions, each a list of operations: machines, then what runs on them. */
  *transactions() {
    yield* this.batches(this.nodeCount, OPERATIONS, i => [
      { Node: { Verb: 'set', Node: { Node: this.nodeName(i), Address: `10.254.${(i >> 8) & 255}.${i & 255}` } } },
    ])
    yield* this.batches(this.sidecars, OPERATIONS / OPERATIONS_A_SIDECAR, i => this.sidecarOperations(i))
    const native = this.endpoints - this.sidecars
    yield* this.batches(native, OPERATIONS, i => [this.nativeOperation(this.sidecars + i)])
  }

  *batches(count, size, operations) {
    for (let from = 0; from < count; from += size)
      yield Array.from({ length: Math.min(size, count - from) }, (_, i) => operations(from + i)).flat()
  }

  sidecarOperations(i, port = APPLICATION_PORT) {
    const { service, id, address, node } = this.place(i)
    const Upstreams = Array.from({ length: this.upstreams }, (_, u) => ({
      DestinationName: `svc-${(service + 1 + u) % this.services}`,
      LocalBindPort: 9000 + u,
    }))
    const proxy = { DestinationServiceName: `svc-${service}`, DestinationServiceID: id, LocalServicePort: port, Upstreams }
    const sidecar = { ID: `${id}-sidecar-proxy`, Service: `svc-${service}-sidecar-proxy`, Address: address, Port: SIDECAR_PORT }
    return [
      serviceOperation(node, { ID: id, Service: `svc-${service}`, Address: address, Port: port }),
      serviceOperation(node, { ...sidecar, Kind: 'connect-proxy', Proxy: proxy }),
      ...this.healthOperations(i, 'passing'),
    ]
  }

  /** What an agent writes of an instance and of the sidecar whose check follows it. */
  healthOperations(i, Status) {
    const { id, node } = this.place(i)
    return [id, `${id}-sidecar-proxy`].map(ServiceID => ({
      Check: { Verb: 'set', Check: { Node: node, CheckID: `${ServiceID}-alive`, Name: 'alive', ServiceID, Status } },
    }))
  }

  nativeOperation(i) {
    const { service, id, address, node } = this.place(i)
    const instance = { ID: id, Service: `svc-${service}`, Address: address, Port: APPLICATION_PORT }
    return serviceOperation(node, { ...instance, Connect: { Native: true } })
  }
}

const serviceOperation = (Node, Service) => ({ Service: { Verb: 'set', Node, Service } })
