// Which filter chain a new connection takes (envoy.config.listener.v3.FilterChainMatch). Criteria are looked at in Envoy's order,
// the most specific value of each wins, and there is no way back: a chain that loses at one step is out. Or a filter_chain_matcher names it.
// Pure; compiled once per listener version. HOT only for listeners with many chains: one pass over the chains per connection.

import net from 'node:net'
import type { FilterChain, Listener } from '../../model/listener.js'
import { type ChainMatchInput, isLoopback } from './chain-match-input.js'
import { compileChainMatchTree } from './chain-match-tree.js'

type Score = (input: ChainMatchInput) => number

interface CompiledMatch<T> {
  readonly value: T
  /** The addresses that it serves, where they are single ones and no port comes before them: found by a look-up. Null: looked at each time. */
  readonly addresses: readonly string[] | null
  /** One score per criterion, in order: -1 no match, 0 matches anything, higher = more specific. Null = no criteria at all. */
  readonly scores: readonly (Score | null)[] | null
}

export class FilterChainMatcher<T> {
  private readonly chains: readonly CompiledMatch<T>[]
  private readonly fallback: T | null
  /** Names the chain; null: the chains' own matches count. */
  private readonly nameOf: ((input: ChainMatchInput) => string | null) | null
  private readonly byName: ReadonlyMap<string, T>
  /**
   * The ClientHello must be read before anything else: a chain is chosen by it, or a chain leaves TLS to others, and its sni_cluster,
   * its rules and its logs want the server name all the same (Consul's mesh gateway: one chain that matches everything).
   */
  readonly needsClientHello: boolean
  /** A chain is chosen by the HTTP that a client speaks in clear text. */
  readonly needsHttpHello: boolean
  /** Those looked at for a destination among `addresses` of a chain, and for any other: a transparent proxy has a chain for every service. */
  private readonly byAddress: ReadonlyMap<string, readonly CompiledMatch<T>[]>
  private readonly elsewhere: readonly CompiledMatch<T>[]

  constructor(listener: Listener, make: (chain: FilterChain) => T) {
    this.chains = listener.filterChains.map(chain => ({
      value: make(chain),
      addresses: singleAddresses(chain),
      scores: compileScores(chain),
    }))
    this.elsewhere = this.chains.filter(({ addresses }) => addresses === null)
    this.byAddress = this.indexed()
    this.fallback = listener.defaultFilterChain === null ? null : make(listener.defaultFilterChain)
    const { filterChains, defaultFilterChain, filterChainMatcher } = listener
    this.nameOf = filterChainMatcher === null ? null : compileChainMatchTree(filterChainMatcher)
    this.byName = new Map(filterChains.map(({ name }, i) => [name, this.chains[i]!.value]))
    this.needsClientHello =
      listener.tlsInspector &&
      (filterChainMatcher !== null ||
        defaultFilterChain?.tls === null ||
        filterChains.some(
          ({ match, tls }) =>
            tls === null || match.serverNames.length > 0 || match.applicationProtocols.length > 0 || match.transportProtocol !== '',
        ))
    this.needsHttpHello =
      listener.httpInspector && (filterChainMatcher !== null || filterChains.some(({ match }) => match.applicationProtocols.length > 0))
  }

  /** Null: no chain matches; the connection is closed (stat no_filter_chain_match). */
  find(input: ChainMatchInput): T | null {
    const { chains } = this
    if (this.nameOf !== null) {
      const name = this.nameOf(input)
      return name === null ? this.fallback : (this.byName.get(name) ?? null)
    }
    if (chains.length === 1 && chains[0]!.scores === null) return chains[0]!.value
    let candidates = this.byAddress.get(input.localAddress) ?? this.elsewhere
    for (let criterion = 0; criterion < CRITERIA && candidates.length > 0; criterion++) {
      let best = -1
      let next: CompiledMatch<T>[] = []
      for (const chain of candidates) {
        const score = chain.scores?.[criterion]?.(input) ?? 0
        if (score < 0 || score < best) continue
        if (score > best) {
          best = score
          next = []
        }
        next.push(chain)
      }
      candidates = next
    }
    return candidates[0]?.value ?? this.fallback
  }

  private indexed(): Map<string, CompiledMatch<T>[]> {
    const index = new Map<string, CompiledMatch<T>[]>()
    for (const chain of this.chains) {
      for (const address of chain.addresses ?? []) {
        const others = index.get(address)
        if (others === undefined) index.set(address, [...this.elsewhere, chain])
        else others.push(chain)
      }
    }
    return index
  }
}

const CRITERIA = 9
const IPV4_BITS = 32

/**
 * A chain that is left out loses at the second criterion whatever comes in; it must not have been able to beat others at the first. IPv6 has
 * many spellings: not looked up.
 */
function singleAddresses({ match: { destinationPort, prefixRanges } }: FilterChain): readonly string[] | null {
  if (destinationPort !== null || prefixRanges.length === 0) return null
  if (!prefixRanges.every(({ address, prefixLength }) => prefixLength === IPV4_BITS && net.isIPv4(address))) return null
  return prefixRanges.map(({ address }) => address)
}

function compileScores(chain: FilterChain): readonly (Score | null)[] | null {
  const { match } = chain
  const { serverNames, applicationProtocols, sourcePorts } = match
  const scores: (Score | null)[] = [
    match.destinationPort === null ? null : input => (input.localPort === match.destinationPort ? 1 : -1),
    rangeScore(match.prefixRanges, input => input.localAddress),
    serverNames.length === 0 ? null : input => serverNameScore(serverNames, input.serverName),
    match.transportProtocol === '' ? null : input => (input.transportProtocol === match.transportProtocol ? 1 : -1),
    applicationProtocols.length === 0
      ? null
      : input => (input.applicationProtocols.some(name => applicationProtocols.includes(name)) ? 1 : -1),
    rangeScore(match.directSourcePrefixRanges, input => input.directSourceAddress),
    match.sourceType === 'ANY'
      ? null
      : input =>
          (match.sourceType === 'SAME_IP_OR_LOOPBACK') === (isLoopback(input.sourceAddress) || input.sourceAddress === input.localAddress)
            ? 1
            : -1,
    rangeScore(match.sourcePrefixRanges, input => input.sourceAddress),
    sourcePorts.length === 0 ? null : input => (sourcePorts.includes(input.sourcePort) ? 1 : -1),
  ]
  return scores.every(score => score === null) ? null : scores
}

/** Exact name beats a wildcard, a longer wildcard a shorter one; `*.a.com` matches any depth below a.com here (Envoy server_names). */
function serverNameScore(names: readonly string[], serverName: string): number {
  let best = -1
  if (serverName === '') return best
  for (const name of names) {
    if (name === serverName) return 10_000
    if (name.startsWith('*.') && serverName.endsWith(name.slice(1)) && serverName.length > name.length - 1)
      best = Math.max(best, name.length)
  }
  return best
}

function rangeScore(ranges: FilterChain['match']['prefixRanges'], address: (input: ChainMatchInput) => string): Score | null {
  if (ranges.length === 0) return null
  const lists = ranges.map(range => {
    const list = new net.BlockList()
    const family = net.isIPv6(range.address) ? 'ipv6' : 'ipv4'
    list.addSubnet(range.address, range.prefixLength, family)
    return { list, length: range.prefixLength + 1 }
  })
  return input => {
    const text = address(input)
    const family = net.isIPv6(text) ? 'ipv6' : 'ipv4'
    if (net.isIP(text) === 0) return -1
    let best = -1
    for (const { list, length } of lists) if (length > best && list.check(text, family)) best = length
    return best
  }
}
