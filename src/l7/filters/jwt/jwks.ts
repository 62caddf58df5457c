// Key sets of JWT providers: parsed once, kept until they are too old, fetched by the cluster of the provider. Used by
// jwt-verifier.ts. A failed fetch never replaces keys that are there; fetches of one set at the same time are one.

import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { Timer } from '../../../io/clock.js'
import type { JwtProvider } from '../../../model/http-filter.js'
import { HeaderList } from '../../codec/header-list.js'
import type { FilterContext } from '../filter-environment.js'
import { splitUri } from '../split-uri.js'
import type { JwtStatus } from './jwt-status.js'
import type { ParsedJwt } from './jwt-token.js'

/** Keys taken from one set; the rest is ignored. */
export const MAX_JWKS_KEYS = 256
/** An async refetch happens this long before the keys get too old (Envoy). */
const REFETCH_AHEAD_MS = 5000

export interface JwksKey {
  readonly kid: string
  readonly alg: string
  readonly key: KeyObject
}

export class KeySet {
  readonly keys: readonly JwksKey[]
  /** Tokens that these keys have verified, least recently used first (jwt_cache_config). */
  readonly verified = new Map<string, ParsedJwt>()

  constructor(keys: readonly JwksKey[]) {
    this.keys = keys
  }
}

/** Keys that cannot be read or are of an unknown type are left out; a set without any is an error. */
export function parseJwks(text: string): KeySet | { readonly status: JwtStatus } {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return { status: 'jwksParseError' }
  }
  if (typeof document !== 'object' || document === null) return { status: 'jwksParseError' }
  const list = (document as { keys?: unknown }).keys
  if (list === undefined) return parsePems(document)
  if (!Array.isArray(list)) return { status: 'jwksBadKeys' }
  const keys = list.slice(0, MAX_JWKS_KEYS).flatMap(entry => readKey(entry) ?? [])
  return keys.length === 0 ? { status: 'jwksNoValidKeys' } : new KeySet(keys)
}

/** `{kid: PEM}`: certificates by the id of their key. */
function parsePems(document: object): KeySet | { readonly status: JwtStatus } {
  const entries = Object.entries(document).slice(0, MAX_JWKS_KEYS)
  if (entries.length === 0 || !entries.every(([, pem]) => typeof pem === 'string' && pem.startsWith('-----BEGIN CERTIFICATE-----')))
    return { status: 'jwksNoKeys' }
  const keys = entries.flatMap(([kid, pem]) => {
    try {
      return [{ kid, alg: '', key: createPublicKey(pem as string) }]
    } catch {
      return []
    }
  })
  return keys.length === 0 ? { status: 'jwksNoValidKeys' } : new KeySet(keys)
}

function readKey(entry: unknown): JwksKey | null {
  if (typeof entry !== 'object' || entry === null) return null
  const jwk = entry as { kid?: unknown; alg?: unknown; kty?: unknown; k?: unknown; use?: unknown }
  if (jwk.use !== undefined && jwk.use !== 'sig') return null
  const kid = typeof jwk.kid === 'string' ? jwk.kid : ''
  const alg = typeof jwk.alg === 'string' ? jwk.alg : ''
  try {
    if (jwk.kty === 'oct') {
      return typeof jwk.k === 'string' && jwk.k !== '' ? { kid, alg, key: createSecretKey(Buffer.from(jwk.k, 'base64url')) } : null
    }
    return { kid, alg, key: createPublicKey({ key: entry as Record<string, string>, format: 'jwk' }) }
  } catch {
    return null
  }
}

export type JwksResult = KeySet | { readonly status: JwtStatus }

export interface JwksSource {
  /** The keys now, or a promise that never rejects. */
  keys(): JwksResult | Promise<JwksResult>
}

export function jwksSource(provider: JwtProvider, ctx: FilterContext, onFetch: (ok: boolean) => void): JwksSource {
  const { jwks } = provider
  if (jwks.kind === 'remote') return new RemoteJwks(provider.name, jwks, ctx, onFetch)
  const text = ctx.env.readSource(jwks.source)
  const parsed: JwksResult = text === null || text === undefined ? { status: 'jwksParseError' } : parseJwks(text)
  if ('status' in parsed) ctx.env.log('warn', `jwt_authn: the local key set of provider '${provider.name}' has no usable key`)
  return { keys: () => parsed }
}

type RemoteConfig = Extract<JwtProvider['jwks'], { kind: 'remote' }>

class RemoteJwks implements JwksSource {
  private readonly provider: string
  private readonly config: RemoteConfig
  private readonly ctx: FilterContext
  private readonly onFetch: (ok: boolean) => void
  private readonly authority: string
  private readonly path: string
  private current: KeySet | null = null
  private expiresAt = 0
  private fetching: Promise<JwksResult> | null = null
  private timer: Timer | null = null
  private released = false

  constructor(provider: string, config: RemoteConfig, ctx: FilterContext, onFetch: (ok: boolean) => void) {
    this.provider = provider
    this.config = config
    this.ctx = ctx
    this.onFetch = onFetch
    const target = splitUri(config.uri)
    this.authority = target.authority
    this.path = target.path
    ctx.onRelease(() => {
      this.released = true
      this.timer?.cancel()
    })
    if (config.asyncFetch) void this.fetch()
  }

  keys(): JwksResult | Promise<JwksResult> {
    if (this.current !== null && (this.config.asyncFetch || this.ctx.clock.now() < this.expiresAt)) return this.current
    return this.fetch()
  }

  private fetch(): Promise<JwksResult> {
    this.fetching ??= new Promise(resolve => this.attempt(0, resolve))
    return this.fetching
  }

  private attempt(tried: number, resolve: (result: JwksResult) => void): void {
    const { config, ctx } = this
    const request = {
      method: 'GET',
      path: this.path,
      authority: this.authority,
      headers: HeaderList.of(['accept', 'application/json']),
      body: null,
      timeoutMs: config.timeoutMs,
    }
    ctx.env.httpClient.send(config.cluster, request, result => {
      const answer: JwksResult =
        result.kind === 'response' && result.status === 200 ? parseJwks(result.body.toString('utf8')) : { status: 'jwksFetch' }
      if (!('status' in answer)) {
        this.current = answer
        this.expiresAt = ctx.clock.now() + config.cacheMs
        this.finish(true, answer, resolve)
        return
      }
      // A key set that came and is no good is not asked for again at once: the next one would be the same.
      if (answer.status === 'jwksFetch' && tried < config.retries && !this.released) {
        const backoff = Math.min(config.retryMaxMs, config.retryBaseMs * 2 ** tried)
        this.timer = ctx.clock.after(Math.floor(ctx.random() * backoff), () => this.attempt(tried + 1, resolve))
        return
      }
      const why = result.kind === 'failure' ? result.message : `HTTP status ${result.status}`
      ctx.env.log(
        'warn',
        `jwt_authn: fetching the keys of provider '${this.provider}' failed: ${answer.status === 'jwksFetch' ? why : answer.status}`,
      )
      this.finish(false, { status: 'jwksFetch' }, resolve)
    })
  }

  private finish(ok: boolean, result: JwksResult, resolve: (result: JwksResult) => void): void {
    this.onFetch(ok)
    this.fetching = null
    const { config, ctx } = this
    if (config.asyncFetch && !this.released) {
      const wait = ok ? Math.max(config.cacheMs - REFETCH_AHEAD_MS, REFETCH_AHEAD_MS) : config.failedRefetchMs
      this.timer = ctx.clock.after(wait, () => void this.fetch())
    }
    resolve(result)
  }
}
