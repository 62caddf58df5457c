// Host names of listeners and routes, either of which may begin with a `*` for one or more labels: which names both mean.
// Called by the binding of API gateways.

const ANY = '*'

/** Names of the route that the listener takes, the narrower of each pair; `*`: every name. */
export function intersectHosts(listener: string | undefined, route: readonly string[] | undefined): string[] {
  const own = hostName(listener)
  const wanted = (route ?? []).length === 0 ? [ANY] : route!.map(host => host.toLowerCase())
  return [...new Set(wanted.flatMap(host => intersection(own, host) ?? []))]
}

/** As names of listeners are compared. */
export const hostName = (listener: string | undefined): string => (listener ?? ANY).toLowerCase()

/** Of the names of listeners the narrowest that means the whole of `host`: what means it is `host` itself, or a `*` before some of its labels. */
export function narrowestFor(host: string, names: ReadonlySet<string>): string | undefined {
  if (names.has(host)) return host
  const start = host.startsWith('*.') ? 2 : 0
  for (let dot = host.indexOf('.', start); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const wildcard = `*${host.slice(dot)}`
    if (names.has(wildcard)) return wildcard
  }
  return names.has(ANY) ? ANY : undefined
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
