// envoy.filters.http.jwt_authn: requests need the tokens that the first matching rule, or the route's requirement, asks for. Called
// for each request; the work is jwt-verifier.ts's. A request that no rule matches passes.

import type { JwtConfig, JwtRequirement } from '../../../model/http-filter.js'
import type { RequestHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { CompiledRouteMatch, pathOnly } from '../../match/route-match.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { type JwtStatus, jwtStatusText } from './jwt-status.js'
import { JwtVerifier } from './jwt-verifier.js'

const COUNTERS = [
  'allowed',
  'cors_preflight_bypassed',
  'denied',
  'jwks_fetch_failed',
  'jwks_fetch_success',
  'jwt_cache_hit',
  'jwt_cache_miss',
] as const

/** Path bytes that the challenge's realm shows. */
const MAX_REALM_PATH = 256

export function jwtAuthnFilter(name: string, disabled: boolean, config: JwtConfig, ctx: FilterContext): FilterFactory {
  const shared = new JwtAuthnFilter(name, config, ctx)
  return { name, disabled, create: () => shared }
}

/** One object for all requests: what a request needs lives in the verifier's run. */
class JwtAuthnFilter implements StreamFilter {
  private readonly name: string
  private readonly config: JwtConfig
  private readonly ctx: FilterContext
  private readonly stats
  private readonly verifier: JwtVerifier
  private readonly rules: readonly { readonly match: CompiledRouteMatch; readonly requires: JwtRequirement }[]

  constructor(name: string, config: JwtConfig, ctx: FilterContext) {
    this.name = name
    this.config = config
    this.ctx = ctx
    this.stats = ctx.httpCounters(config.statPrefix === '' ? 'jwt_authn' : `jwt_authn.${config.statPrefix}`, COUNTERS)
    this.verifier = new JwtVerifier(config, ctx, this.stats)
    this.rules = config.rules.map(rule => ({ match: new CompiledRouteMatch(rule.match, ctx.runtime), requires: rule.requires }))
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    if (this.config.bypassCorsPreflight && isPreflight(head)) {
      this.stats.cors_preflight_bypassed.value++
      this.stats.allowed.value++
      return 'continue'
    }
    const requirement = this.requirementOf(call, head)
    if (requirement === undefined) {
      this.stats.denied.value++
      const reason = this.wrongRequirement(call)
      call.sendReply(403, `Failed JWT authentication: ${reason}`, `jwt_authn_access_denied{${reason.replace(/\s+/g, '_')}}`, 0)
      return 'stop'
    }
    if (requirement === null || requirement.kind === 'none') {
      this.stats.allowed.value++
      return 'continue'
    }
    // The challenge names the URI as it was asked for, with a token in its query still there.
    const uri = `${head.scheme || 'http'}://${head.authority}${head.path.slice(0, MAX_REALM_PATH)}`
    const status = this.verifier.verify(requirement, call, head)
    if (typeof status === 'string') return this.conclude(call, status, uri) ? 'continue' : 'stop'
    status.then(
      late => {
        if (!call.ended && this.conclude(call, late, uri)) call.resume()
      },
      (error: unknown) => {
        this.ctx.env.log('warn', `jwt_authn: ${String(error)}`)
        if (!call.ended) this.conclude(call, 'verificationFail', uri)
      },
    )
    return 'stop'
  }

  async explain(call: FilterCall, head: RequestHead): Promise<FilterExplanation> {
    if (this.config.bypassCorsPreflight && isPreflight(head)) return { verdict: 'passes', reason: 'a CORS preflight needs no token' }
    const requirement = this.requirementOf(call, head)
    if (requirement === undefined) return { verdict: 'denies', status: 403, reason: this.wrongRequirement(call) }
    if (requirement === null) return { verdict: 'passes', reason: 'no rule matches: no token is required' }
    const rule = describeRequirement(requirement)
    if (requirement.kind === 'none') return { verdict: 'passes', rule, reason: 'no token is required' }
    const status = await this.verifier.verify(requirement, call, head, false)
    if (status === 'ok') return { verdict: 'passes', rule, reason: 'the token is good' }
    return { verdict: 'denies', rule, status: statusOf(status), reason: jwtStatusText(status) }
  }

  private wrongRequirement(call: FilterCall): string {
    const known = [...this.config.requirementMap.keys()].sort().join(',')
    const wanted = call.overrideFor(this.name)
    return `Wrong requirement_name: ${wanted?.kind === 'jwtAuthn' ? wanted.requirementName : ''}. It should be one of [${known}]`
  }

  /** Null: nothing is required. Undefined: the route names a requirement that is not there. */
  private requirementOf(call: FilterCall, head: RequestHead): JwtRequirement | null | undefined {
    const override = call.overrideFor(this.name)
    if (override?.kind === 'jwtAuthn' && override.requirementName !== '') return this.config.requirementMap.get(override.requirementName)
    const path = pathOnly(head.path)
    for (const { match, requires } of this.rules) if (match.matches(head, path, call.info, this.ctx.random())) return requires
    return null
  }

  /** True when the request may go on. */
  private conclude(call: FilterCall, status: JwtStatus, uri: string): boolean {
    if (status === 'ok') {
      this.stats.allowed.value++
      return true
    }
    this.stats.denied.value++
    const text = jwtStatusText(status)
    const code = statusOf(status)
    const details = `jwt_authn_access_denied{${text.replace(/\s+/g, '_')}}`
    if (this.config.stripFailureResponse) {
      call.sendReply(code, '', details, 0)
      return false
    }
    const challenge = `Bearer realm="${uri.replaceAll('"', '%22')}"${status === 'missed' ? '' : ', error="invalid_token"'}`
    call.sendReply(code, text, details, 0, HeaderList.of(['www-authenticate', challenge]))
    return false
  }
}

function statusOf(status: JwtStatus): number {
  return status === 'audienceNotAllowed' ? 403 : 401
}

function describeRequirement(requirement: JwtRequirement): string {
  switch (requirement.kind) {
    case 'none':
      return 'nothing'
    case 'provider':
      return `provider ${requirement.provider}`
    case 'all':
      return `all of (${requirement.requirements.map(describeRequirement).join(', ')})`
    case 'any':
      return `any of (${requirement.requirements.map(describeRequirement).join(', ')})`
    case 'allowMissing':
      return 'a missing token'
    case 'allowMissingOrFailed':
      return 'a missing or failed token'
  }
}

function isPreflight(head: RequestHead): boolean {
  return (
    head.method === 'OPTIONS' &&
    (head.headers.get('origin') ?? '') !== '' &&
    (head.headers.get('access-control-request-method') ?? '') !== ''
  )
}
