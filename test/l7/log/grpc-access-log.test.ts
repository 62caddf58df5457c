import { fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { GrpcLoggers } from '../../../src/l7/log/grpc-access-log.js'
import { encodeLogEntry } from '../../../src/l7/log/grpc-log-entry.js'
import { ResponseFlag } from '../../../src/l7/stream/response-flags.js'
import { StreamInfo } from '../../../src/l7/stream/stream-info.js'
import { grpcLogStats } from '../../../src/metrics/reporting-stats.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { GrpcLogTarget } from '../../../src/model/access-log.js'
import { HTTPAccessLogEntrySchema, TCPAccessLogEntrySchema } from '../../../src/xds/gen/envoy/data/accesslog/v3/accesslog_pb.js'
import { StreamAccessLogsMessageSchema } from '../../../src/xds/gen/envoy/service/accesslog/v3/als_pb.js'
import { ManualClock } from '../../support/manual-clock.js'
import { connectionInfo, requestHead } from '../filters/fake-call.js'

const target = (changes: Partial<GrpcLogTarget> = {}): GrpcLogTarget => ({
  kind: 'grpc',
  protocol: 'http',
  logName: 'log',
  service: { cluster: 'als', target: '', authority: '', timeoutMs: null, initialMetadata: [] },
  flushIntervalMs: 1000,
  bufferBytes: 100,
  requestHeaders: [],
  responseHeaders: [],
  responseTrailers: [],
  ...changes,
})

/** A service whose streams the test opens, fills and ends. */
function harness(changes: Partial<GrpcLogTarget> = {}) {
  const clock = new ManualClock()
  const streams: { sent: Buffer[]; takes: boolean; end: (reason: string) => void }[] = []
  const store = new StatsStore()
  const loggers = new GrpcLoggers({
    client: {
      stream: (_service, _path, end) => {
        const stream = { sent: [] as Buffer[], takes: true, end }
        streams.push(stream)
        return {
          send: message => {
            if (stream.takes) stream.sent.push(message)
            return stream.takes
          },
          close: () => {},
        }
      },
    },
    clock,
    random: () => 0.999,
    stats: () => grpcLogStats(store),
    log: () => {},
    node: Buffer.from([0x0a, 1, 0x6e]),
  })
  const logger = loggers.open(target(changes))
  const read = (stream: number) => streams[stream]!.sent.map(bytes => fromBinary(StreamAccessLogsMessageSchema, bytes))
  const entries = (stream: number): number[] =>
    read(stream).map(({ logEntries }) => (logEntries.case === 'httpLogs' ? logEntries.value.logEntry.length : 0))
  const counted = (name: string): number => store.counter(`access_logs.grpc_access_log.${name}`).value
  return { clock, streams, loggers, logger, read, entries, counted }
}

describe('GrpcLogger', () => {
  it('sends what has gathered after the interval, or when the buffer is full; who sends, once a stream', () => {
    const { clock, logger, read, entries } = harness()
    logger.write(Buffer.alloc(0))
    logger.write(Buffer.alloc(0))
    clock.advance(999)
    clock.advance(1)
    expect(entries(0)).toEqual([2])
    logger.write(Buffer.from([0x10, 2]))
    for (let i = 0; i < 49; i++) logger.write(Buffer.from([0x10, 2]))
    expect(entries(0)).toEqual([2, 50])
    expect(read(0).map(({ identifier }) => identifier?.logName)).toEqual(['log', undefined])
    expect(read(0)[0]?.identifier?.node?.id).toBe('n')
  })

  it('drops what is more than the buffer while the service takes nothing, and counts it', () => {
    const { clock, logger, streams, entries, counted } = harness({ bufferBytes: 4 })
    const entry = Buffer.from([0x10, 2])
    logger.write(entry)
    logger.write(entry)
    expect(entries(0)).toEqual([2])
    streams[0]!.takes = false
    for (let i = 0; i < 5; i++) logger.write(entry)
    expect([counted('logs_written'), counted('logs_dropped')]).toEqual([4, 3])
    streams[0]!.takes = true
    clock.advance(1000)
    expect(entries(0)).toEqual([2, 2])
  })

  it('opens another stream after one has ended, later each time', () => {
    const { clock, logger, streams } = harness({ flushIntervalMs: 100 })
    logger.write(Buffer.alloc(0))
    clock.advance(100)
    streams[0]!.takes = false
    streams[0]!.end('gone')
    const openedAfter: number[] = []
    for (let i = 1; i <= 3; i++) {
      let waited = 0
      while (streams.length === i) {
        logger.write(Buffer.alloc(0))
        clock.advance(100)
        waited += 100
      }
      openedAfter.push(waited)
      // A stream that carried nothing.
      streams[i]!.sent = []
      streams[i]!.end('refused')
    }
    expect(openedAfter[0]).toBeLessThanOrEqual(600)
    expect(streams).toHaveLength(4)
  })

  it('is one for equal targets', () => {
    const { loggers, logger } = harness()
    expect(loggers.open(target({ requestHeaders: ['x'] }))).toBe(logger)
    expect(loggers.open(target({ logName: 'other' }))).not.toBe(logger)
  })
})

describe('entries', () => {
  const info = (): StreamInfo => {
    const stream = new StreamInfo(connectionInfo('spiffe://td/a'), 1_700_000_000_250, 100)
    stream.endedAt = 1600.5
    return stream
  }

  it('say identity, times and flags', () => {
    const stream = info()
    stream.request = requestHead({ method: 'PATCH', path: '/p' })
    stream.responseFlags = ResponseFlag.UnauthorizedExternalService | ResponseFlag.NoRouteFound
    stream.setDynamicMetadata('ns', 'key', 'value')
    const entry = fromBinary(HTTPAccessLogEntrySchema, encodeLogEntry(target(), stream))
    expect(entry.request).toMatchObject({ requestMethod: 9, path: '/p' })
    expect(entry.commonProperties).toMatchObject({
      startTime: { seconds: 1_700_000_000n, nanos: 250_000_000 },
      duration: { seconds: 1n, nanos: 500_500_000 },
      responseFlags: { noRouteFound: true, unauthorizedDetails: { reason: 1 } },
      tlsProperties: {
        tlsVersion: 4,
        peerCertificateProperties: { subjectAltName: [{ san: { case: 'uri', value: 'spiffe://td/a' } }] },
        localCertificateProperties: { subjectAltName: [{ san: { case: 'uri', value: 'spiffe://td/ns/default/dc/dc1/svc/api' } }] },
      },
      metadata: { filterMetadata: { ns: { key: 'value' } } },
      accessLogType: 6,
    })
    expect(entry.commonProperties!.timeToFirstUpstreamTxByte).toBeUndefined()
  })

  it('of connections count bytes', () => {
    const stream = info()
    stream.bytesReceived = 7
    stream.bytesSent = 9
    const entry = fromBinary(TCPAccessLogEntrySchema, encodeLogEntry(target({ protocol: 'tcp' }), stream))
    expect(entry).toMatchObject({ connectionProperties: { receivedBytes: 7n, sentBytes: 9n }, commonProperties: { accessLogType: 3 } })
  })
})
