// A collector of spans and log records for tests: OTLP over HTTP and gRPC, Zipkin's JSON and protobuf. It keeps what came, in order, and
// answers 202 to Zipkin and 200 to the rest.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { ProtobufReader } from '../../src/l7/grpc/protobuf-writer.js'

type Json = string | boolean | number | readonly Json[] | { readonly [key: string]: Json } | null

export interface OtlpSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId: string
  readonly state: string
  readonly name: string
  readonly kind: 'server' | 'client'
  readonly ms: number
  readonly tags: Readonly<Record<string, Json>>
  readonly events: readonly string[]
  readonly error: boolean
  readonly flags: number
  readonly resource: Readonly<Record<string, Json>>
}

export interface OtlpRecord {
  readonly body: Json
  readonly attributes: Readonly<Record<string, Json>>
  readonly traceId: string
  readonly spanId: string
  readonly resource: Readonly<Record<string, Json>>
}

export interface ZipkinSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly kind: string
  readonly name: string
  readonly shared?: boolean
  readonly tags: Readonly<Record<string, string>>
  readonly localEndpoint: { readonly serviceName: string }
  readonly annotations: readonly { readonly value: string }[]
}

interface Field {
  readonly field: number
  readonly data: Buffer
  readonly value: number
  readonly wireType: number
}

function fields(bytes: Buffer): Field[] {
  const reader = new ProtobufReader(bytes)
  const all: Field[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    all.push({ field, data: reader.data, value: reader.value, wireType: reader.wireType })
  }
  if (reader.failed) throw new Error('malformed protobuf')
  return all
}

const each = (message: Field[], field: number): Buffer[] => message.filter(part => part.field === field).map(part => part.data)
const text = (message: Field[], field: number): string => each(message, field)[0]?.toString('utf8') ?? ''
const hex = (message: Field[], field: number): string => each(message, field)[0]?.toString('hex') ?? ''
const number = (message: Field[], field: number): number => message.find(part => part.field === field)?.value ?? 0

function anyValue(bytes: Buffer | undefined): Json {
  const part = bytes === undefined ? undefined : fields(bytes)[0]
  switch (part?.field) {
    case 1:
      return part.data.toString('utf8')
    case 2:
      return part.value !== 0
    case 3:
      return part.value
    case 5:
      return each(fields(part.data), 1).map(anyValue)
    case 6:
      return keyValues(each(fields(part.data), 1))
    default:
      return null
  }
}

function keyValues(pairs: readonly Buffer[]): Record<string, Json> {
  return Object.fromEntries(pairs.map(pair => [text(fields(pair), 1), anyValue(each(fields(pair), 2)[0])]))
}

const resourceOf = (message: Field[]): Record<string, Json> => keyValues(each(fields(each(message, 1)[0] ?? Buffer.alloc(0)), 1))

export function readSpans(request: Buffer): OtlpSpan[] {
  return each(fields(request), 1).flatMap(resourceSpans => {
    const outer = fields(resourceSpans)
    return each(outer, 2).flatMap(scope =>
      each(fields(scope), 2).map(bytes => {
        const span = fields(bytes)
        return {
          traceId: hex(span, 1),
          id: hex(span, 2),
          state: text(span, 3),
          parentId: hex(span, 4),
          name: text(span, 5),
          kind: number(span, 6) === 3 ? ('client' as const) : ('server' as const),
          ms: (number(span, 8) - number(span, 7)) / 1e6,
          tags: keyValues(each(span, 9)),
          events: each(span, 11).map(event => text(fields(event), 2)),
          error: each(span, 15).some(status => number(fields(status), 3) === 2),
          flags: number(span, 16),
          resource: resourceOf(outer),
        }
      }),
    )
  })
}

export function readRecords(request: Buffer): OtlpRecord[] {
  return each(fields(request), 1).flatMap(resourceLogs => {
    const outer = fields(resourceLogs)
    return each(outer, 2).flatMap(scope =>
      each(fields(scope), 2).map(bytes => {
        const record = fields(bytes)
        return {
          body: anyValue(each(record, 5)[0]),
          attributes: keyValues(each(record, 6)),
          traceId: hex(record, 9),
          spanId: hex(record, 10),
          resource: resourceOf(outer),
        }
      }),
    )
  })
}

const ZIPKIN_KINDS = ['', 'CLIENT', 'SERVER']

export function readZipkinProto(request: Buffer): ZipkinSpan[] {
  return each(fields(request), 1).map(bytes => {
    const span = fields(bytes)
    const parentId = hex(span, 2)
    return {
      traceId: hex(span, 1),
      ...(parentId === '' ? {} : { parentId }),
      id: hex(span, 3),
      kind: ZIPKIN_KINDS[number(span, 4)] ?? '',
      name: text(span, 5),
      localEndpoint: { serviceName: text(fields(each(span, 8)[0]!), 1) },
      annotations: each(span, 10).map(annotation => ({ value: text(fields(annotation), 2) })),
      tags: Object.fromEntries(each(span, 11).map(pair => [text(fields(pair), 1), text(fields(pair), 2)])),
      ...(number(span, 13) === 0 ? {} : { shared: true }),
    }
  })
}

export class TraceCollector {
  readonly spans: OtlpSpan[] = []
  readonly records: OtlpRecord[] = []
  readonly zipkin: ZipkinSpan[] = []
  readonly headers: IncomingHttpHeaders[] = []
  private readonly http: Server
  private readonly grpc = new grpc.Server()
  grpcPort = 0

  constructor() {
    this.http = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', () => {
        const { url = '' } = request
        this.headers.push(request.headers)
        this.take(url, request.headers['content-type'] ?? '', Buffer.concat(chunks))
        response.writeHead(url.endsWith('/spans') ? 202 : 200).end()
      })
    })
  }

  private take(path: string, contentType: string, body: Buffer): void {
    if (path.endsWith('/v1/traces')) this.spans.push(...readSpans(body))
    else if (path.endsWith('/v1/logs')) this.records.push(...readRecords(body))
    else if (contentType === 'application/json') this.zipkin.push(...(JSON.parse(body.toString()) as ZipkinSpan[]))
    else this.zipkin.push(...readZipkinProto(body))
  }

  async listen(): Promise<this> {
    await new Promise<void>(resolve => this.http.listen(0, '127.0.0.1', resolve))
    this.serve('/opentelemetry.proto.collector.trace.v1.TraceService/Export', body => this.spans.push(...readSpans(body)))
    this.serve('/opentelemetry.proto.collector.logs.v1.LogsService/Export', body => this.records.push(...readRecords(body)))
    this.grpcPort = await new Promise((resolve, reject) =>
      this.grpc.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port))),
    )
    return this
  }

  private serve(path: string, take: (body: Buffer) => void): void {
    const definition = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: () => Buffer.alloc(0),
      responseDeserialize: () => null,
    }
    const call = (request: grpc.ServerUnaryCall<Buffer, null>, done: grpc.sendUnaryData<null>): void => {
      take(request.request)
      done(null, null)
    }
    this.grpc.addService({ call: definition } as grpc.ServiceDefinition, { call } as grpc.UntypedServiceImplementation)
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.grpc.forceShutdown()
    this.http.closeAllConnections()
    await new Promise(resolve => this.http.close(resolve))
  }
}
