// Where the console is: the path below /ui/, its pages, and how links lead from one to another without loading anything anew.
// Invariant: every state that one would send to a colleague is in the address.
import { useEffect, useState } from 'preact/hooks'

const BASE = '/ui/'

export interface Place {
  /** First step of the path; `services` for the root. */
  readonly page: string
  /** The steps after it, decoded. */
  readonly rest: readonly string[]
  readonly query: URLSearchParams
}

export function placeOf(pathname: string, search: string): Place {
  const [page = '', ...rest] = pathname
    .slice(BASE.length)
    .split('/')
    .filter(step => step !== '')
    .map(decodeStep)
  return { page: page === '' ? 'services' : page, rest, query: new URLSearchParams(search) }
}

function decodeStep(step: string): string {
  try {
    return decodeURIComponent(step)
  } catch {
    return step
  }
}

/** The address of a page: `to('services', 'web')`. */
export function to(...steps: readonly string[]): string {
  return BASE + steps.map(encodeURIComponent).join('/')
}

export const whyLink = (from: string, destination: string): string =>
  `${to('diagnose')}?from=${encodeURIComponent(from)}&to=${encodeURIComponent(destination)}`

/** The intention of a pair, or all that are about a destination. */
export const intentionLink = (destination: string, source?: string): string =>
  `${to('intentions')}?${new URLSearchParams({ ...(source === undefined ? {} : { source }), destination })}`

const listeners = new Set<() => void>()
const moved = (): void => {
  for (const listener of [...listeners]) listener()
}

export function go(href: string, replace = false): void {
  if (replace) history.replaceState(null, '', href)
  else history.pushState(null, '', href)
  if (!replace) window.scrollTo(0, 0)
  moved()
}

export function usePlace(): Place {
  const [place, setPlace] = useState(() => placeOf(location.pathname, location.search))
  useEffect(() => {
    const update = (): void => setPlace(placeOf(location.pathname, location.search))
    listeners.add(update)
    return () => void listeners.delete(update)
  }, [])
  return place
}

/** Links of the console are followed here; what opens elsewhere is the browser's. */
export function followLinks(): void {
  window.addEventListener('popstate', moved)
  document.addEventListener('click', event => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = (event.target as Element).closest('a')
    if (link === null || link.target !== '' || link.origin !== location.origin || !link.pathname.startsWith(BASE)) return
    // To a place of this page (the skip link): the browser goes there, and takes the focus along.
    if (link.hash !== '') return
    event.preventDefault()
    go(link.pathname + link.search)
  })
}
