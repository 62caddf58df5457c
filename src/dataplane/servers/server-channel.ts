// One server of Consul's, as the dataplane calls it by gRPC: unary calls and the stream of WatchServers, over protobuf messages. Made by
// ConsulServers for each server that it tries; ended when another one is used.
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { type ChannelCredentials, type ChannelOptions, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'

/** As consul-dataplane's: servers end connections that ping more often than every 15 s, balancers those that are silent for 350 s. */
export const KEEPALIVE: ChannelOptions = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 30_000 }

/** Of one call, the connection that it may have to wait for included. */
const CALL_TIMEOUT_MS = 10_000

export interface Method<Q extends DescMessage, A extends DescMessage> {
  readonly path: string
  readonly request: Q
  readonly answer: A
}

export type CallMetadata = readonly (readonly [key: string, value: string])[]

/** A call that the server refused, or that did not reach it. */
export class CallError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message)
  }
}

export class ServerChannel {
  private readonly client: Client

  constructor(
    readonly target: string,
    channelCredentials: ChannelCredentials | null,
  ) {
    this.client = new Client(target, channelCredentials ?? credentials.createInsecure(), {
      ...KEEPALIVE,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
    })
  }

  /** Rejects with `CallError`. */
  call<Q extends DescMessage, A extends DescMessage>(
    { path, request, answer }: Method<Q, A>,
    message: MessageShape<Q>,
    metadata: CallMetadata,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<MessageShape<A>> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        path,
        (value: MessageShape<Q>) => Buffer.from(toBinary(request, value)),
        bytes => fromBinary(answer, bytes),
        message,
        metadataOf(metadata),
        { deadline: Date.now() + timeoutMs },
        (error, value) => (error === null ? resolve(value!) : reject(callError(error))),
      )
    })
  }

  /** Rejects with `CallError` when the stream is over, for whatever reason; `stop` ends it. */
  watch<Q extends DescMessage, A extends DescMessage>(
    { path, request, answer }: Method<Q, A>,
    message: MessageShape<Q>,
    metadata: CallMetadata,
    onAnswer: (answer: MessageShape<A>) => void,
  ): { readonly over: Promise<never>; stop(): void } {
    const stream = this.client.makeServerStreamRequest(
      path,
      (value: MessageShape<Q>) => Buffer.from(toBinary(request, value)),
      bytes => fromBinary(answer, bytes),
      message,
      metadataOf(metadata),
    )
    const over = new Promise<never>((_resolve, reject) => {
      stream.on('data', onAnswer)
      stream.on('error', error => reject(callError(error as ServiceError)))
      stream.on('end', () => reject(new CallError(0, 'the server ended its stream')))
    })
    return { over, stop: () => stream.cancel() }
  }

  close(): void {
    this.client.close()
  }
}

function metadataOf(pairs: CallMetadata): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of pairs) metadata.add(key, value)
  return metadata
}

function callError({ code, details, message }: ServiceError): CallError {
  return new CallError(code, details || message)
}
