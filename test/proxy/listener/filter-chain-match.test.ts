// Chains of single addresses are looked up, all others compared one by one: the answers must be the same as if each were compared.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FilterChain, FilterChainMatch, Listener } from '../../../src/model/listener.js'
import type { ChainMatchInput } from '../../../src/proxy/listener/chain-match-input.js'
import { FilterChainMatcher } from '../../../src/proxy/listener/filter-chain-match.js'

const ANY: FilterChainMatch = {
  destinationPort: null,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'ANY',
  sourcePrefixRanges: [],
  sourcePorts: [],
}
const range = (address: string, prefixLength = 32) => ({ address, prefixLength })

function matcher(matches: Readonly<Record<string, Partial<FilterChainMatch>>>, fallback = true): FilterChainMatcher<string> {
  const chain = (name: string, match: Partial<FilterChainMatch>): FilterChain => ({
    name,
    match: { ...ANY, ...match },
    tls: null,
    filters: [],
    transportSocketConnectTimeoutMs: 0,
    metadata: new Map(),
  })
  const listener = {
    filterChains: Object.entries(matches).map(([name, match]) => chain(name, match)),
    defaultFilterChain: fallback ? chain('default', {}) : null,
    filterChainMatcher: null,
    tlsInspector: false,
    httpInspector: false,
  }
  return new FilterChainMatcher(listener as unknown as Listener, ({ name }) => name)
}

function to(localAddress: string, localPort = 80): ChainMatchInput {
  return {
    localAddress,
    localPort,
    serverName: '',
    transportProtocol: '',
    applicationProtocols: [],
    directSourceAddress: '10.0.0.1',
    sourceAddress: '10.0.0.1',
    sourcePort: 1,
  }
}

describe('a chain of single addresses', () => {
  const services = matcher({
    a: { prefixRanges: [range('240.0.0.1'), range('10.1.1.1')] },
    b: { prefixRanges: [range('240.0.0.2')] },
    all: { prefixRanges: [range('240.0.0.0', 4)] },
    port: { destinationPort: 443, prefixRanges: [range('240.0.0.9')] },
  })

  it('takes what was made to one of them', () => {
    expect(['240.0.0.1', '10.1.1.1', '240.0.0.2'].map(address => services.find(to(address)))).toEqual(['a', 'a', 'b'])
  })

  it('leaves the rest to wider ranges, and those to the default', () => {
    expect(services.find(to('240.0.0.3'))).toBe('all')
    expect(services.find(to('10.1.1.2'))).toBe('default')
    expect(services.find(to('2001:db8::1'))).toBe('default')
  })

  it('is beaten by a chain of the port, from which there is no way back', () => {
    expect(services.find(to('240.0.0.9', 443))).toBe('port')
    expect(services.find(to('240.0.0.1', 443))).toBe('default')
  })
})

it('finds the same as comparing each chain does', () => {
  const addresses = ['1.0.0.1', '1.0.0.2', '1.0.1.1', '2.0.0.1']
  const match = fc.record({
    destinationPort: fc.constantFrom(null, null, 80, 443),
    prefixRanges: fc.uniqueArray(fc.constantFrom(...addresses.map(address => range(address)), range('1.0.0.0', 24), range('0.0.0.0', 0)), {
      maxLength: 2,
      selector: ({ address, prefixLength }) => `${address}/${prefixLength}`,
    }),
    sourcePorts: fc.constantFrom([], [], [1], [2]),
  })
  fc.assert(
    fc.property(
      fc.array(match, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(...addresses, '9.9.9.9'),
      fc.constantFrom(80, 443),
      (list, address, port) => {
        // Two chains for the same are refused before.
        const elements = list.flatMap(({ destinationPort, prefixRanges, sourcePorts }) =>
          (prefixRanges.length === 0 ? [null] : prefixRanges).map(each => JSON.stringify([destinationPort, each, sourcePorts])),
        )
        fc.pre(new Set(elements).size === elements.length)
        const found = matcher(Object.fromEntries(list.map((each, i) => [String(i), each]))).find(to(address, port))
        expect(found).toBe(compared(list, address, port))
      },
    ),
    { numRuns: 500, seed: 15 },
  )
})

/** Envoy's order of criteria, written down plainly. */
function compared(
  list: readonly Pick<FilterChainMatch, 'destinationPort' | 'prefixRanges' | 'sourcePorts'>[],
  address: string,
  port: number,
): string {
  const number = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const score = (ranges: FilterChainMatch['prefixRanges']): number => {
    if (ranges.length === 0) return 0
    const fitting = ranges.filter(
      each =>
        Math.floor(number(each.address) / 2 ** (32 - each.prefixLength)) === Math.floor(number(address) / 2 ** (32 - each.prefixLength)),
    )
    return Math.max(-1, ...fitting.map(each => each.prefixLength + 1))
  }
  const criteria = [
    (chain: (typeof list)[number]) => (chain.destinationPort === null ? 0 : chain.destinationPort === port ? 1 : -1),
    (chain: (typeof list)[number]) => score(chain.prefixRanges),
    (chain: (typeof list)[number]) => (chain.sourcePorts.length === 0 ? 0 : chain.sourcePorts.includes(1) ? 1 : -1),
  ]
  let left = list.map((chain, i) => ({ chain, i }))
  for (const criterion of criteria) {
    const best = Math.max(...left.map(({ chain }) => criterion(chain)))
    left = best < 0 ? [] : left.filter(({ chain }) => criterion(chain) === best)
  }
  return left.length === 0 ? 'default' : String(left[0]!.i)
}
