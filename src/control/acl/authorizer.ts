// Who may use the control plane: asked once for each request of the HTTP API (http-api/token.ts) and once for each stream of a sidecar
// (`ControlPlane`). Made by `ControlPlane`. `SharedTokens`, one secret for each door, is the first implementation.
import { timingSafeEqual } from 'node:crypto'

export type Door = 'http' | 'xds'

export type Verdict = 'allowed' | 'token-missing' | 'token-unknown'

export interface Authorizer {
  /** No token: `undefined`. */
  verdict(door: Door, token: string | undefined): Verdict
}

/** Each door asks for one secret, or, where there is none, for nothing. */
export class SharedTokens implements Authorizer {
  private readonly secrets: Readonly<Record<Door, string | undefined>>

  constructor(secrets: Readonly<Record<Door, string | undefined>>) {
    this.secrets = secrets
  }

  verdict(door: Door, token: string | undefined): Verdict {
    const secret = this.secrets[door]
    if (secret === undefined) return 'allowed'
    if (token === undefined) return 'token-missing'
    return sameSecret(token, secret) ? 'allowed' : 'token-unknown'
  }
}

function sameSecret(given: string, expected: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(expected)
  return a.length === b.length && timingSafeEqual(a, b)
}
