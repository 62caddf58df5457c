// envoy.filters.http.api_key_auth: a key in a header, the query or a cookie that the configuration knows, and the client whose it is. Compiled
// by compile-filters; a route may have keys, places and allowed clients of its own. No key is logged or answered.

import type { ApiKeyAuthConfig } from '../../model/http-filter.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { fieldOf } from '../codec/header-field.js'
import { cookieValue, removeCookie } from '../match/cookie.js'
import { decodedParameter } from '../match/query-parameter.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { rewriteQuery } from './query-rewrite.js'

const COUNTERS = ['allowed', 'unauthorized', 'forbidden'] as const
const BEARER = 'Bearer '
const UNAUTHORIZED_BODY = 'Client authentication failed.'
const FORBIDDEN_BODY = 'Client is forbidden.'

type KeySource = NonNullable<ApiKeyAuthConfig['keySources']>[number]
type Verdict =
  | { readonly kind: 'client'; readonly client: string; readonly sources: readonly KeySource[]; readonly forwarding: ApiKeyAuthConfig }
  | { readonly kind: 'refused'; readonly status: 401 | 403; readonly details: string }

export function apiKeyAuthFilter(name: string, disabled: boolean, config: ApiKeyAuthConfig, ctx: FilterContext): FilterFactory {
  const shared = new ApiKeyAuthFilter(name, config, ctx)
  return { name, disabled, create: () => shared }
}

class ApiKeyAuthFilter implements StreamFilter {
  private readonly name: string
  private readonly config: ApiKeyAuthConfig
  private readonly stats

  constructor(name: string, config: ApiKeyAuthConfig, ctx: FilterContext) {
    this.name = name
    this.config = config
    this.stats = ctx.httpCounters('api_key_auth', COUNTERS)
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const verdict = this.judge(call, head)
    if (verdict.kind === 'refused') {
      const { status, details } = verdict
      this.stats[status === 401 ? 'unauthorized' : 'forbidden'].value++
      call.sendReply(status, status === 401 ? UNAUTHORIZED_BODY : FORBIDDEN_BODY, details, 0)
      return 'stop'
    }
    this.stats.allowed.value++
    accept(verdict, head)
    return 'continue'
  }

  explain(call: FilterCall, head: RequestHead): FilterExplanation {
    const verdict = this.judge(call, head)
    if (verdict.kind === 'refused') return { verdict: 'denies', reason: verdict.details, status: verdict.status }
    accept(verdict, head)
    return { verdict: 'passes', reason: `its key is that of '${verdict.client}'` }
  }

  private judge(call: FilterCall, head: RequestHead): Verdict {
    const found = call.overrideFor(this.name)
    const override = found?.kind === 'apiKeyAuth' ? found : null
    const sources = override?.config.keySources ?? this.config.keySources
    const credentials = override?.config.credentials ?? this.config.credentials
    if (sources === null) return refused('missing_key_sources')
    if (credentials === null) return refused('missing_credentials')
    const key = keyOf(sources, head)
    if (key === '') return refused('missing_api_key')
    const client = credentials.get(key)
    if (client === undefined) return refused('unknown_api_key')
    if (override !== null && override.allowedClients.size > 0 && !override.allowedClients.has(client))
      return { kind: 'refused', status: 403, details: 'client_not_allowed' }
    return { kind: 'client', client, sources, forwarding: override?.config ?? this.config }
  }
}

function refused(details: string): Verdict {
  return { kind: 'refused', status: 401, details }
}

/** The first that is not empty, as bytes; '' for none. */
function keyOf(sources: readonly KeySource[], head: RequestHead): string {
  for (const { from, name } of sources) {
    let key: string | undefined
    if (from === 'query') key = toByteString(decodedParameter(head.path, name) ?? '')
    else if (from === 'cookie') key = cookieValue(head.headers, name)
    else {
      const value = fieldOf(head.headers, name)
      key = value?.startsWith(BEARER) === true ? value.slice(BEARER.length) : value
    }
    if (key !== undefined && key !== '') return key
  }
  return ''
}

function accept({ client, sources, forwarding }: Extract<Verdict, { kind: 'client' }>, head: RequestHead): void {
  if (forwarding.clientHeader !== '') head.headers.set(forwarding.clientHeader, client)
  if (!forwarding.hideCredentials) return
  for (const { from, name } of sources) {
    if (from === 'header') head.headers.remove(name)
    else if (from === 'query') head.path = rewriteQuery(head.path, [], [name])
    else removeCookie(head.headers, name)
  }
}
