// A session as oauth2 makes it from an answer of the token endpoint: what is kept of the tokens, and for how long. Pure.

import type { OAuth2Config } from '../../../model/oauth2.js'
import type { SignedSession } from './oauth-secrets.js'
import type { Tokens } from './token-client.js'

export interface Session extends SignedSession {
  /** Seconds from now. */
  readonly expiresIn: number
  readonly idTokenExpiresIn: number
  readonly refreshTokenExpiresIn: number
}

/** `host`: of the request; `nowMs`: since the epoch. */
export function sessionOf(tokens: Tokens, config: OAuth2Config, host: string, nowMs: number): Session {
  const { accessToken, idToken, refreshToken, expiresInSeconds: expiresIn } = tokens
  const now = Math.floor(nowMs / 1000)
  return {
    domain: config.cookieDomain || host,
    expires: String(now + expiresIn),
    accessToken: config.keepsAccessToken ? accessToken : '',
    idToken: config.keepsIdToken ? idToken : '',
    refreshToken: config.useRefreshToken && config.keepsRefreshToken ? refreshToken : '',
    expiresIn,
    idTokenExpiresIn: config.idTokenExpiresAsAccessToken ? expiresIn : remaining(idToken, now, expiresIn),
    refreshTokenExpiresIn: config.useRefreshToken ? remaining(refreshToken, now, config.refreshTokenExpiresInSeconds) : expiresIn,
  }
}

/** By the token's own `exp`, where it is a JWT that has one. It is not verified: it only says how long the browser keeps it. */
function remaining(token: string, now: number, fallback: number): number {
  const parts = token.split('.')
  if (parts.length !== 3) return fallback
  try {
    const payload: unknown = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8'))
    const exp = typeof payload === 'object' && payload !== null && 'exp' in payload ? payload.exp : 0
    if (typeof exp !== 'number' || !Number.isFinite(exp) || exp <= 0) return fallback
    return Math.max(0, Math.floor(exp) - now)
  } catch {
    return fallback
  }
}
