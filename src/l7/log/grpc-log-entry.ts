// The entries of access logs to gRPC services: envoy.data.accesslog.v3.HTTPAccessLogEntry and TCPAccessLogEntry in wire format, from what
// is known of a request or connection. Used by access-log. Fields that nothing is known of are left out, as Envoy leaves them out.

import { isIP } from 'node:net'
import type { GrpcLogTarget } from '../../model/access-log.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { fromByteString } from '../codec/byte-string.js'
import { requestHeadBytes, responseHeadBytes } from '../format/header-bytes.js'
import { writeStruct } from '../grpc/protobuf-struct.js'
import { ProtobufWriter } from '../grpc/protobuf-writer.js'
import { requestHeaderReader } from '../match/header-matcher.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** AccessLogType. */
const TCP_CONNECTION_END = 3
const DOWNSTREAM_END = 6

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']
const VERSIONS: ReadonlyMap<string, number> = new Map([
  ['HTTP/1.0', 1],
  ['HTTP/1.1', 2],
  ['HTTP/2', 3],
])
const TLS_VERSIONS: ReadonlyMap<string, number> = new Map([
  ['TLSv1', 1],
  ['TLSv1.1', 2],
  ['TLSv1.2', 3],
  ['TLSv1.3', 4],
])

/** ResponseFlags: bit -> number of its field; UnauthorizedDetails is a message of its own. */
const FLAG_FIELDS: readonly (readonly [bit: number, field: number])[] = [
  [ResponseFlag.FailedLocalHealthCheck, 1],
  [ResponseFlag.NoHealthyUpstream, 2],
  [ResponseFlag.UpstreamRequestTimeout, 3],
  [ResponseFlag.LocalReset, 4],
  [ResponseFlag.UpstreamRemoteReset, 5],
  [ResponseFlag.UpstreamConnectionFailure, 6],
  [ResponseFlag.UpstreamConnectionTermination, 7],
  [ResponseFlag.UpstreamOverflow, 8],
  [ResponseFlag.NoRouteFound, 9],
  [ResponseFlag.DelayInjected, 10],
  [ResponseFlag.FaultInjected, 11],
  [ResponseFlag.RateLimited, 12],
  [ResponseFlag.RateLimitServiceError, 14],
  [ResponseFlag.DownstreamConnectionTermination, 15],
  [ResponseFlag.UpstreamRetryLimitExceeded, 16],
  [ResponseFlag.StreamIdleTimeout, 17],
  [ResponseFlag.InvalidEnvoyRequestHeaders, 18],
  [ResponseFlag.DownstreamProtocolError, 19],
  [ResponseFlag.UpstreamMaxStreamDurationReached, 20],
  [ResponseFlag.ResponseFromCacheFilter, 21],
  [ResponseFlag.NoFilterConfigFound, 22],
  [ResponseFlag.DurationTimeout, 23],
  [ResponseFlag.UpstreamProtocolError, 24],
  [ResponseFlag.NoClusterFound, 25],
  [ResponseFlag.OverloadManager, 26],
  [ResponseFlag.DnsResolutionFailed, 27],
  [ResponseFlag.DownstreamRemoteReset, 28],
]

export function encodeLogEntry(target: GrpcLogTarget, info: StreamInfo): Buffer {
  const writer = new ProtobufWriter()
  writer.message(1, common => writeCommon(common, info))
  if (target.protocol === 'tcp') {
    writer.message(2, connection => connection.uint(1, info.bytesReceived).uint(2, info.bytesSent))
    return writer.finish()
  }
  writer.uint(2, VERSIONS.get(info.request?.version ?? info.refusedProtocol) ?? 0)
  writer.message(3, request => writeRequest(request, info, target))
  writer.message(4, response => writeResponse(response, info, target))
  return writer.finish()
}

function writeCommon(common: ProtobufWriter, info: StreamInfo): void {
  const { connection } = info
  writeAddress(common, 2, info.remoteAddress, info.remoteAddress === connection.remoteAddress ? connection.remotePort : 0)
  writeAddress(common, 3, connection.localAddress, connection.localPort)
  if (connection.tls !== null) common.message(4, tls => writeTls(tls, info))
  common.message(5, time => {
    time.uint(1, Math.floor(info.startTimeMs / 1000)).uint(2, (info.startTimeMs % 1000) * 1_000_000)
  })
  const lastUpstreamTx = info.firstUpstreamByteSentAt === 0 ? 0 : Math.max(info.firstUpstreamByteSentAt, info.requestReceivedAt)
  const moments = [
    info.requestReceivedAt,
    info.firstUpstreamByteSentAt,
    lastUpstreamTx,
    info.firstUpstreamByteReceivedAt,
    info.lastUpstreamByteReceivedAt,
    info.firstDownstreamByteSentAt,
    info.lastDownstreamByteSentAt,
  ]
  moments.forEach((at, i) => {
    if (at !== 0) writeDuration(common, 6 + i, at - info.startedAt)
  })
  writeUpstream(common, info)
  if (info.responseFlags !== 0) common.message(16, flags => writeFlags(flags, info.responseFlags))
  const namespaces = info.metadataNamespaces()
  if (namespaces.length > 0) {
    common.message(17, metadata => {
      for (const namespace of namespaces) {
        const struct = info.dynamicMetadata(namespace)!
        metadata.message(1, entry => entry.string(1, namespace).message(2, value => writeStruct(value, struct)))
      }
    })
  }
  common.string(18, text(info.upstreamTransportFailureReason)).string(19, info.routeName)
  writeAddress(common, 20, connection.directRemoteAddress, connection.directRemotePort)
  writeDuration(common, 23, (info.endedAt === 0 ? performance.now() : info.endedAt) - info.startedAt)
  common.uint(24, info.upstreamRequestAttemptCount).string(25, text(info.connectionTerminationDetails)).string(26, text(info.requestId))
  common.uint(29, info.bytesSent).uint(30, info.bytesReceived).uint(31, info.upstreamBytesSent).uint(32, info.upstreamBytesReceived)
  if (!info.forListenerLog) common.uint(33, info.request === null ? TCP_CONNECTION_END : DOWNSTREAM_END)
}

function writeUpstream(common: ProtobufWriter, info: StreamInfo): void {
  const host = info.upstreamHost
  if (host !== null) {
    if (host.address.kind === 'pipe') writeAddress(common, 13, host.address.path, 0)
    else writeAddress(common, 13, host.address.host, host.address.port)
    common.string(15, info.upstreamCluster)
  }
  const local = /^\[?(.*?)\]?:(\d+)$/.exec(info.upstreamLocalAddress)
  if (local !== null) writeAddress(common, 14, local[1]!, Number(local[2]))
}

function writeFlags(flags: ProtobufWriter, bits: number): void {
  for (const [bit, field] of FLAG_FIELDS) if ((bits & bit) !== 0) flags.uint(field, 1)
  if ((bits & ResponseFlag.UnauthorizedExternalService) !== 0) flags.message(13, details => details.uint(1, 1))
}

function writeTls(writer: ProtobufWriter, { connection }: StreamInfo): void {
  const tls = connection.tls!
  writer.uint(1, TLS_VERSIONS.get(tls.version) ?? 0).string(3, connection.requestedServerName)
  writer.message(4, local => {
    for (const uri of tls.localUriSans) local.message(1, san => san.string(1, uri))
    for (const dns of tls.localDnsSans) local.message(1, san => san.string(2, dns))
    local.string(2, tls.localSubject)
  })
  writer.message(5, peer => {
    if (tls.peer !== null) writePeer(peer, tls.peer)
  })
}

function writePeer(writer: ProtobufWriter, peer: PeerIdentity): void {
  for (const uri of peer.uriSans) writer.message(1, san => san.string(1, uri))
  for (const dns of peer.dnsSans) writer.message(1, san => san.string(2, dns))
  writer.string(2, peer.subject).string(3, peer.issuer)
}

function writeRequest(writer: ProtobufWriter, info: StreamInfo, target: GrpcLogTarget): void {
  const { request } = info
  if (request === null) return
  const { headers } = request
  const of = (name: string): string => text(headers.getJoined(name) ?? '')
  writer
    .uint(1, METHODS.indexOf(request.method) + 1)
    .string(2, request.scheme)
    .string(3, text(request.authority))
  writer.string(5, text(request.path)).string(6, of('user-agent')).string(7, of('referer')).string(8, of('x-forwarded-for'))
  writer.string(9, of('x-request-id')).string(10, of('x-envoy-original-path'))
  writer.uint(11, requestHeadBytes(request)).uint(12, info.bytesReceived)
  for (const name of target.requestHeaders) {
    const value = name.startsWith(':') ? requestHeaderReader(name)(request) : headers.getJoined(name)
    if (value !== undefined) writer.mapEntry(13, name, text(value))
  }
}

function writeResponse(writer: ProtobufWriter, info: StreamInfo, target: GrpcLogTarget): void {
  if (info.responseCode !== 0) writer.message(1, code => code.uint(1, info.responseCode))
  writer.uint(2, info.response === null ? 0 : responseHeadBytes(info.response)).uint(3, info.bytesSent)
  for (const name of target.responseHeaders) {
    const value = name === ':status' && info.responseCode !== 0 ? String(info.responseCode) : info.response?.headers.getJoined(name)
    if (value !== undefined) writer.mapEntry(4, name, text(value))
  }
  for (const name of target.responseTrailers) {
    const value = info.responseTrailers?.getJoined(name)
    if (value !== undefined) writer.mapEntry(5, name, text(value))
  }
  writer.string(6, text(info.responseCodeDetails))
}

/** Protobuf strings are UTF-8. */
const text = fromByteString

function writeAddress(writer: ProtobufWriter, field: number, host: string, port: number): void {
  if (host === '') return
  writer.message(field, address => {
    if (isIP(host) === 0) address.message(2, pipe => pipe.string(1, host))
    // A port of 0 is written: it is a member of a oneof.
    else address.message(1, socket => socket.string(2, host).member(3, port))
  })
}

function writeDuration(writer: ProtobufWriter, field: number, ms: number): void {
  const whole = Math.max(0, ms)
  const seconds = Math.floor(whole / 1000)
  writer.message(field, duration => duration.uint(1, seconds).uint(2, Math.round((whole - seconds * 1000) * 1_000_000) % 1_000_000_000))
}
