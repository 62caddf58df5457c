// Whoever a proxy sends its stats to: statsd servers over UDP and TCP, a metrics service, an OpenTelemetry collector; each keeps what
// came. Used by test/integration/stats-sinks.test.ts.
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { ProtobufReader } from '../../src/l7/grpc/protobuf-writer.js'

export class UdpStatsd {
  readonly datagrams: string[] = []
  private readonly socket: Socket = createSocket('udp4')

  get port(): number {
    return this.socket.address().port
  }

  get lines(): string[] {
    return this.datagrams.flatMap(datagram => datagram.split('\n'))
  }

  async listen(): Promise<this> {
    this.socket.on('message', message => this.datagrams.push(message.toString()))
    this.socket.bind(0, '127.0.0.1')
    await once(this.socket, 'listening')
    return this
  }

  close(): void {
    this.socket.close()
  }
}

export class TcpStatsd {
  connections = 0
  private text = ''
  private readonly sockets = new Set<net.Socket>()
  private readonly server = net.createServer(socket => {
    this.connections++
    this.sockets.add(socket)
    socket.on('data', data => (this.text += data))
    socket.on('error', () => {})
    socket.on('close', () => this.sockets.delete(socket))
  })

  get port(): number {
    return (this.server.address() as net.AddressInfo).port
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }

  async listen(): Promise<this> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return this
  }

  /** Of all connections: each ends. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  close(): void {
    this.cut()
    this.server.close()
  }
}

/** One metric as a service was told it. */
export interface ToldMetric {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly kind: 'counter' | 'gauge' | 'summary' | 'histogram'
  /** Of a counter or gauge; the number of values otherwise. */
  readonly value: number
}

/** Field numbers -> the bytes or number of each occurrence. */
function byField(bytes: Buffer): Map<number, { readonly data: Buffer; readonly value: number; readonly double: number }[]> {
  const reader = new ProtobufReader(bytes)
  const found = new Map<number, { data: Buffer; value: number; double: number }[]>()
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const list = found.get(field) ?? []
    found.set(field, list)
    list.push({ data: reader.wireType === 2 ? reader.data : Buffer.alloc(0), value: reader.value, double: reader.double })
  }
  if (reader.failed) throw new Error('malformed protobuf')
  return found
}

const text = (bytes: Buffer, field: number): string => byField(bytes).get(field)?.[0]?.data.toString() ?? ''
const FAMILY_KINDS = [
  [3, 'counter'],
  [2, 'gauge'],
  [4, 'summary'],
  [7, 'histogram'],
] as const

/** io.prometheus.client.MetricFamily */
function familyOf(bytes: Buffer): ToldMetric {
  const metric = byField(byField(bytes).get(4)![0]!.data)
  const labels = Object.fromEntries((metric.get(1) ?? []).map(({ data }) => [text(data, 1), text(data, 2)]))
  const [field, kind] = FAMILY_KINDS.find(([number]) => metric.has(number))!
  const inner = byField(metric.get(field)![0]!.data).get(1)?.[0]
  return { name: text(bytes, 1), labels, kind, value: (kind === 'counter' || kind === 'gauge' ? inner?.double : inner?.value) ?? 0 }
}

const OTLP_KINDS = [
  [5, 'gauge', 7],
  [7, 'counter', 7],
  [9, 'histogram', 9],
] as const

/** opentelemetry.proto.metrics.v1.Metric */
function otlpMetricOf(bytes: Buffer): ToldMetric {
  const metric = byField(bytes)
  const [field, kind, attributes] = OTLP_KINDS.find(([number]) => metric.has(number))!
  const point = byField(byField(metric.get(field)![0]!.data).get(1)![0]!.data)
  const labels = Object.fromEntries(
    (point.get(attributes) ?? []).map(({ data }) => [text(data, 1), text(byField(data).get(2)![0]!.data, 1)]),
  )
  return { name: text(bytes, 1), labels, kind, value: point.get(kind === 'histogram' ? 4 : 6)?.[0]?.value ?? 0 }
}

const asBytes = {
  requestSerialize: (bytes: Buffer) => bytes,
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (bytes: Buffer) => bytes,
  responseDeserialize: (bytes: Buffer) => bytes,
}

/** envoy.service.metrics.v3.MetricsService and OTLP's, on one port. */
export class MetricsCollector {
  readonly told: ToldMetric[] = []
  readonly exported: ToldMetric[] = []
  /** Node ids of the messages that had one, by stream. */
  readonly nodes: string[] = []
  streams = 0
  port = 0
  private readonly server = new grpc.Server()

  async listen(): Promise<this> {
    const path = (service: string, method: string, requestStream: boolean) => ({
      call: { path: `/${service}/${method}`, requestStream, responseStream: false, ...asBytes },
    })
    this.server.addService(path('envoy.service.metrics.v3.MetricsService', 'StreamMetrics', true), {
      call: (stream: grpc.ServerReadableStream<Buffer, Buffer>) => {
        this.streams++
        stream.on('data', (message: Buffer) => this.take(message))
        stream.on('error', () => {})
      },
    })
    this.server.addService(path('opentelemetry.proto.collector.metrics.v1.MetricsService', 'Export', false), {
      call: ({ request }: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
        for (const { data: resource } of byField(request).get(1) ?? [])
          for (const { data: scope } of byField(resource).get(2) ?? [])
            for (const { data } of byField(scope).get(2) ?? []) this.exported.push(otlpMetricOf(data))
        done(null, Buffer.alloc(0))
      },
    })
    this.port = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    )
    return this
  }

  close(): void {
    this.server.forceShutdown()
  }

  private take(message: Buffer): void {
    const fields = byField(message)
    for (const { data } of fields.get(1) ?? []) this.nodes.push(text(byField(data).get(1)![0]!.data, 1))
    for (const { data } of fields.get(2) ?? []) this.told.push(familyOf(data))
  }
}
