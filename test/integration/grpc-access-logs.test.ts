// Access logs to a gRPC service (http_grpc and tcp_grpc) through the real proxy: what an entry says, when entries are sent, what happens while
// the service is away. The real Envoy passes the same tests (OUTRIGGER_BIN).
import { connect } from 'node:net'
import { fromBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HTTPAccessLogEntry, TCPAccessLogEntry } from '../../src/xds/gen/envoy/data/accesslog/v3/accesslog_pb.js'
import { type StreamAccessLogsMessage, StreamAccessLogsMessageSchema } from '../../src/xds/gen/envoy/service/accesslog/v3/als_pb.js'
import { Front, Lettered, to } from '../support/front-proxy.js'
import { http2Upstream } from '../support/grpc-services.js'
import { EchoOrigin } from '../support/origins.js'
import { freePort, listener, staticCluster, stopAll, tcpProxy, typed, until } from '../support/proxy-process.js'

/** An AccessLogService that keeps what came, by log name. */
class LogService {
  readonly messages: StreamAccessLogsMessage[] = []
  streams = 0
  port = 0
  private server: grpc.Server | null = null

  async listen(): Promise<this> {
    const server = new grpc.Server()
    const definition = {
      path: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
      requestStream: true,
      responseStream: false,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes: Buffer) => fromBinary(StreamAccessLogsMessageSchema, bytes),
      responseSerialize: () => Buffer.alloc(0),
      responseDeserialize: () => null,
    }
    const call = (stream: grpc.ServerReadableStream<StreamAccessLogsMessage, null>): void => {
      this.streams++
      stream.on('data', (message: StreamAccessLogsMessage) => this.messages.push(message))
      stream.on('error', () => {})
    }
    server.addService({ call: definition } as grpc.ServiceDefinition, { call } as grpc.UntypedServiceImplementation)
    const bound = `127.0.0.1:${this.port}`
    this.port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(bound, grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port))),
    )
    this.server = server
    return this
  }

  kill(): void {
    this.server?.forceShutdown()
    this.server = null
  }

  http(): HTTPAccessLogEntry[] {
    return this.messages.flatMap(({ logEntries }) => (logEntries.case === 'httpLogs' ? logEntries.value.logEntry : []))
  }

  tcp(): TCPAccessLogEntry[] {
    return this.messages.flatMap(({ logEntries }) => (logEntries.case === 'tcpLogs' ? logEntries.value.logEntry : []))
  }

  entry(path: string): Promise<HTTPAccessLogEntry> {
    return until(`an entry for ${path}`, () => this.http().find(({ request }) => request?.path === path))
  }
}

const apps = new Lettered(1)
const echo = new EchoOrigin()
const service = new LogService()
let front: Front
let tcpPort: number

const grpcLog = (kind: 'Http' | 'Tcp', config: object, more: object = {}): object => ({
  ...typed('log', `access_loggers.grpc.v3.${kind}GrpcAccessLogConfig`, {
    common_config: {
      log_name: `log-${kind}`,
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: 'als' } },
      buffer_flush_interval: '0.05s',
      ...config,
    },
    ...more,
  }),
})
const extra = {
  additional_request_headers_to_log: ['X-Wanted', ':method', 'x-absent'],
  additional_response_headers_to_log: ['Content-Length', ':status'],
}

beforeAll(async () => {
  await Promise.all([apps.listen(), echo.listen(), service.listen()])
  tcpPort = await freePort()
  front = await Front.start({
    bootstrap: { node: { id: 'me', cluster: 'ours', locality: { zone: 'z' } } },
    routes: [
      to('/nobody', 'nobody'),
      { match: { prefix: '/direct' }, direct_response: { status: 403 } },
      { ...to('/', 'a'), name: 'to-a' },
    ],
    clusters: [
      staticCluster('a', apps.ports[0]!),
      staticCluster('echo', echo.port),
      staticCluster('als', service.port, http2Upstream),
      { name: 'nobody', type: 'STATIC', connect_timeout: '1s' },
    ],
    manager: { access_log: [grpcLog('Http', {}, extra)] },
    listeners: [listener('tcp', tcpPort, [tcpProxy('echo', { access_log: [grpcLog('Tcp', {})] })])],
  })
})

afterAll(async () => {
  await stopAll()
  service.kill()
  await apps.close()
  await echo.close()
})

describe('http_grpc', () => {
  it('says who sends, once a stream, and everything about the request', async () => {
    const headers = { 'x-wanted': 'yes', 'user-agent': 'test', referer: 'there', 'x-request-id': 'id-1' }
    await front.ask('/whole?q=1', { method: 'POST', headers, body: 'hello' })
    const entry = await service.entry('/whole?q=1')
    const identifiers = service.messages.flatMap(({ identifier }) => (identifier?.logName === 'log-Http' ? [identifier] : []))
    expect(identifiers).toMatchObject([{ node: { id: 'me', cluster: 'ours', locality: { zone: 'z' } } }])
    const common = entry.commonProperties!
    const address = { address: { case: 'socketAddress', value: { address: '127.0.0.1' } } }
    expect(entry).toMatchObject({
      protocolVersion: 2,
      commonProperties: {
        downstreamRemoteAddress: address,
        downstreamDirectRemoteAddress: address,
        downstreamLocalAddress: { address: { value: { portSpecifier: { value: front.port } } } },
        upstreamRemoteAddress: { address: { value: { portSpecifier: { value: apps.ports[0] } } } },
        upstreamLocalAddress: address,
        upstreamCluster: 'a',
        routeName: 'to-a',
        upstreamRequestAttemptCount: 1,
        accessLogType: 6,
        streamId: 'id-1',
      },
      request: {
        requestMethod: 3,
        scheme: 'http',
        authority: 'test',
        path: '/whole?q=1',
        userAgent: 'test',
        referer: 'there',
        requestId: 'id-1',
        requestBodyBytes: 5n,
        requestHeaders: { 'x-wanted': 'yes', ':method': 'POST' },
      },
      response: {
        responseCode: 200,
        responseCodeDetails: 'via_upstream',
        responseBodyBytes: 1n,
        responseHeaders: { 'content-length': '1', ':status': '200' },
      },
    })
    expect(common.responseFlags).toBeUndefined()
    const times = [
      'duration',
      'timeToLastRxByte',
      'timeToFirstUpstreamTxByte',
      'timeToLastUpstreamTxByte',
      'timeToFirstUpstreamRxByte',
      'timeToLastUpstreamRxByte',
      'timeToFirstDownstreamTxByte',
      'timeToLastDownstreamTxByte',
    ] as const
    expect(times.filter(time => common[time] === undefined)).toEqual([])
    expect(Math.abs(Number(common.startTime!.seconds) - Date.now() / 1000)).toBeLessThan(60)
  })

  it('says what failed', async () => {
    await front.ask('/nobody/x')
    const { commonProperties, response } = await service.entry('/nobody/x')
    expect(commonProperties).toMatchObject({ responseFlags: { noHealthyUpstream: true }, upstreamCluster: '' })
    expect(commonProperties!.upstreamRemoteAddress).toBeUndefined()
    expect(response).toMatchObject({ responseCodeDetails: expect.stringContaining('no_healthy_upstream') })
    await front.ask('/direct')
    expect((await service.entry('/direct')).response).toMatchObject({ responseCodeDetails: 'direct_response' })
  })

  it('counts what it sends', async () => {
    const before = await front.proxy.stat('access_logs.grpc_access_log.logs_written')
    await front.ask('/counted')
    await front.proxy.untilStat('access_logs.grpc_access_log.logs_written', value => value === before + 1)
    expect(await front.proxy.stat('access_logs.grpc_access_log.logs_dropped')).toBe(0)
  })
})

describe('tcp_grpc', () => {
  it('has an entry for each connection', async () => {
    const socket = connect(tcpPort, '127.0.0.1')
    socket.write('ping')
    await new Promise(resolve => socket.once('data', resolve))
    socket.end()
    const [entry] = await until('an entry', () => (service.tcp().length > 0 ? service.tcp() : null))
    expect(entry).toMatchObject({
      commonProperties: { upstreamCluster: 'echo', accessLogType: 3 },
      connectionProperties: { receivedBytes: 4n, sentBytes: 4n },
    })
  })
})

it('a service that is away costs entries, counted, and no request; what comes later is sent', async () => {
  const away = new LogService()
  away.port = await freePort()
  const started = await Front.start({
    bootstrap: { node: { id: 'me', cluster: 'ours' } },
    routes: [to('/', 'a')],
    clusters: [staticCluster('a', apps.ports[0]!), staticCluster('als', away.port, http2Upstream)],
    manager: { access_log: [grpcLog('Http', { buffer_size_bytes: 400 })] },
  })
  for (let i = 0; i < 30; i++) expect(await started.status(`/away-${i}`)).toBe(200)
  await away.listen()
  await until('an entry of a later request', async () => {
    await started.status('/later')
    return away.http().some(({ request }) => request?.path === '/later')
  })
  expect(away.http().length).toBeGreaterThan(0)
  expect(await started.proxy.stat('access_logs.grpc_access_log.logs_written')).toBeGreaterThan(0)
  const streams = away.streams
  away.kill()
  await started.status('/broken')
  await away.listen()
  await until('an entry after the stream broke', async () => {
    await started.status('/again')
    return away.http().some(({ request }) => request?.path === '/again')
  })
  expect(away.streams).toBeGreaterThan(streams)
  away.kill()
})
