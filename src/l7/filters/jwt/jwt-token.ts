// A JWT taken apart and its claims' types checked (RFC 7519), before any key is looked at. Used by jwt-verifier.ts.

import type { JsonObject, JsonValue } from '../../../model/metadata.js'
import type { JwtStatus } from './jwt-status.js'

/** Longest token that is looked at. */
export const MAX_JWT_BYTES = 32 * 1024

export interface ParsedJwt {
  readonly text: string
  readonly alg: string
  readonly kid: string
  readonly header: JsonObject
  readonly payload: JsonObject
  readonly payloadBase64: string
  readonly issuer: string
  readonly subject: string
  readonly audiences: readonly string[]
  /** Seconds since the epoch; 0 = not there. */
  readonly expires: number
  readonly notBefore: number
}

const ALGORITHMS = new Set([
  'ES256',
  'ES384',
  'ES512',
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
])

export function parseJwt(text: string): ParsedJwt | { readonly status: JwtStatus } {
  const parts = text.split('.', 4)
  if (parts.length !== 3 || text.length > MAX_JWT_BYTES) return { status: 'badFormat' }
  const headerText = decodeBase64Url(parts[0]!)
  if (headerText === null) return { status: 'headerBadBase64' }
  const header = parseObject(headerText)
  if (header === null) return { status: 'headerBadJson' }
  const alg = header['alg']
  if (typeof alg !== 'string') return { status: 'headerBadAlg' }
  if (!ALGORITHMS.has(alg)) return { status: 'headerAlgNotImplemented' }
  const kid = header['kid'] ?? ''
  if (typeof kid !== 'string') return { status: 'headerBadKid' }
  // An extension that must be understood (RFC 7515 §4.1.11): we understand none.
  if (Object.hasOwn(header, 'crit')) return { status: 'verificationFail' }
  const payloadText = decodeBase64Url(parts[1]!)
  if (payloadText === null) return { status: 'payloadBadBase64' }
  const payload = parseObject(payloadText)
  if (payload === null) return { status: 'payloadBadJson' }
  const signature = decodeBase64Url(parts[2]!)
  if (signature === null || signature.length === 0) return { status: 'signatureBadBase64' }
  const issuer = payload['iss'] ?? ''
  if (typeof issuer !== 'string') return { status: 'issNotString' }
  const subject = payload['sub'] ?? ''
  if (typeof subject !== 'string') return { status: 'subNotString' }
  if (typeof (payload['jti'] ?? '') !== 'string') return { status: 'jtiNotString' }
  const audience = payload['aud'] ?? []
  const audiences = typeof audience === 'string' ? [audience] : audience
  if (!isStringList(audiences)) return { status: 'audNotString' }
  for (const claim of ['iat', 'nbf', 'exp'] as const) {
    const time = payload[claim] ?? 0
    // A NumericDate may have a fraction (RFC 7519 §2).
    if (typeof time !== 'number') return { status: `${claim}NotInteger` }
    if (time < 0 || time >= 2 ** 63) return { status: `${claim}OutOfRange` }
  }
  return {
    text,
    alg,
    kid,
    header,
    payload,
    payloadBase64: parts[1]!,
    issuer,
    subject,
    audiences,
    expires: Math.floor((payload['exp'] as number | undefined) ?? 0),
    notBefore: Math.floor((payload['nbf'] as number | undefined) ?? 0),
  }
}

function isStringList(value: JsonValue): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

function decodeBase64Url(text: string): Buffer | null {
  return text.length % 4 !== 1 && /^[A-Za-z0-9_-]*$/.test(text) ? Buffer.from(text, 'base64url') : null
}

function parseObject(bytes: Buffer): JsonObject | null {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as JsonValue
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null
  } catch {
    return null
  }
}
