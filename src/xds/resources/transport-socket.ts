// envoy.config.core.v3.TransportSocket of a filter chain or a cluster: TLS, or raw_buffer (null). Called by listener.ts, cluster.ts.
// An unknown transport socket is always an error: skipping it would send plain text.

import type { DownstreamTls, UpstreamTls } from '../../model/tls.js'
import type { TransportSocket } from '../gen/envoy/config/core/v3/base_pb.js'
import type { DownstreamTlsContext, UpstreamTlsContext } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeDownstreamTls, decodeUpstreamTls } from './tls.js'

const TLS = 'envoy.extensions.transport_sockets.tls.v3.'
const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'

function decodeTransportSocket<T>(
  socket: TransportSocket | undefined,
  ctx: Ctx,
  context: 'DownstreamTlsContext' | 'UpstreamTlsContext',
  decode: (message: unknown, ctx: Ctx) => T,
): T | null {
  if (socket === undefined) return null
  const at = ctx.at('typed_config')
  if (socket.configType.case !== 'typedConfig') {
    // The one form without a config that Envoy's factories by name still took: the plain socket.
    if (socket.name !== 'envoy.transport_sockets.raw_buffer') at.error(`transport socket '${socket.name}' has no typed_config`)
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(socket.configType.value, at)
  if (typeName === RAW_BUFFER) return null
  if (message !== null && typeName === TLS + context) return decode(message, at)
  if (message !== null && typeName.startsWith(TLS)) at.error(`expected ${TLS}${context}, got ${typeName}`)
  else if (message !== null || !known) at.error(`unknown transport socket '${socket.name}' (${describeType(typeUrl)})`)
  return null
}

export function decodeDownstreamSocket(socket: TransportSocket | undefined, ctx: Ctx): DownstreamTls | null {
  return decodeTransportSocket(socket, ctx, 'DownstreamTlsContext', (message, at) =>
    decodeDownstreamTls(message as DownstreamTlsContext, at),
  )
}

export function decodeUpstreamSocket(socket: TransportSocket | undefined, ctx: Ctx): UpstreamTls | null {
  return decodeTransportSocket(socket, ctx, 'UpstreamTlsContext', (message, at) => decodeUpstreamTls(message as UpstreamTlsContext, at))
}
