// What is known of a downstream connection before its first request: addresses, TLS, peer identity. Made by proxy/listener once
// per connection and shared by RBAC, XFCC, formatters and access logs of all its streams.

import type { Metadata } from '../../model/metadata.js'
import type { DownstreamTlsInfo } from '../../mtls/tls/downstream-tls.js'

/** What the handshake and our verdict on the peer gave. */
export type TlsInfo = DownstreamTlsInfo

export interface ConnectionInfo {
  readonly id: number
  readonly listenerName: string
  readonly listenerMetadata: Metadata
  readonly filterChainName: string
  readonly filterChainMetadata: Metadata
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  /** IP literal without brackets, or the pipe's path with port 0. */
  readonly localAddress: string
  readonly localPort: number
  /** The local address is where the client wanted to go, not where the kernel redirected it: ORIGINAL_DST clusters forward to it. */
  readonly localAddressRestored: boolean
  /** The socket's peer, or what the PROXY protocol said. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly directRemoteAddress: string
  readonly directRemotePort: number
  /** SNI seen by tls_inspector or by TLS termination; lower case. */
  readonly requestedServerName: string
  readonly tls: TlsInfo | null
}

/** Who it is from, as logs and denials name it: the identity, else the address. */
export function sourceOf({ tls, remoteAddress }: Pick<ConnectionInfo, 'tls' | 'remoteAddress'>): string {
  return tls?.peer?.uriSans[0] ?? remoteAddress
}
