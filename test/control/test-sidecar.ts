// A sidecar as far as xDS goes: one delta stream that subscribes to everything a proxy would, acknowledges (or refuses) what comes and
// keeps it decoded. Used by the control plane's tests; shares no code with the ADS server beyond the generated messages.
import { create, fromBinary, type Message } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import { type Cluster, ClusterSchema } from '../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { type ClusterLoadAssignment, ClusterLoadAssignmentSchema } from '../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { type Listener, ListenerSchema } from '../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { type RouteConfiguration, RouteConfigurationSchema } from '../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { deltaMethod } from '../../src/xds/grpc-service.js'
import { ADS_METHODS, CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../src/xds/type-urls.js'

export class TestSidecar {
  readonly clusters = new Map<string, Cluster>()
  readonly endpoints = new Map<string, ClusterLoadAssignment>()
  readonly listeners = new Map<string, Listener>()
  readonly routes = new Map<string, RouteConfiguration>()
  /** Types in the order in which responses came. */
  readonly responses: string[] = []
  /** Set to refuse the next response of a type. */
  refuse: { typeUrl: string; message: string } | undefined
  /** What it says to responses: one that never acknowledges, or refuses everything, is a sidecar too. */
  answers: 'ack' | 'nothing' | 'nack' = 'ack'
  error: { code: number; details: string } | undefined
  private readonly client: Client
  private readonly stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>
  private readonly id: string
  private readonly nodeName: string | undefined
  private readonly waiters: { check: () => boolean; resolve: () => void }[] = []
  private first = true

  constructor(address: string, id: string, token?: string, nodeName?: string) {
    this.id = id
    this.nodeName = nodeName
    this.client = new Client(address, credentials.createInsecure())
    const method = deltaMethod(ADS_METHODS.delta)
    const metadata = new Metadata()
    if (token !== undefined) metadata.set('x-consul-token', token)
    this.stream = this.client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, metadata)
    this.stream.on('data', response => this.receive(response))
    this.stream.on('error', error => {
      this.error = error as unknown as { code: number; details: string }
      this.wake()
    })
    this.send({ typeUrl: CLUSTER_TYPE })
    this.send({ typeUrl: LISTENER_TYPE })
  }

  /** Resolves once `check` holds; looked at after each response. */
  until(check: () => boolean): Promise<void> {
    if (check()) return Promise.resolve()
    return new Promise(resolve => this.waiters.push({ check, resolve }))
  }

  close(): void {
    this.stream.cancel()
    this.client.close()
  }

  private receive(response: DeltaDiscoveryResponse): void {
    const { typeUrl, nonce } = response
    this.responses.push(typeUrl)
    if (this.answers === 'nothing') {
      this.wake()
      return
    }
    if (this.answers === 'nack' || this.refuse?.typeUrl === typeUrl) {
      const { message } = this.refuse ?? { message: 'no' }
      this.refuse = undefined
      this.send({ typeUrl, responseNonce: nonce, errorDetail: { code: 13, message } })
      this.wake()
      return
    }
    for (const { name, resource } of response.resources) {
      const bytes = resource!.value
      if (typeUrl === CLUSTER_TYPE) this.clusters.set(name, fromBinary(ClusterSchema, bytes))
      if (typeUrl === ENDPOINT_TYPE) this.endpoints.set(name, fromBinary(ClusterLoadAssignmentSchema, bytes))
      if (typeUrl === LISTENER_TYPE) this.listeners.set(name, fromBinary(ListenerSchema, bytes))
      if (typeUrl === ROUTE_TYPE) this.routes.set(name, fromBinary(RouteConfigurationSchema, bytes))
    }
    const kept: Map<string, Message> | undefined = { [CLUSTER_TYPE]: this.clusters, [LISTENER_TYPE]: this.listeners }[typeUrl]
    for (const name of response.removedResources) kept?.delete(name)
    this.send({ typeUrl, responseNonce: nonce })
    if (typeUrl === CLUSTER_TYPE) this.subscribe(ENDPOINT_TYPE, edsNames(response.resources.map(({ name }) => this.clusters.get(name)!)))
    if (typeUrl === LISTENER_TYPE)
      this.subscribe(
        ROUTE_TYPE,
        response.resources
          .map(({ name }) => name)
          .filter(name => !name.startsWith('public_listener'))
          .map(name => name.split(':')[0]!),
      )
    this.wake()
  }

  private subscribe(typeUrl: string, names: string[]): void {
    if (names.length > 0) this.send({ typeUrl, resourceNamesSubscribe: names })
  }

  private send(request: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1]): void {
    const metadata = this.nodeName === undefined ? {} : { metadata: { node_name: this.nodeName } }
    const node = this.first ? { node: { id: this.id, cluster: 'test', ...metadata } } : {}
    this.first = false
    this.stream.write(create(DeltaDiscoveryRequestSchema, { ...(request as object), ...node }))
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) {
      if (!waiter.check()) continue
      this.waiters.splice(this.waiters.indexOf(waiter), 1)
      waiter.resolve()
    }
  }
}

function edsNames(clusters: readonly Cluster[]): string[] {
  return clusters.filter(({ edsClusterConfig }) => edsClusterConfig !== undefined).map(({ name }) => name)
}
