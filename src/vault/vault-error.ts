// The one error of Vault's client: which request failed, by which status, for Vault's own reasons. Thrown by the transport; the session and
// the CA's provider tell by `status` what to do. Invariant: one bounded line that holds no secret: neither the token nor what a login sent.

/** Statuses that mean more than their name (the health endpoint's, which proxies in front of a cluster pass on). */
const MEANINGS: ReadonlyMap<number, string> = new Map([
  [412, 'the node has not caught up yet'],
  [429, 'too many requests, or a standby node'],
  [472, 'a replication secondary'],
  [473, 'a performance standby'],
  [503, 'sealed or in maintenance'],
])
const MAX_REASON_CHARS = 500

export class VaultError extends Error {
  /** 0: no answer came. */
  readonly status: number

  constructor(request: string, status: number, reasons: readonly string[], secrets: readonly string[]) {
    const told = redact(reasons.join('; '), secrets)
    const meaning = MEANINGS.get(status)
    const answer = status === 0 ? '' : `: HTTP ${status}${meaning === undefined ? '' : ` (${meaning})`}`
    super(`Vault: ${request}${answer}${told === '' ? '' : `: ${told}`}`)
    this.name = 'VaultError'
    this.status = status
  }
}

/** Shorter texts are no secrets, and would eat up the message. */
const MIN_SECRET_CHARS = 4

function redact(text: string, secrets: readonly string[]): string {
  let told = text.replace(/\s+/g, ' ').trim()
  for (const secret of secrets) if (secret.length >= MIN_SECRET_CHARS) told = told.replaceAll(secret, '(secret)')
  return told.slice(0, MAX_REASON_CHARS)
}
