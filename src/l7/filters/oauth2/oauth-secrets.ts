// What oauth2 signs and encrypts with its secret, in Envoy's forms, so that both read each other's cookies: tokens and code verifiers by
// AES-256-CBC under the secret's SHA-256, session and CSRF tokens by HMAC-SHA-256. Pure but for the random bytes.

import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const IV_BYTES = 16
const FLOW_ID_BYTES = 8
/** RFC 7636 §7.1. */
const VERIFIER_BYTES = 32

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'latin1').digest()
const hmacOf = (secret: string, text: string): Buffer => createHmac('sha256', Buffer.from(secret, 'latin1')).update(text, 'latin1').digest()

export function encryptToken(plain: string, secret: string): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-cbc', sha256(secret), iv)
  return Buffer.concat([iv, cipher.update(plain, 'latin1'), cipher.final()]).toString('base64url')
}

/** Null where it was not encrypted under this secret, or is no text of a header. */
export function decryptToken(encrypted: string, secret: string): string | null {
  const bytes = Buffer.from(encrypted, 'base64url')
  if (bytes.length <= IV_BYTES) return null
  try {
    const decipher = createDecipheriv('aes-256-cbc', sha256(secret), bytes.subarray(0, IV_BYTES))
    const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES)), decipher.final()]).toString('latin1')
    // A wrong secret goes unnoticed once in 256 times.
    return /[\x00-\x08\x0a-\x1f\x7f]/.test(plain) ? null : plain
  } catch {
    return null
  }
}

/** What one session is made of, in the order that it is signed in. */
export interface SignedSession {
  readonly domain: string
  readonly expires: string
  readonly accessToken: string
  readonly idToken: string
  readonly refreshToken: string
}

export function signSession(session: SignedSession, secret: string): string {
  return hmacOf(secret, payloadOf(session)).toString('base64')
}

/** Also in the older form, hexadecimal within the base64. */
export function isSigned(session: SignedSession, hmac: string, secret: string): boolean {
  const wanted = hmacOf(secret, payloadOf(session))
  return isEqual(hmac, wanted.toString('base64')) || isEqual(hmac, Buffer.from(wanted.toString('hex')).toString('base64'))
}

function payloadOf({ domain, expires, accessToken, idToken, refreshToken }: SignedSession): string {
  return [domain, expires, accessToken, idToken, refreshToken].join('\n')
}

export function newFlowId(): string {
  return randomBytes(FLOW_ID_BYTES).toString('hex')
}

export function newCodeVerifier(): string {
  return randomBytes(VERIFIER_BYTES).toString('base64url')
}

export function codeChallenge(verifier: string): string {
  return sha256(verifier).toString('base64url')
}

/** `<id>.<its signature>`: a double submit cookie that nobody else can make, of the login with that id. */
export function csrfToken(flowId: string, secret: string): string {
  return `${flowId}.${hmacOf(secret, flowId).toString('base64')}`
}

/** `flowId` '': an older Envoy began the login, and does not say. */
export function isCsrfToken(token: string, flowId: string, cookie: string, secret: string): boolean {
  const dot = token.indexOf('.')
  if (dot === -1 || (flowId !== '' && flowId !== token.slice(0, dot))) return false
  return isEqual(token, cookie) && isEqual(token, csrfToken(token.slice(0, dot), secret))
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')]
  return left.length === right.length && timingSafeEqual(left, right)
}
