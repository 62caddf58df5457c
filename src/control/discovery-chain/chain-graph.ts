// The nodes of a chain as a graph: does a path meet itself, and what can be reached. Called by the chain compiler.
import type { DiscoveryNode } from './types.js'

type Nodes = ReadonlyMap<string, DiscoveryNode>

/** Keys of a path from `start` that meets itself, or undefined. */
export function findCycle(nodes: Nodes, start: string): string[] | undefined {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (key: string): string[] | undefined => {
    const before = path.indexOf(key)
    if (before >= 0) return [...path.slice(before), key]
    if (done.has(key)) return undefined
    path.push(key)
    for (const next of nextNodes(nodes.get(key)!)) {
      const cycle = visit(next)
      if (cycle !== undefined) return cycle
    }
    path.pop()
    done.add(key)
    return undefined
  }
  return visit(start)
}

export function reachable(nodes: Nodes, start: string): Set<string> {
  const seen = new Set([start])
  for (const key of seen) for (const next of nextNodes(nodes.get(key)!)) seen.add(next)
  return seen
}

function nextNodes(node: DiscoveryNode): readonly string[] {
  switch (node.Type) {
    case 'router':
      return node.Routes.map(route => route.NextNode)
    case 'splitter':
      return node.Splits.map(split => split.NextNode)
    case 'resolver':
      return []
    default: {
      const never: never = node
      return never
    }
  }
}
