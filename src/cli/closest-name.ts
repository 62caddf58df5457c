// Did you mean: the name that is nearest to what was written, if it is near. Used for flags and names that are none.

/** Undefined: none is near enough to be meant. */
export function closestName(written: string, names: readonly string[]): string | undefined {
  let closest: string | undefined
  let least = Math.max(2, Math.floor(written.length / 4)) + 1
  for (const name of names) {
    const distance = editDistance(written, name, least)
    if (distance < least) {
      least = distance
      closest = name
    }
  }
  return closest
}

/** Insertions, deletions and replacements from `a` to `b`; `limit` where there are as many or more. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return Math.min(row[b.length]!, limit)
}
