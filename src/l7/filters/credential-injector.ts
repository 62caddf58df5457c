// envoy.filters.http.credential_injector: puts a credential of ours on requests, from a secret. A request that has one already keeps it unless it
// is to be overwritten; without a secret it is refused, unless it may go without.

import type { CredentialInjectorConfig } from '../../model/http-filter.js'
import type { RequestHead } from '../codec/codec.js'
import type { FilterContext } from './filter-environment.js'
import { GenericSecret } from './generic-secret.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

const COUNTERS = ['injected', 'failed', 'already_exists'] as const
const REFUSAL = { status: 401, body: 'Failed to inject credential.', details: 'failed_to_inject_credential' }

export function credentialInjectorFilter(
  name: string,
  disabled: boolean,
  config: CredentialInjectorConfig,
  ctx: FilterContext,
): FilterFactory {
  const shared = new CredentialInjector(config, ctx)
  return { name, disabled, create: () => shared }
}

class CredentialInjector implements StreamFilter {
  private readonly config: CredentialInjectorConfig
  private readonly secret: GenericSecret
  private readonly stats

  constructor(config: CredentialInjectorConfig, ctx: FilterContext) {
    this.config = config
    this.secret = new GenericSecret(config.secret, ctx.env.secrets)
    this.stats = ctx.httpCounters('credential_injector', COUNTERS)
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const outcome = this.inject(head)
    this.stats[outcome].value++
    if (outcome !== 'failed' || this.config.allowWithout) return 'continue'
    call.sendReply(REFUSAL.status, REFUSAL.body, REFUSAL.details, 0)
    return 'stop'
  }

  explain(_call: FilterCall, head: RequestHead): FilterExplanation {
    const outcome = this.inject(head)
    if (outcome === 'failed' && !this.config.allowWithout)
      return { verdict: 'denies', reason: 'its secret is not there yet', status: REFUSAL.status }
    return { verdict: 'passes', reason: outcome === 'injected' ? `${this.config.header} is set` : 'without a credential of ours' }
  }

  private inject({ headers }: RequestHead): (typeof COUNTERS)[number] {
    const { header, prefix, overwrite } = this.config
    const { value } = this.secret
    if (!overwrite && headers.has(header)) return 'already_exists'
    if (value === null || value === '' || /[\0\r\n]/.test(value)) return 'failed'
    headers.set(header, `${prefix}${value}`)
    return 'injected'
  }
}
