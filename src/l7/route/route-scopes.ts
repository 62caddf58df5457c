// Scoped routes at run time: the key of a request, by the connection manager's key builder, to the route table of its scope. Made by
// proxy/listener/compile-listener, filled by proxy/scope-registry, asked by HttpRuntime for each request. Invariant: a request without a key,
// or with one that no scope has, gets the empty table (404), as in Envoy; a change of scopes is one assignment.

import type { ScopeFragment } from '../../model/scoped-routes.js'
import type { RequestHead } from '../codec/codec.js'
import { requestHeaderReader } from '../match/header-matcher.js'
import type { RouteHolder, RouteSource } from './route-holder.js'
import type { CompiledRouteTable } from './route-table.js'

type FragmentReader = (head: RequestHead) => string | undefined

/** What no header value holds: between the parts of a key. */
const SEPARATOR = '\0'

export class RouteScopes implements RouteSource {
  private tables: ReadonlyMap<string, RouteHolder> = new Map()
  private readonly readers: readonly FragmentReader[]

  constructor(
    builder: readonly ScopeFragment[],
    private readonly empty: CompiledRouteTable,
  ) {
    this.readers = builder.map(compileFragment)
  }

  /** All scopes that there are now. Keys with another number of parts than the builder makes are nobody's. */
  replace(scopes: Iterable<{ readonly key: readonly string[]; readonly holder: RouteHolder }>): void {
    const tables = new Map<string, RouteHolder>()
    for (const { key, holder } of scopes) if (key.length === this.readers.length) tables.set(key.join(SEPARATOR), holder)
    this.tables = tables
  }

  /** HOT: per request. */
  tableFor(head: RequestHead): CompiledRouteTable {
    return this.holderFor(head)?.current ?? this.empty
  }

  discover(head: RequestHead, done: () => void): (() => void) | null {
    return this.holderFor(head)?.discover(head, done) ?? null
  }

  private holderFor(head: RequestHead): RouteHolder | undefined {
    let key = ''
    for (let i = 0; i < this.readers.length; i++) {
      const part = this.readers[i]!(head)
      if (part === undefined) return undefined
      key = i === 0 ? part : `${key}${SEPARATOR}${part}`
    }
    return this.tables.get(key)
  }
}

function compileFragment({ header, separator, extract }: ScopeFragment): FragmentReader {
  const value = firstValueReader(header)
  if (extract.kind === 'index') {
    const { index } = extract
    if (separator === '') return value
    return head => value(head)?.split(separator)[index]
  }
  const { key, separator: between } = extract
  return head => {
    for (const element of elementsOf(value(head), separator)) {
      const at = element.indexOf(between)
      if ((at < 0 ? element : element.slice(0, at)) === key) return at < 0 ? '' : element.slice(at + between.length)
    }
    return undefined
  }
}

function elementsOf(value: string | undefined, separator: string): readonly string[] {
  if (value === undefined) return []
  return separator === '' ? [value] : value.split(separator)
}

/** Of a repeated field the first value counts. */
function firstValueReader(header: string): FragmentReader {
  if (header.startsWith(':') || header === 'host') return requestHeaderReader(header)
  return head => head.headers.get(header)
}
