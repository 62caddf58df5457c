// envoy.filters.http.custom_response: a response that its tree finds a policy for is replaced, by an answer of the proxy's own or by what
// another route says to a GET. That other request passes all filters like any; the policy goes with it, so that its response is finished
// here and not replaced again.
//
//   responseHead ──policy?──▶ local: reply, past the other filters
//                         └─▶ redirect: a new request ──its responseHead──▶ status and headers of the policy

import type { CustomResponseConfig, ResponsePolicy } from '../../model/custom-response.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { compileMatchTree } from '../match/match-tree.js'
import { type BodyFormat, compileReplyBody } from '../reply/local-reply-rewriter.js'
import { parseTarget } from '../route/redirect-target.js'
import { redirectLocation } from '../route/route-answers.js'
import { CUSTOM_RESPONSE_STATE } from '../stream/stream-info.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import { type CompiledHeaderOption, compileHeaderOptions } from './header-options.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { responseControl } from './response-control.js'
import { RESPONSE_READER, type ResponseSubject } from './response-reader.js'

type Decide = (subject: ResponseSubject) => ResponsePolicy | null

export function customResponseFilter(name: string, disabled: boolean, config: CustomResponseConfig, ctx: FilterContext): FilterFactory {
  const shared = new SharedPolicies(ctx)
  const own = compileTree(config)
  const treeOf = compileOnce((ofRoute: CustomResponseConfig) => ({ decide: compileTree(ofRoute) }))
  const decideOf = (call: FilterCall): Decide | null => {
    const override = call.overrideFor(name)
    return override?.kind === 'customResponse' ? treeOf(override.config).decide : own
  }
  return {
    name,
    disabled,
    seesLocalReplies: true,
    create(call: FilterCall): StreamFilter | null {
      const replaced = call.info.filterState(CUSTOM_RESPONSE_STATE)
      if (replaced instanceof ReplacedResponse) return new FinishingFilter(replaced)
      const decide = decideOf(call)
      return decide === null ? null : new CustomResponseFilter(decide, shared)
    },
  }
}

function compileTree({ tree }: CustomResponseConfig): Decide | null {
  return tree === null ? null : compileMatchTree(tree, RESPONSE_READER)
}

class SharedPolicies {
  readonly stats
  /** Compiled at first use. */
  readonly of = compileOnce((policy: ResponsePolicy) => (policy.kind === 'local' ? new LocalPolicy(policy) : new RedirectPolicy(policy)))

  constructor(ctx: FilterContext) {
    // Of all connection managers, as Envoy counts them.
    const { store } = ctx.env
    this.stats = { noRoute: store.counter('custom_response_redirect_no_route'), invalidUri: store.counter('custom_response_invalid_uri') }
  }
}

class LocalPolicy {
  private readonly policy: ResponsePolicy & { kind: 'local' }
  private readonly format: BodyFormat | null
  private readonly headers: readonly CompiledHeaderOption[]

  constructor(policy: ResponsePolicy & { kind: 'local' }) {
    this.policy = policy
    this.format = policy.format === null ? null : compileReplyBody(policy.format)
    this.headers = compileHeaderOptions(policy.responseHeadersToAdd)
  }

  answer(call: FilterCall, head: ResponseHead): void {
    const { policy, format } = this
    const { info } = call
    const given = policy.body ?? ''
    const body = format === null ? given : format(info, given)
    const headers = new HeaderList()
    // As in Envoy they see the response that is being made, which has no headers yet.
    const { response } = info
    info.response = null
    for (const option of this.headers) option.apply(headers, info, null)
    info.response = response
    responseControl(call).replaceResponse(policy.status ?? head.status, body, policy.details ?? info.responseCodeDetails, headers)
  }
}

class RedirectPolicy {
  private readonly policy: ResponsePolicy & { kind: 'redirect' }
  private readonly requestHeaders: readonly CompiledHeaderOption[]
  private readonly responseHeaders: readonly CompiledHeaderOption[]

  constructor(policy: ResponsePolicy & { kind: 'redirect' }) {
    this.policy = policy
    this.requestHeaders = compileHeaderOptions(policy.requestHeadersToAdd)
    this.responseHeaders = compileHeaderOptions(policy.responseHeadersToAdd)
  }

  /** Where the response comes from; null: its address is none. */
  target(call: FilterCall): RequestHead | null {
    const { to } = this.policy
    const { request, info } = call
    const target = parseTarget('uri' in to ? to.uri : redirectLocation({ request, info }, to.action, null))
    if (target === null) return null
    const headers = request.headers.clone()
    headers.remove('content-length')
    const next: RequestHead = { ...request, ...target, headers, method: 'GET', contentLength: 0, upgrade: '', expectContinue: false }
    // As in Envoy they see where the request goes to.
    info.request = next
    for (const option of this.requestHeaders) option.apply(headers, info, next)
    info.request = request
    return next
  }

  /** `replaced`: status of the response in whose place this one is. */
  finish(call: FilterCall, head: ResponseHead, replaced: number): void {
    for (const option of this.responseHeaders) option.apply(head.headers, call.info, null)
    head.status = this.policy.status ?? replaced
    head.reason = ''
    call.info.responseCode = head.status
  }
}

/** What the request that follows a redirect knows of it. */
class ReplacedResponse {
  readonly policy: RedirectPolicy
  readonly status: number

  constructor(policy: RedirectPolicy, status: number) {
    this.policy = policy
    this.status = status
  }
}

class CustomResponseFilter implements StreamFilter {
  private readonly decide: Decide
  private readonly shared: SharedPolicies
  /** The request has come this far: an answer before is not sent elsewhere. */
  private sawRequest = false

  constructor(decide: Decide, shared: SharedPolicies) {
    this.decide = decide
    this.shared = shared
  }

  requestHead(): FilterStatus {
    this.sawRequest = true
    return 'continue'
  }

  responseHead(call: FilterCall, head: ResponseHead, _end: boolean, local: boolean): FilterStatus {
    const { info, request } = call
    if (head.upgraded) return 'continue'
    const found = this.decide({ connection: info.connection, head: request, info, response: head, local })
    if (found === null) return 'continue'
    const policy = this.shared.of(found)
    if (policy instanceof LocalPolicy) {
      policy.answer(call, head)
      return 'stop'
    }
    if (!this.sawRequest) return 'continue'
    return this.redirect(call, policy, head.status) ? 'stop' : 'continue'
  }

  private redirect(call: FilterCall, policy: RedirectPolicy, status: number): boolean {
    const { stats } = this.shared
    const next = policy.target(call)
    if (next === null) {
      stats.invalidUri.value++
      return false
    }
    switch (responseControl(call).redirect(next, new ReplacedResponse(policy, status))) {
      case 'no-route':
        stats.noRoute.value++
        return false
      case 'incomplete':
        return false
      case 'redirected':
        return true
    }
  }
}

/** Of the request that another was sent on to. */
class FinishingFilter implements StreamFilter {
  private readonly replaced: ReplacedResponse

  constructor(replaced: ReplacedResponse) {
    this.replaced = replaced
  }

  responseHead(call: FilterCall, head: ResponseHead): FilterStatus {
    const { policy, status } = this.replaced
    policy.finish(call, head, status)
    return 'continue'
  }
}
