// Peers for the xDS tests that share no code with what they test: a hand-driven xDS client for the server tests and a scripted gRPC
// server for the client tests. Both speak through grpc-js with method definitions written out here.

import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { ClusterSchema } from '../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { makeResource, type Resource } from '../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../src/xds/type-urls.js'

/** A cluster whose endpoints are of the same name; `mark` makes versions differ. */
export function cluster(name: string, mark = ''): Resource {
  const bytes = toBinary(ClusterSchema, create(ClusterSchema, { name, altStatName: mark }))
  return makeResource(name, CLUSTER_TYPE, bytes, [{ typeUrl: ENDPOINT_TYPE, names: [name] }])
}

export function endpoints(name: string, mark = ''): Resource {
  const message = create(ClusterLoadAssignmentSchema, { clusterName: name, endpoints: [{ locality: { region: mark } }] })
  return makeResource(name, ENDPOINT_TYPE, toBinary(ClusterLoadAssignmentSchema, message))
}

export function listener(name: string, routes: string[] = [], mark = ''): Resource {
  const bytes = toBinary(ListenerSchema, create(ListenerSchema, { name, statPrefix: mark }))
  return makeResource(name, LISTENER_TYPE, bytes, [{ typeUrl: ROUTE_TYPE, names: routes }])
}

export function route(name: string, mark = ''): Resource {
  const message = create(RouteConfigurationSchema, { name, internalOnlyHeaders: [mark] })
  return makeResource(name, ROUTE_TYPE, toBinary(RouteConfigurationSchema, message))
}

interface Method<Req extends DescMessage, Res extends DescMessage> extends grpc.MethodDefinition<MessageShape<Req>, MessageShape<Res>> {
  readonly request: Req
  readonly response: Res
}

function definition<Req extends DescMessage, Res extends DescMessage>(path: string, request: Req, response: Res): Method<Req, Res> {
  return {
    path,
    request,
    response,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: MessageShape<Req>) => Buffer.from(toBinary(request, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(request, bytes),
    responseSerialize: (message: MessageShape<Res>) => Buffer.from(toBinary(response, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(response, bytes),
  }
}

const ads = '/envoy.service.discovery.v3.AggregatedDiscoveryService'
const sds = '/envoy.service.secret.v3.SecretDiscoveryService'
export const DELTA = definition(`${ads}/DeltaAggregatedResources`, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema)
export const SOTW = definition(`${ads}/StreamAggregatedResources`, DiscoveryRequestSchema, DiscoveryResponseSchema)
export const DELTA_SECRETS = definition(`${sds}/DeltaSecrets`, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema)

/** Hands items to awaiting readers in order. */
export class Inbox<T> {
  readonly items: T[] = []
  private readonly waiting: ((item: T) => void)[] = []

  put(item: T): void {
    const reader = this.waiting.shift()
    if (reader) reader(item)
    else this.items.push(item)
  }

  next(): Promise<T> {
    const item = this.items.shift()
    return item === undefined ? new Promise(resolve => this.waiting.push(resolve)) : Promise.resolve(item)
  }
}

/** A client that sends what it is told to and keeps what comes. */
export class RawClient<Req extends DescMessage, Res extends DescMessage> {
  readonly responses = new Inbox<MessageShape<Res>>()
  readonly ended: Promise<grpc.StatusObject>
  private readonly client: grpc.Client
  private readonly call: grpc.ClientDuplexStream<MessageShape<Req>, MessageShape<Res>>

  constructor(
    port: number,
    private readonly method: Method<Req, Res>,
    metadata: Record<string, string> = {},
  ) {
    this.client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
    const headers = new grpc.Metadata()
    for (const [key, value] of Object.entries(metadata)) headers.set(key, value)
    this.call = this.client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, headers)
    this.call.on('data', message => this.responses.put(message))
    this.call.on('error', () => {})
    this.ended = new Promise(resolve => this.call.on('status', resolve))
  }

  send(request: MessageInitShape<Req>): void {
    this.call.write(create(this.method.request, request))
  }

  next(): Promise<MessageShape<Res>> {
    return this.responses.next()
  }

  close(): void {
    this.call.cancel()
    this.client.close()
  }
}

export function deltaClient(port: number, metadata?: Record<string, string>) {
  return new RawClient(port, DELTA, metadata)
}

export function sotwClient(port: number, metadata?: Record<string, string>) {
  return new RawClient(port, SOTW, metadata)
}

type ServerStream<Req extends DescMessage, Res extends DescMessage> = grpc.ServerDuplexStream<MessageShape<Req>, MessageShape<Res>>

/** One stream as the scripted server sees it. */
export class RawStream<Req extends DescMessage, Res extends DescMessage> {
  readonly requests = new Inbox<MessageShape<Req>>()
  readonly closed: Promise<void>
  readonly peer: string

  constructor(
    readonly call: ServerStream<Req, Res>,
    private readonly responseSchema: Res,
  ) {
    this.peer = call.getPeer()
    call.on('data', message => this.requests.put(message))
    call.on('error', () => {})
    this.closed = new Promise(resolve => call.on('close', resolve))
  }

  next(): Promise<MessageShape<Req>> {
    return this.requests.next()
  }

  send(response: MessageInitShape<Res>): void {
    this.call.write(create(this.responseSchema, response))
  }

  fail(code: grpc.status, details: string): void {
    this.call.emit('error', { code, details })
  }
}

/** A gRPC server whose streams are handed to the test. */
export class RawServer<Req extends DescMessage, Res extends DescMessage> {
  readonly streams = new Inbox<RawStream<Req, Res>>()
  port = 0
  private server: grpc.Server | null = null

  constructor(private readonly method: Method<Req, Res>) {}

  async listen(address = '127.0.0.1:0'): Promise<this> {
    this.server = new grpc.Server()
    this.server.addService(
      { stream: this.method },
      { stream: (call: ServerStream<Req, Res>) => this.streams.put(new RawStream(call, this.method.response)) },
    )
    this.port = await bind(this.server, address)
    return this
  }

  kill(): void {
    this.server?.forceShutdown()
  }
}

export function bind(server: grpc.Server, address = '127.0.0.1:0'): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)))
  })
}

export const deltaServer = () => new RawServer(DELTA)
export const sotwServer = () => new RawServer(SOTW)

/** Resource as it stands in a delta response. */
export function wire(resource: Resource, extra: { ttl?: { seconds: bigint }; aliases?: string[]; name?: string; version?: string } = {}) {
  return { name: resource.name, version: resource.version, resource: resource.any as never, ...extra }
}
