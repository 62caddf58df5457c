// JSON patches (RFC 6902) of lists and maps that may not be there. Used by inject-pod.ts.

export interface PatchOperation {
  readonly op: 'add' | 'replace'
  readonly path: string
  readonly value: unknown
}

/** Behind what is there. */
export function append<T>(path: string, present: readonly T[] | undefined, items: readonly T[]): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: items }]
  return items.map(value => ({ op: 'add', path: `${path}/-`, value }))
}

/** Before what is there. */
export function prepend<T>(path: string, present: readonly T[] | undefined, items: readonly T[]): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: items }]
  return items.map((value, i) => ({ op: 'add', path: `${path}/${i}`, value }))
}

export function merge(
  path: string,
  present: Readonly<Record<string, string>> | undefined,
  pairs: Readonly<Record<string, string>>,
): PatchOperation[] {
  if (present === undefined) return [{ op: 'add', path, value: pairs }]
  return Object.entries(pairs).map(([key, value]) => ({ op: 'add', path: `${path}/${escaped(key)}`, value }))
}

/** RFC 6901. */
function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
