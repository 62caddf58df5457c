// Splitters that lead to splitters become one list of legs: weight = outer × inner / 100, to 0.01.
// Called by `compile.ts` on a graph already known to have no cycles. Legs of weight 0 stay.
import { scaleWeight } from '../config-entries/rules-routing.js'
import { mergeParentSplit } from './merge-headers.js'
import type { DiscoveryNode, DiscoverySplit, SplitterNode } from './types.js'

/** Nested splitters multiply; more legs than this in one splitter is an error, not a memory problem. */
export const MAX_SPLIT_LEGS = 1000

/** Rewrites the splitters in `nodes`. False when one would have more than `MAX_SPLIT_LEGS`. */
export function flattenSplitters(nodes: Map<string, DiscoveryNode>): boolean {
  const flat = new Map<string, readonly DiscoverySplit[]>()
  const flatten = (key: string, node: SplitterNode): readonly DiscoverySplit[] | undefined => {
    const known = flat.get(key)
    if (known !== undefined) return known
    const legs: DiscoverySplit[] = []
    for (const split of node.Splits) {
      const next = nodes.get(split.NextNode)
      if (next?.Type !== 'splitter') {
        legs.push(split)
      } else {
        const inner = flatten(split.NextNode, next)
        if (inner === undefined) return undefined
        for (const leg of inner) {
          legs.push({
            Definition: mergeParentSplit(split.Definition, leg.Definition),
            Weight: scaleWeight((split.Weight * leg.Weight) / 100) / 100,
            NextNode: leg.NextNode,
          })
        }
      }
      if (legs.length > MAX_SPLIT_LEGS) return undefined
    }
    flat.set(key, legs)
    return legs
  }
  for (const [key, node] of nodes) {
    if (node.Type !== 'splitter') continue
    const Splits = flatten(key, node)
    if (Splits === undefined) return false
    nodes.set(key, { ...node, Splits })
  }
  return true
}
