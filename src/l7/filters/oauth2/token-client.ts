// Asks the token endpoint of an oauth2 filter: for the tokens of an authorization code, or of a refresh token (RFC 6749 §4.1.3, §6; the code
// verifier by RFC 7636). The answer comes once, and never from inside of the call.

import type { OAuth2Config } from '../../../model/oauth2.js'
import type { AsyncCall, AsyncResult } from '../../client/async-client.js'
import { toByteString } from '../../codec/byte-string.js'
import { HeaderList } from '../../codec/header-list.js'
import type { FilterContext } from '../filter-environment.js'
import { splitUri } from '../split-uri.js'
import { encodeQueryText } from './authorization-url.js'

/** Longest token that is taken: a cookie holds no more. */
const MAX_TOKEN_LENGTH = 16 * 1024
/** A longer life is none that Envoy could read. */
const MAX_SECONDS = 0xffffffff

export interface Tokens {
  readonly accessToken: string
  readonly idToken: string
  readonly refreshToken: string
  readonly expiresInSeconds: number
}

/** `refused`: the endpoint gave no answer of status 200; `failed`: one that has no tokens. */
export type TokenResult = Tokens | { readonly problem: 'refused' | 'failed'; readonly details: string }

export class TokenClient {
  private readonly config: OAuth2Config
  private readonly ctx: FilterContext
  private readonly authority: string
  private readonly path: string

  constructor(config: OAuth2Config, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    const { authority, path } = splitUri(config.tokenEndpoint.uri)
    this.authority = authority
    this.path = path
  }

  /** `code`: as it stood in the query. */
  exchangeCode(code: string, redirectUri: string, verifier: string, secret: string, answer: (result: TokenResult) => void): AsyncCall {
    const fields = ['grant_type=authorization_code', `code=${code}`, ...this.credentials(secret)]
    fields.push(`redirect_uri=${encodeQueryText(redirectUri)}`, `code_verifier=${verifier}`)
    return this.ask(fields.join('&'), secret, answer)
  }

  refresh(refreshToken: string, secret: string, answer: (result: TokenResult) => void): AsyncCall {
    const fields = ['grant_type=refresh_token', `refresh_token=${encodeQueryText(refreshToken)}`, ...this.credentials(secret)]
    return this.ask(fields.join('&'), secret, answer)
  }

  private credentials(secret: string): string[] {
    const { authType, clientId } = this.config
    if (authType === 'basic') return []
    const id = `client_id=${encodeQueryText(toByteString(clientId))}`
    return authType === 'body' ? [id, `client_secret=${encodeQueryText(secret)}`] : [id]
  }

  private ask(body: string, secret: string, answer: (result: TokenResult) => void): AsyncCall {
    const { config, ctx } = this
    const { cluster, timeoutMs, retries, retryBaseMs, retryMaxMs } = config.tokenEndpoint
    // Of all tries together.
    const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : ctx.clock.now() + timeoutMs
    let current: { cancel(): void } = { cancel() {} }
    const attempt = (tried: number): void => {
      const headers = HeaderList.of(['content-type', 'application/x-www-form-urlencoded'], ['accept', 'application/json'])
      if (config.authType === 'basic') {
        const pair = `${toByteString(config.clientId)}:${secret}`
        headers.append('authorization', `Basic ${Buffer.from(pair, 'latin1').toString('base64')}`)
      }
      const left = Math.min(deadline - ctx.clock.now(), retries === 0 ? Number.POSITIVE_INFINITY : retryMaxMs)
      const request = {
        method: 'POST',
        path: this.path,
        authority: this.authority,
        headers,
        body: Buffer.from(body, 'latin1'),
        timeoutMs: left === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.ceil(left)),
      }
      current = ctx.env.httpClient.send(cluster, request, result => {
        const wait = Math.floor(ctx.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** tried))
        if (tried >= retries || !isTransient(result) || ctx.clock.now() + wait >= deadline) answer(this.read(result))
        else current = ctx.clock.after(wait, () => attempt(tried + 1))
      })
    }
    attempt(0)
    return { cancel: () => current.cancel() }
  }

  private read(result: AsyncResult): TokenResult {
    if (result.kind === 'failure') {
      const { cluster } = this.config.tokenEndpoint
      this.ctx.env.failures?.record(cluster, 'oauth2', `the token endpoint (cluster ${cluster}) gives no answer: ${result.message}`)
      return { problem: 'refused', details: 'Failed_to_get_access_token_due_to_HTTP_request_failure' }
    }
    if (result.status !== 200) return { problem: 'refused', details: `Failed_to_get_access_token:_response_code:_${result.status}` }
    const answer = parseJson(result.body)
    if (answer === null) return { problem: 'failed', details: 'Failed_to_parse_oauth_response_body' }
    const accessToken = tokenOf(answer['access_token'])
    const [idToken, refreshToken] = [tokenOf(answer['id_token'] ?? ''), tokenOf(answer['refresh_token'] ?? '')]
    if (accessToken === null) return { problem: 'failed', details: 'No_access_token_found_in_the_token_exchange_response' }
    if (idToken === null || refreshToken === null) return { problem: 'failed', details: 'Failed_to_parse_oauth_response_body' }
    const expiresIn = answer['expires_in'] === undefined ? this.config.defaultExpiresInSeconds : Number(answer['expires_in'])
    if (!Number.isInteger(expiresIn) || expiresIn <= 0 || expiresIn > MAX_SECONDS)
      return { problem: 'failed', details: 'No_default_or_explicit_access_token_expiration_found_in_the_token_exchange_response' }
    return { accessToken, idToken, refreshToken, expiresInSeconds: expiresIn }
  }
}

/** Envoy's `5xx,gateway-error,connect-failure,reset`. A try that may last as long as this is a reset too. */
function isTransient(result: AsyncResult): boolean {
  return result.kind === 'failure' ? result.reason === 'reset' || result.reason === 'timeout' : result.status >= 500
}

function parseJson(body: Buffer): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

/** What may stand in a cookie and in a header; null for anything else. */
function tokenOf(value: unknown): string | null {
  return typeof value === 'string' && value.length <= MAX_TOKEN_LENGTH && /^[\x21-\x3a\x3c-\x7e]*$/.test(value) ? value : null
}
