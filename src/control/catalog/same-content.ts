// Whether a record says what is already there: the catalog writes nothing then, and no index moves. Used by the catalog and its drafts.

/** Equal apart from what the catalog adds to a record: its indexes, its datacenter and, where `after` has none, its node. */
export function sameContent(before: object | undefined, after: object): boolean {
  if (before === undefined) return false
  const { CreateIndex: _create, ModifyIndex: _modify, Datacenter: _datacenter, Node: node, ...rest } = before as Record<string, unknown>
  return JSON.stringify(sortKeys('Node' in after ? { ...rest, Node: node } : rest)) === JSON.stringify(sortKeys(after))
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => [key, sortKeys(item)])
}
