// envoy.filters.http.basic_auth: a user name and password by RFC 7617, held against SHA-1 hashes of the configuration. Compiled by
// compile-filters; a route may have users and a realm of its own. Nothing of what a client sent as credentials is logged or answered.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { BasicAuthConfig } from '../../model/http-filter.js'
import { fromByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { fieldOf } from '../codec/header-field.js'
import { HeaderList } from '../codec/header-list.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

const COUNTERS = ['allowed', 'denied'] as const
const SCHEME = 'Basic '
/** Path bytes that a realm shows which the configuration does not name. */
const MAX_REALM_PATH = 256

const NO_CREDENTIAL = { text: 'Missing username and password.', details: 'no_credential_for_basic_auth' }
const OTHER_SCHEME = { text: "Expected 'Basic' authentication scheme.", details: 'invalid_scheme_for_basic_auth' }
const NO_PAIR = { text: 'Invalid basic credential format.', details: 'invalid_format_for_basic_auth' }
const WRONG = { text: 'Invalid username/password combination.', details: 'invalid_credential_for_basic_auth' }

type Refusal = typeof WRONG
/** A user, a refusal, or null: no credentials, and none are needed. */
type Verdict = { readonly user: string } | Refusal | null

export function basicAuthFilter(name: string, disabled: boolean, config: BasicAuthConfig, ctx: FilterContext): FilterFactory {
  const shared = new BasicAuthFilter(name, config, ctx)
  return { name, disabled, create: () => shared }
}

class BasicAuthFilter implements StreamFilter {
  private readonly name: string
  private readonly config: BasicAuthConfig
  private readonly stats

  constructor(name: string, config: BasicAuthConfig, ctx: FilterContext) {
    this.name = name
    this.config = config
    this.stats = ctx.httpCounters('basic_auth', COUNTERS)
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const verdict = this.judge(call, head)
    if (verdict === null) return 'continue'
    if ('text' in verdict) {
      this.stats.denied.value++
      const challenge = `Basic realm="${this.realmOf(call, head).replace(/["\\]/g, '\\$&')}"`
      const body = `User authentication failed. ${verdict.text}`
      call.sendReply(401, body, verdict.details, 0, HeaderList.of(['www-authenticate', challenge]))
      return 'stop'
    }
    this.stats.allowed.value++
    this.accept(call, head, verdict.user)
    return 'continue'
  }

  explain(call: FilterCall, head: RequestHead): FilterExplanation {
    const verdict = this.judge(call, head)
    if (verdict === null) return { verdict: 'passes', reason: 'it has no credentials, and none are needed' }
    if ('text' in verdict) return { verdict: 'denies', reason: verdict.details, status: 401 }
    this.accept(call, head, verdict.user)
    return { verdict: 'passes', reason: 'its user and password are known' }
  }

  private judge(call: FilterCall, { headers }: RequestHead): Verdict {
    const { authenticationHeader, allowMissing, users } = this.config
    const value = fieldOf(headers, authenticationHeader)
    if (value === undefined) return allowMissing ? null : NO_CREDENTIAL
    if (!value.startsWith(SCHEME)) return allowMissing ? null : OTHER_SCHEME
    const pair = decodeBase64(value.slice(SCHEME.length))
    const colon = pair.indexOf(':')
    if (colon === -1) return NO_PAIR
    const override = call.overrideFor(this.name)
    const user = pair.slice(0, colon)
    const expected = (override?.kind === 'basicAuth' ? override.users : users).get(user)
    const sent = createHash('sha1')
      .update(pair.slice(colon + 1), 'latin1')
      .digest()
    return expected?.length === sent.length && timingSafeEqual(expected, sent) ? { user } : WRONG
  }

  private accept(call: FilterCall, head: RequestHead, user: string): void {
    const { forwardUsernameHeader, emitDynamicMetadata } = this.config
    if (forwardUsernameHeader !== '') head.headers.set(forwardUsernameHeader, user)
    if (emitDynamicMetadata) call.info.setDynamicMetadata(this.name, 'username', fromByteString(user))
  }

  private realmOf(call: FilterCall, head: RequestHead): string {
    const override = call.overrideFor(this.name)
    const realm = (override?.kind === 'basicAuth' ? override.realm : '') || this.config.realm
    return realm || `${head.scheme || 'http'}://${head.authority}${head.path.slice(0, MAX_REALM_PATH)}`
  }
}

/** Bytes, one a character; '' where it is no base64. Padding may be left out. */
function decodeBase64(text: string): string {
  const unpadded = text.replace(/={1,2}$/, '')
  if (unpadded.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(unpadded)) return ''
  return Buffer.from(unpadded, 'base64').toString('latin1')
}
