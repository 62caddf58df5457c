// envoy.stat_sinks.statsd and dog_statsd: counters as growth since the last flush, gauges as they are, each value of a histogram when it
// is recorded. Opened by proxy/stats-flush.ts. The lines: statsd-lines.ts. The way there, UDP or TCP: StatsdTransport.
// Invariant: nothing waits here beyond one flush: what does not fit into the transport is dropped there.

import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Histogram } from '../histogram.js'
import type { FlushedStats, ValueSink } from './stats-sink.js'
import type { StatsdLines } from './statsd-lines.js'

export interface StatsdTransport {
  /** Lines without their end. */
  send(lines: readonly string[]): void
  close(): void
}

export class StatsdSink implements ValueSink {
  private readonly lines: StatsdLines
  private readonly transport: StatsdTransport

  constructor(lines: StatsdLines, transport: StatsdTransport) {
    this.lines = lines
    this.transport = transport
  }

  flush({ counters, gauges }: FlushedStats): void {
    const { lines } = this
    this.transport.send([
      ...counters.map(({ counter, delta }) => lines.counter(counter, delta)),
      ...gauges.map(gauge => lines.gauge(gauge)),
    ])
  }

  value(histogram: Histogram, value: number): void {
    this.transport.send([this.lines.value(histogram, value)])
  }

  close(): void {
    this.transport.close()
  }
}

/** Datagrams: one a line, or as many lines as fit into `maxDatagramBytes`. Nobody hears whether they arrive. */
export class UdpTransport implements StatsdTransport {
  private readonly socket: Socket
  private readonly host: string
  private readonly port: number
  private readonly maxDatagramBytes: number

  constructor({ host, port }: { readonly host: string; readonly port: number }, maxDatagramBytes: number) {
    this.host = host
    this.port = port
    this.maxDatagramBytes = maxDatagramBytes
    this.socket = createSocket({
      type: isIPv6(host) ? 'udp6' : 'udp4',
      lookup: (address, _options, done) => done(null, address, isIPv6(address) ? 6 : 4),
    })
    this.socket.on('error', ignored)
    this.socket.unref()
  }

  send(lines: readonly string[]): void {
    for (const datagram of packed(lines, this.maxDatagramBytes)) this.socket.send(datagram, this.port, this.host, ignored)
  }

  close(): void {
    this.socket.close()
  }
}

/** A stats server that is away costs stats, as with any UDP client. */
function ignored(): void {}

/** Lines joined as long as they fit; one that is too long by itself goes alone, as in Envoy. */
export function packed(lines: readonly string[], maxBytes: number): string[] {
  if (maxBytes === 0) return [...lines]
  const datagrams: string[] = []
  let waiting = ''
  let bytes = 0
  for (const line of lines) {
    const length = Buffer.byteLength(line)
    if (waiting !== '' && bytes + 1 + length > maxBytes) {
      datagrams.push(waiting)
      waiting = ''
      bytes = 0
    }
    bytes += length + (waiting === '' ? 0 : 1)
    waiting = waiting === '' ? line : `${waiting}\n${line}`
  }
  if (waiting !== '') datagrams.push(waiting)
  return datagrams
}
