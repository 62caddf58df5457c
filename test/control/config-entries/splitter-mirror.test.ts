// Copies of requests: the mark in a splitter's Meta, what is wrong with it, and the route that comes of it.
import { describe, expect, it } from 'vitest'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import { compileDiscoveryChain } from '../../../src/control/discovery-chain/compile.js'
import { chainRoutes } from '../../../src/control/snapshot/routes.js'
import { entries, protocol, resolver, splitter, subsets } from '../discovery-chain/entries.js'

const LEGS = [
  { Weight: 100, ServiceSubset: 'v1' },
  { Weight: 0, ServiceSubset: 'v2' },
]
const marked = (mark: string, ...legs: Record<string, unknown>[]): Record<string, unknown> => ({
  ...splitter('api', ...(legs.length > 0 ? legs : LEGS)),
  Meta: { 'outrigger-mirror': mark },
})

function chainOf(splitterEntry: Record<string, unknown>) {
  const all = entries(protocol('api', 'http'), resolver('api', subsets), splitterEntry)
  const result = compileDiscoveryChain({ service: 'api', datacenter: 'dc1', trustDomain: 'mesh.test', entries: all })
  if ('errors' in result) throw new Error(JSON.stringify(result.errors))
  return result.chain
}

const actionOf = (splitterEntry: Record<string, unknown>) => chainRoutes({ chain: chainOf(splitterEntry) })[0]!.action!.value

it('is a mirror policy of the route, and part of the chain', () => {
  const chain = chainOf(marked('v2:12.5'))
  expect(chain.Nodes[chain.StartNode]).toMatchObject({ Mirror: { NextNode: 'resolver:v2.api.default.default.dc1', Percent: 12.5 } })
  expect(actionOf(marked('v2:12.5'))).toMatchObject({
    requestMirrorPolicies: [
      {
        cluster: 'v2.api.default.dc1.internal.mesh.test',
        runtimeFraction: { defaultValue: { numerator: 125_000, denominator: 2 } },
      },
    ],
  })
})

it.each(['v2:0', 'none'])('without any copies (%s) is nothing', mark => {
  const entry = mark === 'none' ? splitter('api', ...LEGS) : marked(mark)
  expect(actionOf(entry)).not.toHaveProperty('requestMirrorPolicies')
})

describe('is refused', () => {
  it.each([
    ['v2', 'must be SUBSET:PERCENT, as in v2:10, not "v2"'],
    ['v2:101', 'must be SUBSET:PERCENT, as in v2:10, not "v2:101"'],
    ['v2:-1', 'must be SUBSET:PERCENT, as in v2:10, not "v2:-1"'],
    ['v2:1.234', 'must be SUBSET:PERCENT, as in v2:10, not "v2:1.234"'],
    ['v3:10', '"v3" is the subset of no leg of this splitter (one of weight 0 will do)'],
  ])('%s', (mark, reason) => {
    expect(parseConfigEntry(marked(mark))).toEqual({ errors: [{ path: 'Meta.outrigger-mirror', reason }] })
  })

  it('of a leg that is another service', () => {
    const legs = [
      { Weight: 100, ServiceSubset: 'v1' },
      { Weight: 0, Service: 'other', ServiceSubset: 'v2' },
    ]
    expect(parseConfigEntry(marked('v2:10', ...legs))).toHaveProperty('errors')
  })
})
