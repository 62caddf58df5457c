// What a filter chain is chosen by, of a connection that has just come. Filled by connection.ts; read by filter-chain-match.ts and
// chain-match-tree.ts.

/** What is known of a connection when its chain is chosen. */
export interface ChainMatchInput {
  readonly localAddress: string
  readonly localPort: number
  /** Lower case, '' when the inspector saw none. */
  readonly serverName: string
  /** `tls`, `raw_buffer`, or '' when nothing looked. */
  readonly transportProtocol: string
  readonly applicationProtocols: readonly string[]
  readonly directSourceAddress: string
  readonly sourceAddress: string
  readonly sourcePort: number
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.')
}
