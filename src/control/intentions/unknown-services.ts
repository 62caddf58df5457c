// Intentions that name services nobody has registered: not an error (they may come later), but usually a typing mistake.
// Called by the HTTP API and the mesh file after a write; the answer goes to the log and the client as warnings.
import type { ServiceIntentions } from '../config-entries/types.js'

export function unknownServiceWarnings(entry: ServiceIntentions, known: ReadonlySet<string>): string[] {
  const warnings: string[] = []
  const check = (role: string, name: string) => {
    if (name === '*' || known.has(name)) return
    const meant = nearest(name, known)
    const hint = meant === undefined ? '' : `; did you mean ${JSON.stringify(meant)}?`
    warnings.push(`intentions of ${JSON.stringify(entry.Name)}: the ${role} ${JSON.stringify(name)} is not a registered service${hint}`)
  }
  check('destination', entry.Name)
  // What a peer has registered is not known here.
  for (const source of entry.Sources) if (source.Peer === undefined) check('source', source.Name)
  return warnings
}

/** A known name that differs by one typing mistake, or only in case or separators. */
function nearest(name: string, known: ReadonlySet<string>): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_.]/g, '')
  for (const candidate of known) if (plain(candidate) === plain(name) || oneEditApart(candidate, name)) return candidate
  return undefined
}

function oneEditApart(a: string, b: string): boolean {
  if (a.length > b.length) [a, b] = [b, a]
  if (b.length - a.length > 1) return false
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  if (a.length < b.length) return a.slice(i) === b.slice(i + 1)
  const isSwap = a[i] === b[i + 1] && a[i + 1] === b[i] && a.slice(i + 2) === b.slice(i + 2)
  return isSwap || a.slice(i + 1) === b.slice(i + 1)
}
