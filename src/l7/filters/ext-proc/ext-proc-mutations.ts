// What an external processor may do to a head or to trailers: fields set and removed by the filter's mutation_rules, which without settings
// keep host, method, scheme and x-envoy-* from it. What frames a message is never its to change. A mutation that the rules forbid is left
// out and counted, or (disallow_is_error) costs the request. Compiled once a filter; applied by ext-proc.ts.

import type { Counter } from '../../../metrics/stat.js'
import type { HeaderMutationRules } from '../../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import type { HeaderList } from '../../codec/header-list.js'
import { type BytesTest, compileFullMatch } from '../../match/regex.js'
import { applyHeader } from '../header-options.js'
import { isSafeHeader } from '../safe-header.js'
import type { HeaderMutation } from './ext-proc-messages.js'

/** A path as it may stand in a request line. */
const PATH = /^[\x21-\x7e]+$/
const AUTHORITY = /^[\w.~!$&'()*+,;=:%[\]-]+$/
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const ROUTING: ReadonlySet<string> = new Set(['host', ':authority', ':scheme', ':method'])

/** Whose fields they are; of trailers nothing but the fields. */
export type MutatedHead =
  | { readonly kind: 'request'; readonly head: RequestHead }
  | { readonly kind: 'response'; readonly head: ResponseHead }
  | { readonly kind: 'fields' }

export class MutationChecker {
  private readonly rules: HeaderMutationRules
  private readonly allowed: BytesTest | null
  private readonly disallowed: BytesTest | null
  private readonly rejected: Counter

  constructor(rules: HeaderMutationRules, rejected: Counter) {
    this.rules = rules
    this.allowed = rules.allowExpression === null ? null : compileFullMatch(rules.allowExpression)
    this.disallowed = rules.disallowExpression === null ? null : compileFullMatch(rules.disallowExpression)
    this.rejected = rejected
  }

  /** `replaces`: the processor makes a new message of it, and may give that another method. False: it costs the request. */
  apply({ set, remove }: HeaderMutation, headers: HeaderList, of: MutatedHead, replaces = false): boolean {
    for (const name of remove) {
      if (!name.startsWith(':') && name !== 'host' && isSafeHeader(name, '') && this.mayChange(name)) headers.remove(name)
      else if (!this.reject()) return false
    }
    for (const { name, value, action } of set) {
      const lower = name.toLowerCase()
      const may = this.mayChange(lower) || (replaces && lower === ':method')
      const done = may && (lower.startsWith(':') || lower === 'host' ? setPseudoHeader(of, lower, value) : isSafeHeader(name, value))
      if (!done) {
        if (!this.reject()) return false
      } else if (!lower.startsWith(':') && lower !== 'host') applyHeader(headers, name, value, action)
    }
    return true
  }

  private reject(): boolean {
    this.rejected.value++
    return !this.rules.disallowIsError
  }

  private mayChange(name: string): boolean {
    const { rules, allowed, disallowed } = this
    if (disallowed?.(name) === true) return false
    if (allowed?.(name) === true) return true
    if (rules.disallowAll) return false
    if (!rules.allowAllRouting && ROUTING.has(name)) return false
    if (rules.disallowSystem && name.startsWith(':')) return false
    return rules.allowEnvoy || !name.startsWith('x-envoy-')
  }
}

/** False: it is no such value, or the message has no such field. */
function setPseudoHeader(of: MutatedHead, name: string, value: string): boolean {
  if (of.kind === 'response') {
    const status = Number(value)
    if (name !== ':status' || !/^\d{3}$/.test(value) || status < 200 || status > 599) return false
    of.head.status = status
    return true
  }
  if (of.kind === 'fields') return false
  const { head } = of
  switch (name) {
    case ':path':
      if (!PATH.test(value)) return false
      head.path = value
      return true
    case ':authority':
    case 'host':
      if (!AUTHORITY.test(value)) return false
      head.authority = value
      return true
    case ':scheme':
      if (value !== 'http' && value !== 'https') return false
      head.scheme = value
      return true
    case ':method':
      if (!METHOD.test(value)) return false
      head.method = value
      return true
    default:
      return false
  }
}
