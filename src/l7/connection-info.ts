// What is known of a downstream connection before its first request: addresses, TLS, peer identity. Made by proxy/listener once
// per connection and shared by RBAC, XFCC, formatters and access logs of all its streams.

import type { Metadata } from '../model/metadata.js'
import type { PeerIdentity } from '../mtls/peer-identity.js'

export interface TlsInfo {
  /** Lower case; '' without SNI. */
  readonly sni: string
  readonly version: string
  readonly cipher: string
  readonly alpn: string
  readonly resumed: boolean
  readonly peer: PeerIdentity | null
  /** URI SANs and subject of our own certificate (for XFCC `By=` and `%DOWNSTREAM_LOCAL_URI_SAN%`). */
  readonly localUriSans: readonly string[]
  readonly localDnsSans: readonly string[]
  readonly localSubject: string
}

export interface ConnectionInfo {
  readonly id: number
  readonly listenerName: string
  readonly listenerMetadata: Metadata
  readonly filterChainName: string
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  /** IP literal without brackets, or the pipe's path with port 0. */
  readonly localAddress: string
  readonly localPort: number
  /** The socket's peer, or what the PROXY protocol said. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly directRemoteAddress: string
  readonly directRemotePort: number
  /** SNI seen by tls_inspector or by TLS termination; lower case. */
  readonly requestedServerName: string
  readonly tls: TlsInfo | null
}
