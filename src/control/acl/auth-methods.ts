// Who a bearer token says its holder is, by the auth method it is shown to: `jwt` (signed by keys that the method names, or that its JWKS or
// OIDC discovery URL serves) and `kubernetes` (the cluster's TokenReview API judges it). Called by login.ts; the forms of their
// configuration are judged here when a method is written. Invariant: what can't be verified is refused with one line, and no answer of a
// remote server is read beyond its bound.
import { createPublicKey, X509Certificate } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createLocalJWKSet, importSPKI, type JSONWebKeySet, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { parseDuration } from '../config-entries/duration.js'
import { AclError } from './acl-error.js'
import type { AuthMethod } from './acl-types.js'

/** What binding rules can select by and build names from: `serviceaccount.name`, `value.team`, `list.groups`. */
export type VerifiedIdentity = ReadonlyMap<string, string | readonly string[]>

type Config = Readonly<Record<string, unknown>>

const REMOTE_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 1024 * 1024
const JWKS_FRESH_MS = 5 * 60_000
/** Consul's leeway where a token has no `exp`, or no `nbf`. */
const DEFAULT_LEEWAY_S = 150
const DEFAULT_ALGORITHM = 'RS256'
const ALGORITHMS = new Set(['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA'])
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  jwt: [
    'BoundAudiences',
    'BoundIssuer',
    'JWTValidationPubKeys',
    'JWKSURL',
    'JWKSCACert',
    'OIDCDiscoveryURL',
    'OIDCDiscoveryCACert',
    'JWTSupportedAlgs',
    'ClaimMappings',
    'ListClaimMappings',
    'ExpirationLeeway',
    'NotBeforeLeeway',
    'ClockSkewLeeway',
  ],
  kubernetes: ['Host', 'CACert', 'ServiceAccountJWT'],
}
const ENTERPRISE_TYPES = new Set(['oidc'])

/** What is wrong with a method's configuration, as one line; null when it can be used. */
export function methodProblem(type: string, config: Config): string | null {
  if (ENTERPRISE_TYPES.has(type)) return `auth method type ${type} is of Consul Enterprise`
  const fields = FIELDS[type]
  if (fields === undefined) return `no auth method found with type: ${JSON.stringify(type)}`
  for (const key of Object.keys(config)) if (!fields.includes(key)) return `Config.${key}: is no field of auth methods of type ${type}`
  try {
    if (type === 'kubernetes') checkKubernetes(config)
    else checkJwt(config)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

function checkKubernetes(config: Config): void {
  for (const name of ['Host', 'CACert', 'ServiceAccountJWT'])
    if (stringOf(config, name) === '') throw new Error(`Config.${name} is required`)
  urlOf(stringOf(config, 'Host'), 'Config.Host')
  certificate(stringOf(config, 'CACert'), 'Config.CACert')
}

function checkJwt(config: Config): void {
  const keys = stringsOf(config, 'JWTValidationPubKeys')
  const sources = [keys.length > 0, stringOf(config, 'JWKSURL') !== '', stringOf(config, 'OIDCDiscoveryURL') !== ''].filter(Boolean)
  if (sources.length !== 1)
    throw new Error("exactly one of 'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL' must be set for type \"jwt\"")
  for (const [index, pem] of keys.entries()) {
    try {
      createPublicKey(pem)
    } catch {
      throw new Error(`Config.JWTValidationPubKeys[${index}]: is no public key in PEM form`)
    }
  }
  for (const name of ['JWKSURL', 'OIDCDiscoveryURL']) if (stringOf(config, name) !== '') urlOf(stringOf(config, name), `Config.${name}`)
  for (const name of ['JWKSCACert', 'OIDCDiscoveryCACert'])
    if (stringOf(config, name) !== '') certificate(stringOf(config, name), `Config.${name}`)
  for (const algorithm of stringsOf(config, 'JWTSupportedAlgs'))
    if (!ALGORITHMS.has(algorithm)) throw new Error(`Config.JWTSupportedAlgs: unsupported signing algorithm: ${algorithm}`)
  stringsOf(config, 'BoundAudiences')
  stringOf(config, 'BoundIssuer')
  for (const name of ['ClaimMappings', 'ListClaimMappings']) mappingsOf(config, name)
  for (const name of ['ExpirationLeeway', 'NotBeforeLeeway', 'ClockSkewLeeway']) leewayOf(config, name, 0)
}

/** Verifies bearer tokens; keeps the key sets of JWKS URLs for five minutes. */
export class IdentityVerifier {
  private readonly keySets = new Map<string, { readonly keys: JSONWebKeySet; readonly readAtMs: number }>()
  private readonly nowMs: () => number

  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  /** Throws `AclError` 403 when the method does not accept the token. */
  async verify(method: AuthMethod, bearerToken: string): Promise<VerifiedIdentity> {
    try {
      return method.Type === 'kubernetes' ? await reviewToken(method.Config, bearerToken) : await this.verifyJwt(method, bearerToken)
    } catch (error) {
      if (error instanceof AclError) throw error
      throw new AclError(403, `Permission denied: ${(error as Error).message.split('\n')[0]}`)
    }
  }

  private async verifyJwt(method: AuthMethod, bearerToken: string): Promise<VerifiedIdentity> {
    const { Config: config } = method
    const algorithms = stringsOf(config, 'JWTSupportedAlgs')
    const issuer = stringOf(config, 'BoundIssuer')
    const audiences = stringsOf(config, 'BoundAudiences')
    const options: JWTVerifyOptions = {
      algorithms: algorithms.length > 0 ? [...algorithms] : [DEFAULT_ALGORITHM],
      clockTolerance: leewayOf(config, 'ClockSkewLeeway', 60),
      currentDate: new Date(this.nowMs()),
      ...(issuer === '' ? {} : { issuer }),
      ...(audiences.length === 0 ? {} : { audience: [...audiences] }),
    }
    const payload = await this.payloadOf(method, bearerToken, options)
    this.checkTimes(payload, config)
    return mapped(payload, config)
  }

  private async payloadOf(method: AuthMethod, bearerToken: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    const pems = stringsOf(method.Config, 'JWTValidationPubKeys')
    if (pems.length === 0) return (await jwtVerify(bearerToken, createLocalJWKSet(await this.keysOf(method)), options)).payload
    let last: unknown
    for (const pem of pems) {
      for (const algorithm of options.algorithms!) {
        try {
          const key = await importSPKI(createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString(), algorithm)
          return (await jwtVerify(bearerToken, key, options)).payload
        } catch (error) {
          last = error
        }
      }
    }
    throw last
  }

  private async keysOf({ Name, Config: config }: AuthMethod): Promise<JSONWebKeySet> {
    const discovery = stringOf(config, 'OIDCDiscoveryURL')
    const cacheKey = `${Name} ${discovery}${stringOf(config, 'JWKSURL')}`
    const known = this.keySets.get(cacheKey)
    if (known !== undefined && this.nowMs() - known.readAtMs < JWKS_FRESH_MS) return known.keys
    let url = stringOf(config, 'JWKSURL')
    const ca = stringOf(config, discovery === '' ? 'JWKSCACert' : 'OIDCDiscoveryCACert')
    if (discovery !== '') {
      const document = (await fetchJson(`${discovery.replace(/\/$/, '')}/.well-known/openid-configuration`, { ca })) as {
        jwks_uri?: unknown
      }
      if (typeof document?.jwks_uri !== 'string') throw new Error('the OIDC discovery document names no jwks_uri')
      url = document.jwks_uri
    }
    const keys = (await fetchJson(url, { ca })) as JSONWebKeySet
    this.keySets.set(cacheKey, { keys, readAtMs: this.nowMs() })
    return keys
  }

  /** RFC 7519 leaves `exp` and `nbf` out if it likes; then the time of issue and a leeway stand for them, as in Consul. */
  private checkTimes({ exp, nbf, iat }: JWTPayload, config: Config): void {
    if (exp === undefined && nbf === undefined && iat === undefined)
      throw new Error('no issue time, notBefore, or expiration time encoded in token')
    const now = this.nowMs() / 1000
    const until = exp ?? (iat ?? nbf!) + leewayOf(config, 'ExpirationLeeway', DEFAULT_LEEWAY_S)
    const from = nbf ?? (iat ?? exp!) - leewayOf(config, 'NotBeforeLeeway', DEFAULT_LEEWAY_S)
    const skew = leewayOf(config, 'ClockSkewLeeway', 60)
    if (now > until + skew) throw new Error('token is expired')
    if (now < from - skew) throw new Error('token not valid yet')
  }
}

/** The claims that the method names, under the names it gives them. */
function mapped(payload: JWTPayload, config: Config): VerifiedIdentity {
  const identity = new Map<string, string | readonly string[]>()
  for (const [claim, name] of mappingsOf(config, 'ClaimMappings')) {
    const value = claimOf(payload, claim)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') identity.set(`value.${name}`, String(value))
  }
  for (const [claim, name] of mappingsOf(config, 'ListClaimMappings')) {
    const value = claimOf(payload, claim)
    if (value !== undefined) identity.set(`list.${name}`, (Array.isArray(value) ? value : [value]).map(String))
  }
  return identity
}

/** A claim by name, or by JSON pointer (RFC 6901) where it begins with `/`. */
function claimOf(payload: JWTPayload, claim: string): unknown {
  if (!claim.startsWith('/')) return Object.hasOwn(payload, claim) ? payload[claim] : undefined
  let value: unknown = payload
  for (const part of claim.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

async function reviewToken(config: Config, bearerToken: string): Promise<VerifiedIdentity> {
  const host = stringOf(config, 'Host').replace(/\/$/, '')
  const answer = (await fetchJson(`${host}/apis/authentication.k8s.io/v1/tokenreviews`, {
    ca: stringOf(config, 'CACert'),
    bearer: stringOf(config, 'ServiceAccountJWT'),
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: bearerToken } },
  })) as { status?: { authenticated?: unknown; error?: unknown; user?: { username?: unknown; uid?: unknown } } }
  const { status } = answer ?? {}
  if (typeof status?.error === 'string' && status.error !== '') throw new Error(`lookup failed: ${status.error}`)
  if (status?.authenticated !== true) throw new Error('lookup failed: service account jwt not valid')
  const parts = String(status.user?.username).split(':')
  if (parts.length !== 4 || parts[0] !== 'system' || parts[1] !== 'serviceaccount')
    throw new Error('lookup failed: unexpected username format')
  return new Map([
    ['serviceaccount.namespace', parts[2]!],
    ['serviceaccount.name', parts[3]!],
    ['serviceaccount.uid', String(status.user?.uid ?? '')],
  ])
}

interface FetchOptions {
  readonly ca: string
  readonly bearer?: string
  readonly body?: object
}

function fetchJson(url: string, { ca, bearer, body }: FetchOptions): Promise<unknown> {
  const target = urlOf(url, 'the URL')
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, {
      method: text === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(text === undefined ? {} : { 'content-type': 'application/json' }),
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
      timeout: REMOTE_TIMEOUT_MS,
      ...(ca === '' ? {} : { ca }),
    })
    request.on('timeout', () => request.destroy(new Error(`${target.host} did not answer within ${REMOTE_TIMEOUT_MS} ms`)))
    request.on('error', reject)
    request.on('response', response => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error(`${target.host} answered with more than ${MAX_ANSWER_BYTES} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode !== 200 && response.statusCode !== 201)
          return reject(new Error(`${target.host} answered ${response.statusCode}`))
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')))
        } catch {
          reject(new Error(`${target.host} answered with something that is no JSON`))
        }
      })
    })
    request.end(text)
  })
}

function urlOf(text: string, what: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) throw new Error(`${what}: is no http(s) URL`)
  return url
}

function certificate(pem: string, what: string): void {
  try {
    new X509Certificate(pem)
  } catch {
    throw new Error(`${what}: is no certificate in PEM form`)
  }
}

function stringOf(config: Config, name: string): string {
  const value = config[name]
  if (value === undefined || value === null) return ''
  if (typeof value !== 'string') throw new Error(`Config.${name}: must be a string`)
  return value
}

function stringsOf(config: Config, name: string): readonly string[] {
  const value = config[name]
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || value.some(each => typeof each !== 'string')) throw new Error(`Config.${name}: must be a list of strings`)
  return value as string[]
}

function mappingsOf(config: Config, name: string): [string, string][] {
  const value = config[name]
  if (value === undefined || value === null) return []
  if (typeof value !== 'object' || Array.isArray(value) || Object.values(value).some(each => typeof each !== 'string'))
    throw new Error(`Config.${name}: must be an object of claim to name`)
  const pairs = Object.entries(value as Record<string, string>)
  if (new Set(pairs.map(([, mappedName]) => mappedName)).size !== pairs.length) throw new Error(`Config.${name}: two claims have one name`)
  return pairs
}

/** Seconds; a negative one is none, as in Consul. */
function leewayOf(config: Config, name: string, fallbackS: number): number {
  const value = config[name]
  if (value === undefined || value === null || value === '' || value === 0) return fallbackS
  const ns = typeof value === 'number' ? value : typeof value === 'string' ? parseDuration(value) : undefined
  if (ns === undefined) throw new Error(`Config.${name}: must be a duration such as "150s"`)
  return Math.max(0, ns / 1e9)
}
