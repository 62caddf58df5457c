// A filter chain compiled for running: TLS context, the network filters before the terminal one, and the terminal filter. Made by
// compile-listener for each accepted listener version, chosen and walked by the connection.

import type { HttpRuntime } from '../../l7/server/http-runtime.js'
import type { FilterChain } from '../../model/listener.js'
import type { DownstreamTlsContext } from '../../mtls/tls/downstream-tls.js'
import type { PreFilter } from '../network/network-filter.js'
import type { TcpProxyRuntime } from '../tcp/tcp-proxy.js'

export type Terminal =
  | { readonly kind: 'http'; readonly runtime: HttpRuntime }
  | { readonly kind: 'tcp'; readonly runtime: TcpProxyRuntime }
  | { readonly kind: 'directResponse'; readonly body: Uint8Array }
  | { readonly kind: 'echo' }

export interface ChainRuntime {
  readonly model: FilterChain
  readonly tls: DownstreamTlsContext | null
  /** A filter whose configuration has not come over ECDS; null: none. Connections are closed then. */
  readonly missingFilter: string | null
  readonly preFilters: readonly PreFilter[]
  readonly terminal: Terminal
}
