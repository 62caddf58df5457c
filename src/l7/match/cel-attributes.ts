// Envoy's attributes (request.*, connection.*, …) of a connection and its request, as CEL sees them: integers as bigint, absent ones left out.
// Called by cel-test.ts for the groups that an expression names. Some are '' where there is nothing, as in Envoy: an expression that compares
// them has a value.

import { evaluate } from '@marcbachmann/cel-js'
import type { CelRoot } from '../../model/cel-expression.js'
import type { Metadata } from '../../model/metadata.js'
import { fromByteString } from '../codec/byte-string.js'
import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusFor } from '../grpc/response-status.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { pathOnly } from './route-match.js'

type Attributes = Record<string, unknown>

/** cel-js does not export its class. */
const { fromMilliseconds } = (evaluate('duration("0s")') as { constructor: { fromMilliseconds(ms: number): unknown } }).constructor
const LENGTH = /^\d{1,16}$/
const TLS_VERSIONS: Readonly<Record<string, string>> = { 'TLSv1.2': 'TLSv1.2', 'TLSv1.3': 'TLSv1.3' }
const DIRECTIONS = { UNSPECIFIED: 0n, INBOUND: 1n, OUTBOUND: 2n } as const

export function celAttributes(root: CelRoot, connection: ConnectionInfo, info: StreamInfo | null): Attributes {
  switch (root) {
    case 'connection':
      return connectionAttributes(connection, info)
    case 'source':
      return addressAttributes(info?.remoteAddress ?? connection.remoteAddress, connection.remotePort)
    case 'destination':
      return addressAttributes(connection.localAddress, connection.localPort)
    case 'request':
      return info === null ? {} : requestAttributes(info)
    case 'response':
      return info === null ? {} : responseAttributes(info)
    case 'upstream':
      return info === null ? {} : upstreamAttributes(info)
    case 'metadata':
      return info === null ? {} : Object.fromEntries(info.metadataNamespaces().map(name => [name, info.dynamicMetadata(name)]))
    case 'xds':
      return xdsAttributes(connection, info)
  }
}

/** Without what is undefined; bytes as the text that they are, since an expression's literals are text. */
function present(attributes: Attributes): Attributes {
  for (const [name, value] of Object.entries(attributes))
    if (value === undefined) delete attributes[name]
    else if (typeof value === 'string') attributes[name] = fromByteString(value)
  return attributes
}

function addressAttributes(address: string, port: number): Attributes {
  if (port === 0) return present({ address })
  return { address: address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`, port: BigInt(port) }
}

function connectionAttributes(connection: ConnectionInfo, info: StreamInfo | null): Attributes {
  const { tls } = connection
  const peer = tls?.peer ?? null
  return present({
    id: BigInt(connection.id),
    mtls: peer !== null,
    requested_server_name: connection.requestedServerName,
    tls_version: tls === null ? undefined : TLS_VERSIONS[tls.version],
    subject_local_certificate: tls?.localSubject,
    dns_san_local_certificate: tls?.localDnsSans[0],
    uri_san_local_certificate: tls?.localUriSans[0],
    subject_peer_certificate: tls === null ? undefined : (peer?.subject ?? ''),
    dns_san_peer_certificate: peer?.dnsSans[0],
    uri_san_peer_certificate: peer?.uriSans[0],
    sha256_peer_certificate_digest: peer?.sha256,
    termination_details: info?.connectionTerminationDetails || undefined,
  })
}

function requestAttributes(info: StreamInfo): Attributes {
  const { request } = info
  // The length that was announced, since the body may be still to come.
  const announced = request?.headers.get('content-length')
  const shared = {
    time: new Date(info.startTimeMs),
    duration: durationOf(info.startedAt, info.endedAt),
    size: BigInt(announced !== undefined && LENGTH.test(announced) ? announced : info.bytesReceived),
  }
  if (request === null) return present(shared)
  const { path } = request
  const question = path.indexOf('?')
  const { headers } = request
  return present({
    ...shared,
    path: path || undefined,
    url_path: pathOnly(path),
    query: question === -1 ? '' : path.slice(question + 1),
    host: request.authority || undefined,
    scheme: request.scheme || undefined,
    method: request.method,
    protocol: request.version === 'HTTP/2' ? 'HTTP/2' : request.version,
    id: headers.get('x-request-id'),
    referer: headers.get('referer'),
    useragent: headers.get('user-agent'),
    headers: fieldsOf(headers, { ':method': request.method, ':path': path, ':authority': request.authority, ':scheme': request.scheme }),
    total_size: BigInt(info.bytesReceived + headBytes(headers)),
  })
}

function responseAttributes(info: StreamInfo): Attributes {
  const { response, responseTrailers } = info
  const viaUpstream = response !== null && info.upstreamHost !== null ? 'via_upstream' : undefined
  return present({
    code: info.responseCode === 0 ? undefined : BigInt(info.responseCode),
    code_details: info.responseCodeDetails || viaUpstream,
    flags: BigInt(info.responseFlags),
    size: BigInt(info.bytesSent),
    total_size: BigInt(info.bytesSent + (response === null ? 0 : headBytes(response.headers))),
    grpc_status: info.responseCode === 0 && response === null ? undefined : BigInt(grpcStatusFor(info)),
    headers: response === null ? new Map() : fieldsOf(response.headers, { ':status': String(response.status) }),
    trailers: responseTrailers === null ? new Map() : fieldsOf(responseTrailers, {}),
    backend_latency:
      info.firstUpstreamByteSentAt === 0 || info.lastUpstreamByteReceivedAt === 0
        ? undefined
        : fromMilliseconds(info.lastUpstreamByteReceivedAt - info.firstUpstreamByteSentAt),
  })
}

function upstreamAttributes(info: StreamInfo): Attributes {
  const { upstreamHost, upstreamConnection } = info
  const peer = upstreamConnection?.peer ?? null
  return present({
    ...(upstreamHost === null ? {} : addressText(upstreamHost.address)),
    local_address: info.upstreamLocalAddress || undefined,
    subject_peer_certificate: peer?.subject,
    dns_san_peer_certificate: peer?.dnsSans[0],
    uri_san_peer_certificate: peer?.uriSans[0],
    sha256_peer_certificate_digest: peer?.sha256,
    // '' where a cluster was asked, and nothing where there was none to ask.
    transport_failure_reason: info.upstreamTransportFailureReason || (info.upstreamCluster === '' ? undefined : ''),
    request_attempt_count: BigInt(info.upstreamRequestAttemptCount),
  })
}

function xdsAttributes(connection: ConnectionInfo, info: StreamInfo | null): Attributes {
  return present({
    cluster_name: info?.upstreamCluster || undefined,
    route_name: info === null || info.routeMetadata === null ? undefined : info.routeName,
    route_metadata: metadataOf(info?.routeMetadata ?? null),
    virtual_host_metadata: metadataOf(info?.virtualHostMetadata ?? null),
    listener_metadata: metadataOf(connection.listenerMetadata),
    listener_direction: DIRECTIONS[connection.trafficDirection],
    filter_chain_name: connection.filterChainName,
  })
}

function metadataOf(metadata: Metadata | null): Attributes | undefined {
  return metadata === null ? undefined : { filter_metadata: Object.fromEntries(metadata) }
}

function addressText(address: {
  readonly kind: string
  readonly host?: string
  readonly port?: number
  readonly path?: string
}): Attributes {
  return address.host === undefined ? { address: address.path } : addressAttributes(address.host, address.port ?? 0)
}

function durationOf(startedAt: number, endedAt: number): unknown {
  return fromMilliseconds((endedAt === 0 ? performance.now() : endedAt) - startedAt)
}

/** A Map, so that no field's name is a property; fields that come several times are joined, as Envoy's are. */
function fieldsOf(headers: HeaderList, pseudo: Record<string, string>): Map<string, string> {
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(pseudo)) if (value !== '') fields.set(name, fromByteString(value))
  for (const name of headers.lower) if (!fields.has(name)) fields.set(name, fromByteString(headers.getJoined(name) ?? ''))
  return fields
}

function headBytes(headers: HeaderList): number {
  let bytes = 0
  for (let i = 0; i < headers.length; i++) bytes += headers.lower[i]!.length + headers.values[i]!.length
  return bytes
}
