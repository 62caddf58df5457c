// Host names of listeners and routes, either of which may begin with a `*` for one or more labels: which names both mean.
// Called by the binding of API gateways.

const ANY = '*'

/** Names of the route that the listener takes, the narrower of each pair; `*`: every name. */
export function intersectHosts(listener: string | undefined, route: readonly string[] | undefined): string[] {
  const own = (listener ?? ANY).toLowerCase()
  const wanted = (route ?? []).length === 0 ? [ANY] : route!.map(host => host.toLowerCase())
  return [...new Set(wanted.flatMap(host => intersection(own, host) ?? []))]
}

/** Of two listeners of one port: the other one is for the name, as the narrower of the two that mean it. */
export function isTakenBy(other: string | undefined, listener: string | undefined, host: string): boolean {
  const [theirs, own] = [(other ?? ANY).toLowerCase(), (listener ?? ANY).toLowerCase()]
  return theirs !== own && intersection(theirs, own) === theirs && intersection(theirs, host) === host
}

function intersection(a: string, b: string): string | undefined {
  if (a === b || b === ANY) return a
  if (a === ANY) return b
  if (covers(a, b)) return b
  return covers(b, a) ? a : undefined
}

/** Whether the wildcard means the other name, or all that the other wildcard means. */
function covers(wildcard: string, name: string): boolean {
  if (!wildcard.startsWith('*.')) return false
  const suffix = wildcard.slice(1)
  const rest = name.startsWith('*.') ? name.slice(1) : name
  return rest.endsWith(suffix) && (rest.length > suffix.length || name.startsWith('*.'))
}
