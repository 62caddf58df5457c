// request_headers_to_add/remove and response_headers_to_add/remove of one level (weighted cluster, route, virtual host, table),
// compiled. Called by CompiledRoute for each request and response. Each level removes first, then overwrites, then adds (Envoy
// HeaderParser::evaluateHeaders). Invariant: pseudo-headers and the host are never removed or changed by these lists.

import type { HeaderMutations, HeaderOption } from '../../model/header-option.js'
import type { HeaderList } from '../codec/header-list.js'
import { type FormatFunction, formatOrText } from '../format/header-format.js'
import type { StreamInfo } from '../stream/stream-info.js'

interface Addition {
  readonly name: string
  readonly lower: string
  readonly action: HeaderOption['action']
  readonly keepEmptyValue: boolean
  readonly value: FormatFunction
}

export class HeaderMutator {
  private readonly remove: readonly string[]
  private readonly additions: readonly Addition[]

  constructor(remove: readonly string[], additions: readonly Addition[]) {
    this.remove = remove
    this.additions = additions
  }

  apply(headers: HeaderList, info: StreamInfo): void {
    for (const name of this.remove) headers.remove(name)
    const { additions } = this
    if (additions.length === 0) return
    // All values and conditions look at the head as it was before any addition of this level.
    const values = additions.map(addition => addition.value(info))
    const wanted = additions.map((addition, i) => {
      if (values[i] === '' && !addition.keepEmptyValue) return false
      if (addition.action === 'ADD_IF_ABSENT') return !headers.has(addition.lower)
      return addition.action !== 'OVERWRITE_IF_EXISTS' || headers.has(addition.lower)
    })
    for (let i = 0; i < additions.length; i++) {
      const { action, name } = additions[i]!
      if (wanted[i] && (action === 'OVERWRITE_IF_EXISTS' || action === 'OVERWRITE_IF_EXISTS_OR_ADD')) headers.set(name, values[i]!)
    }
    for (let i = 0; i < additions.length; i++) {
      const { action, name } = additions[i]!
      if (wanted[i] && (action === 'APPEND_IF_EXISTS_OR_ADD' || action === 'ADD_IF_ABSENT')) headers.add(name, values[i]!)
    }
  }
}

/** Null when there is nothing to do. */
export function compileRequestMutations(mutations: HeaderMutations): HeaderMutator | null {
  return compileHeaderMutations(mutations.requestAdd, mutations.requestRemove)
}

export function compileResponseMutations(mutations: HeaderMutations): HeaderMutator | null {
  return compileHeaderMutations(mutations.responseAdd, mutations.responseRemove)
}

export function compileHeaderMutations(add: readonly HeaderOption[], remove: readonly string[]): HeaderMutator | null {
  if (add.length === 0 && remove.length === 0) return null
  const names = remove.map(name => name.toLowerCase()).filter(isMutable)
  const additions = add.filter(option => isMutable(option.name.toLowerCase())).map(compileAddition)
  return names.length === 0 && additions.length === 0 ? null : new HeaderMutator(names, additions)
}

function isMutable(lower: string): boolean {
  return lower !== 'host' && lower !== '' && !lower.startsWith(':')
}

function compileAddition(option: HeaderOption): Addition {
  return {
    name: option.name,
    lower: option.name.toLowerCase(),
    action: option.action,
    keepEmptyValue: option.keepEmptyValue,
    value: formatOrText(option.value),
  }
}
