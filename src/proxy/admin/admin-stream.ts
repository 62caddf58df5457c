// One admin request as access logs see it: node:http's objects -> StreamInfo. Called by AdminServer when an answer is over.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { HeaderList } from '../../l7/codec/header-list.js'
import type { ConnectionInfo } from '../../l7/stream/connection-info.js'
import { StreamInfo } from '../../l7/stream/stream-info.js'

export function adminStream(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  startedMs: number,
  startedAt: number,
): StreamInfo {
  const { socket } = request
  const remote = socket.remoteAddress ?? ''
  const connection: ConnectionInfo = {
    id: 0,
    listenerName: 'admin',
    listenerMetadata: new Map(),
    filterChainName: '',
    filterChainMetadata: new Map(),
    trafficDirection: 'UNSPECIFIED',
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    localAddressRestored: false,
    remoteAddress: remote,
    remotePort: socket.remotePort ?? 0,
    directRemoteAddress: remote,
    directRemotePort: socket.remotePort ?? 0,
    requestedServerName: '',
    tls: null,
  }
  const headers = new HeaderList()
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) headers.append(request.rawHeaders[i]!, request.rawHeaders[i + 1]!)
  const stream = new StreamInfo(connection, startedMs, startedAt)
  stream.request = {
    method: request.method ?? '',
    scheme: 'http',
    authority: request.headers.host ?? '',
    path: request.url ?? '',
    version: request.httpVersion === '2.0' ? 'HTTP/2' : request.httpVersion === '1.0' ? 'HTTP/1.0' : 'HTTP/1.1',
    headers,
    upgrade: '',
    contentLength: -1,
    hostName: 'host',
    expectContinue: false,
  }
  stream.responseCode = response.statusCode
  stream.responseCodeDetails = 'admin_filter_response'
  stream.bytesSent = Number(response.getHeader('content-length') ?? 0)
  stream.endedAt = performance.now()
  return stream
}
