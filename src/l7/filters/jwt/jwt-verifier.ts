// Decides a JwtRequirement for one request: finds tokens, checks issuer, times, audiences and signature, and does to the request
// what the provider says on success. Called by jwt-authn.ts. Synchronous when the keys are there and the token is in the cache;
// otherwise a promise (jose verifies asynchronously). Never rejects.

import { compactVerify } from 'jose'
import type { JwtConfig, JwtProvider, JwtRequirement } from '../../../model/http-filter.js'
import type { JsonObject, JsonValue } from '../../../model/metadata.js'
import { toByteString } from '../../codec/byte-string.js'
import type { RequestHead } from '../../codec/codec.js'
import { metadataValue } from '../../match/metadata-matcher.js'
import { compileStringMatcher } from '../../match/string-matcher.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall } from '../http-filter.js'
import { isSafeHeader } from '../safe-header.js'
import { type JwksResult, type JwksSource, jwksSource, type KeySet } from './jwks.js'
import { type FoundToken, findTokens, removeToken } from './jwt-location.js'
import { type JwtStatus, jwtStatusNumber, jwtStatusText } from './jwt-status.js'
import { type ParsedJwt, parseJwt } from './jwt-token.js'

const METADATA_NAMESPACE = 'envoy.filters.http.jwt_authn'
/** Longer tokens are verified anew each time (Envoy). */
const MAX_CACHED_TOKEN_BYTES = 4096

type Later<T> = T | Promise<T>

export interface JwtVerifierStats {
  readonly jwks_fetch_success: { value: number }
  readonly jwks_fetch_failed: { value: number }
  readonly jwt_cache_hit: { value: number }
  readonly jwt_cache_miss: { value: number }
}

interface Run {
  readonly call: FilterCall
  readonly head: RequestHead
  /** A real request: it counts, and what it proves is remembered. */
  readonly real: boolean
  clearRouteCache: boolean
}

interface Provider {
  readonly model: JwtProvider
  readonly source: JwksSource
  readonly audiences: readonly string[]
  readonly subject: ((value: string) => boolean) | null
}

export class JwtVerifier {
  private readonly ctx: FilterContext
  private readonly stats: JwtVerifierStats
  private readonly providers = new Map<string, Provider>()

  constructor(config: JwtConfig, ctx: FilterContext, stats: JwtVerifierStats) {
    this.ctx = ctx
    this.stats = stats
    for (const [name, model] of config.providers) {
      this.providers.set(name, {
        model,
        source: jwksSource(model, ctx, ok => {
          if (ok) stats.jwks_fetch_success.value++
          else stats.jwks_fetch_failed.value++
        }),
        audiences: model.audiences.map(bareAudience),
        subject: model.subjects === null ? null : compileStringMatcher(model.subjects),
      })
    }
  }

  /** `ok`, or why the request must be refused. The request head is changed as the providers say. `real`: not one that is only explained. */
  verify(requirement: JwtRequirement, call: FilterCall, head: RequestHead, real = true): Later<JwtStatus> {
    for (const provider of this.involved(requirement)) sanitize(provider.model, head)
    const run: Run = { call, head, real, clearRouteCache: false }
    return then(this.evaluate(requirement, run, []), status => {
      if (run.clearRouteCache && !call.ended) call.clearRouteCache()
      return status
    })
  }

  /** Providers whose headers may be written: what a client sent under their names must not get through. */
  private involved(requirement: JwtRequirement): Iterable<Provider> {
    const names = providerNames(requirement)
    return names.length === 0 ? this.providers.values() : names.flatMap(name => this.providers.get(name) ?? [])
  }

  private evaluate(requirement: JwtRequirement, run: Run, siblings: readonly string[]): Later<JwtStatus> {
    switch (requirement.kind) {
      case 'none':
        return 'ok'
      case 'provider': {
        const provider = this.providers.get(requirement.provider)
        if (provider === undefined) return 'unknownIssuer'
        const audiences = requirement.audiences.length > 0 ? requirement.audiences.map(bareAudience) : provider.audiences
        return this.verifyFirst(findTokens(provider.model, run.head), 0, provider, audiences, run, 'missed')
      }
      case 'all':
        return this.evaluateAll(requirement.requirements, 0, run)
      case 'any':
        return this.evaluateAny(requirement.requirements, run)
      case 'allowMissing':
        return this.verifyEvery(this.tokensOf(siblings, run.head), 0, run, siblings)
      case 'allowMissingOrFailed':
        return then(this.verifyEvery(this.tokensOf(siblings, run.head), 0, run, siblings), () => 'ok')
    }
  }

  private evaluateAll(list: readonly JwtRequirement[], from: number, run: Run): Later<JwtStatus> {
    if (from === list.length) return 'ok'
    return then(this.evaluate(list[from]!, run, []), status => (status === 'ok' ? this.evaluateAll(list, from + 1, run) : status))
  }

  /** The lenient kinds come last, whatever their place: they must not hide a provider that would have said yes. */
  private evaluateAny(list: readonly JwtRequirement[], run: Run): Later<JwtStatus> {
    const lenient = (kind: JwtRequirement['kind']) => kind === 'allowMissing' || kind === 'allowMissingOrFailed'
    const ordered = [...list.filter(inner => !lenient(inner.kind)), ...list.filter(inner => lenient(inner.kind))]
    const siblings = ordered.flatMap(providerNames)
    const step = (from: number, worst: JwtStatus): Later<JwtStatus> => {
      if (from === ordered.length) return worst
      return then(this.evaluate(ordered[from]!, run, siblings), status => {
        if (status === 'ok') return 'ok'
        return step(from + 1, tells(status) >= tells(worst) ? status : worst)
      })
    }
    return step(0, 'missed')
  }

  private tokensOf(names: readonly string[], head: RequestHead): FoundToken[] {
    const out: FoundToken[] = []
    for (const provider of names.length === 0 ? [...this.providers.values()] : names.map(name => this.providers.get(name))) {
      if (provider === undefined) continue
      for (const found of findTokens(provider.model, head)) if (!out.some(other => other.token === found.token)) out.push(found)
    }
    return out
  }

  /** Until one is good. */
  private verifyFirst(
    tokens: readonly FoundToken[],
    from: number,
    provider: Provider,
    audiences: readonly string[],
    run: Run,
    last: JwtStatus,
  ): Later<JwtStatus> {
    if (from === tokens.length) {
      if (last !== 'ok') this.recordFailure(provider.model, last, run)
      return last
    }
    return then(this.verifyToken(tokens[from]!, provider, audiences, run), status =>
      status === 'ok' ? 'ok' : this.verifyFirst(tokens, from + 1, provider, audiences, run, status),
    )
  }

  /** All of them, each by the provider of its issuer; the first failure is the answer, no token at all is fine. */
  private verifyEvery(tokens: readonly FoundToken[], from: number, run: Run, names: readonly string[]): Later<JwtStatus> {
    if (from === tokens.length) return 'ok'
    const found = tokens[from]!
    const parsed = parseJwt(found.token)
    const provider = 'status' in parsed ? undefined : this.providerOfIssuer(parsed.issuer, names)
    const status: Later<JwtStatus> =
      'status' in parsed
        ? parsed.status
        : provider === undefined
          ? 'unknownIssuer'
          : this.verifyToken(found, provider, provider.audiences, run)
    return then(status, mine => then(this.verifyEvery(tokens, from + 1, run, names), rest => (mine === 'ok' ? rest : mine)))
  }

  private providerOfIssuer(issuer: string, names: readonly string[]): Provider | undefined {
    const among = names.length === 0 ? [...this.providers.values()] : names.flatMap(name => this.providers.get(name) ?? [])
    return among.find(provider => provider.model.issuer === issuer) ?? among.find(provider => provider.model.issuer === '')
  }

  private verifyToken(found: FoundToken, provider: Provider, audiences: readonly string[], run: Run): Later<JwtStatus> {
    return then(provider.source.keys(), keys => {
      const cached = isKeySet(keys) && provider.model.cacheSize > 0 ? this.cached(keys, found.token, run) : undefined
      const jwt = cached ?? parseJwt(found.token)
      if ('status' in jwt) return jwt.status
      const refused = this.checkClaims(jwt, provider, audiences)
      if (refused !== null) return refused
      if (cached !== undefined) return this.accept(jwt, found, provider, run)
      if (!isKeySet(keys)) return keys.status
      return verifySignature(jwt, keys).then(status => {
        if (status !== 'ok') return status
        if (run.real && provider.model.cacheSize > 0) remember(keys, jwt, provider.model.cacheSize)
        return this.accept(jwt, found, provider, run)
      })
    })
  }

  private cached(keys: KeySet, token: string, { real }: Run): ParsedJwt | undefined {
    const known = keys.verified.get(token)
    if (!real) return known
    if (known === undefined) {
      this.stats.jwt_cache_miss.value++
      return undefined
    }
    this.stats.jwt_cache_hit.value++
    keys.verified.delete(token)
    keys.verified.set(token, known)
    return known
  }

  private checkClaims(jwt: ParsedJwt, provider: Provider, audiences: readonly string[]): JwtStatus | null {
    const { model } = provider
    if (model.issuer !== '' && jwt.issuer !== model.issuer) return 'unknownIssuer'
    const now = this.ctx.wallClock() / 1000
    if (jwt.notBefore > now + model.clockSkewSeconds) return 'notYetValid'
    if (jwt.expires > 0 && now > jwt.expires + model.clockSkewSeconds) return 'expired'
    if (provider.subject !== null && !provider.subject(toByteString(jwt.subject))) return 'verificationFail'
    if (model.maxLifetimeMs !== null) {
      if (jwt.expires === 0 || jwt.expires - now > model.maxLifetimeMs / 1000) return 'verificationFail'
    } else if (model.requireExpiration && jwt.expires === 0) return 'verificationFail'
    if (audiences.length > 0 && !jwt.audiences.some(audience => audiences.includes(bareAudience(audience)))) return 'audienceNotAllowed'
    return null
  }

  /** What a good token does to the request. */
  private accept(jwt: ParsedJwt, found: FoundToken, provider: Provider, run: Run): JwtStatus {
    const { model } = provider
    const { call, head } = run
    if (call.ended) return 'ok'
    let changed = false
    for (const { headerName, claimName } of model.claimToHeaders) {
      const text = claimText(metadataValue(jwt.payload, claimName.split('.')))
      if (text === null || !isSafeHeader(headerName, text)) continue
      head.headers.append(headerName, text)
      changed = true
    }
    if (model.forwardPayloadHeader !== '') {
      const padding = model.padForwardPayloadHeader ? '='.repeat((4 - (jwt.payloadBase64.length % 4)) % 4) : ''
      head.headers.append(model.forwardPayloadHeader, jwt.payloadBase64 + padding)
    }
    if (!model.forward) removeToken(found, head)
    if (model.headerInMetadata !== '') call.info.setDynamicMetadata(METADATA_NAMESPACE, model.headerInMetadata, jwt.header)
    if (model.payloadInMetadata !== '') {
      call.info.setDynamicMetadata(METADATA_NAMESPACE, model.payloadInMetadata, withLists(jwt.payload, model.spaceDelimitedClaims))
      changed = true
    }
    if (changed && model.clearRouteCache) run.clearRouteCache = true
    return 'ok'
  }

  private recordFailure(model: JwtProvider, status: JwtStatus, run: Run): void {
    if (model.failedStatusInMetadata === '') return
    run.call.info.setDynamicMetadata(METADATA_NAMESPACE, model.failedStatusInMetadata, {
      code: jwtStatusNumber(status),
      message: jwtStatusText(status),
    })
  }
}

/** Any key that fits is tried: sets with several keys and no ids are legal. */
async function verifySignature(jwt: ParsedJwt, keys: KeySet): Promise<JwtStatus> {
  let fits = false
  for (const { kid, alg, key } of keys.keys) {
    if (jwt.kid !== '' && kid !== '' && kid !== jwt.kid) continue
    if (alg !== '' && alg !== jwt.alg) continue
    // A public key must never serve as an HMAC secret, nor the reverse.
    if (jwt.alg.startsWith('HS') !== (key.type === 'secret')) continue
    fits = true
    try {
      await compactVerify(jwt.text, key, { algorithms: [jwt.alg] })
      return 'ok'
    } catch {
      // Another key may fit.
    }
  }
  return fits ? 'verificationFail' : 'jwksKidAlgMismatch'
}

function remember(keys: KeySet, jwt: ParsedJwt, cacheSize: number): void {
  if (jwt.text.length > MAX_CACHED_TOKEN_BYTES) return
  if (keys.verified.size >= cacheSize) keys.verified.delete(keys.verified.keys().next().value!)
  keys.verified.set(jwt.text, jwt)
}

/** Headers that only a verified token may fill. */
function sanitize(model: JwtProvider, head: RequestHead): void {
  if (model.forwardPayloadHeader !== '') head.headers.remove(model.forwardPayloadHeader)
  for (const { headerName } of model.claimToHeaders) head.headers.remove(headerName)
}

function providerNames(requirement: JwtRequirement): string[] {
  if (requirement.kind === 'provider') return [requirement.provider]
  return requirement.kind === 'any' || requirement.kind === 'all' ? requirement.requirements.flatMap(providerNames) : []
}

/** How much a failure says: a token that was looked at tells more than one of another issuer, and that more than none. */
function tells(status: JwtStatus): number {
  return status === 'missed' ? 0 : status === 'unknownIssuer' ? 1 : 2
}

/** `https://audience/` and `audience` are the same (Envoy). */
function bareAudience(audience: string): string {
  let bare = audience
  if (bare.startsWith('http://')) bare = bare.slice(7)
  else if (bare.startsWith('https://')) bare = bare.slice(8)
  return bare.endsWith('/') ? bare.slice(0, -1) : bare
}

/** Strings, numbers and booleans as text, structures as base64url JSON; null when absent. */
function claimText(value: JsonValue | undefined): string | null {
  switch (typeof value) {
    case 'string':
      return toByteString(value)
    case 'number':
      return numberText(value)
    case 'boolean':
      return String(value)
    case 'object':
      // As ProtoJSON: `<` and `>` are escaped.
      return value === null
        ? null
        : Buffer.from(JSON.stringify(value).replace(/[<>]/g, c => (c === '<' ? '\\u003c' : '\\u003e'))).toString('base64')
    default:
      return null
  }
}

/** As Envoy: positive integers as they are, everything else with six decimals. */
function numberText(value: number): string {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 63) return BigInt(value).toString()
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`
}

function isKeySet(result: JwksResult): result is KeySet {
  return !('status' in result)
}

function then<T, U>(value: Later<T>, next: (value: T) => Later<U>): Later<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** The claims of that name that are text, word by word; a payload may be the cache's and stays as it is. */
function withLists(payload: JsonObject, claims: readonly string[]): JsonObject {
  if (claims.length === 0) return payload
  const words = (name: string, value: JsonValue): JsonValue =>
    typeof value === 'string' && claims.includes(name) ? value.split(' ').filter(word => word !== '') : value
  return Object.fromEntries(Object.entries(payload).map(([name, value]) => [name, words(name, value)]))
}
