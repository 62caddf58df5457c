// A listener's filter_chain_matcher: the tree reads what is known of a new connection and ends in a chain's name. Compiled once per listener
// version by FilterChainMatcher, in place of the chains' own matches. HOT: once a connection.

import { compileMatchTree } from '../../l7/match/match-tree.js'
import type { MatchInput, MatchTree } from '../../model/match-tree.js'
import { type ChainMatchInput, isLoopback } from './chain-match-input.js'

/** Null: nothing matches, and the default chain serves. */
export function compileChainMatchTree(tree: MatchTree<string>): (input: ChainMatchInput) => string | null {
  return compileMatchTree(tree, { input: readerOf, test: () => () => false })
}

/** What is not known is null. */
function readerOf(input: MatchInput): (connection: ChainMatchInput) => string | null {
  switch (input.kind) {
    case 'destinationIp':
      return ({ localAddress }) => localAddress
    case 'destinationPort':
      return ({ localPort }) => String(localPort)
    case 'sourceIp':
      return ({ sourceAddress }) => sourceAddress
    case 'sourcePort':
      return ({ sourcePort }) => String(sourcePort)
    case 'directSourceIp':
      return ({ directSourceAddress }) => directSourceAddress
    case 'sourceType':
      return ({ sourceAddress, localAddress }) => (isLoopback(sourceAddress) || sourceAddress === localAddress ? 'local' : null)
    case 'serverName':
      return ({ serverName }) => serverName || null
    case 'transportProtocol':
      return ({ transportProtocol }) => transportProtocol || null
    case 'applicationProtocol':
      return ({ applicationProtocols }) => applicationProtocols.map(name => `'${name}'`).join(',') || null
    default:
      // The decoder lets a filter chain read no certificate (the handshake comes later) and no request.
      return () => null
  }
}
