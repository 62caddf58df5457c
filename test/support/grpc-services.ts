// A gRPC server whose unary methods are functions of the request: what health checks, ext_authz and rate limits ask in the tests; and whose streams
// are served as a test says.
import * as grpc from '@grpc/grpc-js'

interface Messages<I, O> {
  readonly path: string
  readonly read: (bytes: Buffer) => I
  readonly write: (value: O) => Uint8Array
}

interface Method<I, O> extends Messages<I, O> {
  /** Throw a grpc.ServiceError-shaped object to fail the call. */
  readonly handle: (request: I, metadata: grpc.Metadata) => O | Promise<O>
}

export class GrpcServices {
  private readonly server = new grpc.Server()
  port = 0

  add<I, O>({ handle, ...messages }: Method<I, O>): this {
    return this.register(messages, false, (call: grpc.ServerUnaryCall<I, O>, done: grpc.sendUnaryData<O>): void => {
      void Promise.resolve()
        .then(() => handle(call.request, call.metadata))
        .then(value => done(null, value), done)
    })
  }

  /** Messages both ways. */
  addStream<I, O>(messages: Messages<I, O>, serve: (call: grpc.ServerDuplexStream<I, O>) => void): this {
    return this.register(messages, true, serve)
  }

  private register<I, O>({ path, read, write }: Messages<I, O>, streams: boolean, call: unknown): this {
    const definition = {
      path,
      requestStream: streams,
      responseStream: streams,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: read,
      responseSerialize: (value: O) => Buffer.from(write(value)),
      responseDeserialize: () => null,
    }
    this.server.addService({ call: definition } as grpc.ServiceDefinition, { call } as grpc.UntypedServiceImplementation)
    return this
  }

  async listen(credentials = grpc.ServerCredentials.createInsecure()): Promise<this> {
    this.port = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port))),
    )
    return this
  }

  close(): void {
    this.server.forceShutdown()
  }
}

/** typed_extension_protocol_options of a cluster that speaks HTTP/2. */
export const http2Upstream = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}
