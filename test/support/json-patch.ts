// Applies a JSON patch (RFC 6902) of `add` and `replace`, as the Kubernetes API server does with the answer of a webhook. Throws where an
// operation names what is not there.
export interface Operation {
  readonly op: string
  readonly path: string
  readonly value: unknown
}

export function applyPatch<T>(document: T, patch: readonly Operation[]): T {
  const copy = structuredClone(document)
  for (const { op, path, value } of patch) {
    const keys = path
      .split('/')
      .slice(1)
      .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = keys.pop()!
    // biome-ignore lint/suspicious/noExplicitAny: any document.
    let parent = copy as any
    for (const key of keys) parent = parent[key]
    if (parent === undefined) throw new Error(`${op} ${path}: nothing is there`)
    if (op === 'replace' && parent[last] === undefined) throw new Error(`${op} ${path}: nothing is there`)
    if (!Array.isArray(parent)) parent[last] = value
    else if (op === 'replace') parent[Number(last)] = value
    else if (last === '-') parent.push(value)
    else if (Number(last) <= parent.length) parent.splice(Number(last), 0, value)
    else throw new Error(`${op} ${path}: beyond the end`)
  }
  return copy
}
