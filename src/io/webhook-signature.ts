// The headers of a webhook as Standard Webhooks has them: what tells who gets one twice, how old it is, and who sent it. Used by whoever posts
// webhooks (rollouts, `outrigger sync`). Invariant: the signature is over id, time and body, so none of the three can be another's.
import { createHmac } from 'node:crypto'

/** A secret of this form is base64. */
const SECRET_PREFIX = 'whsec_'
const MS_PER_SECOND = 1_000

/** With a signature of each secret: who receives it accepts any, so that one can be exchanged for another. Without secrets there is none. */
export function webhookHeaders(id: string, wallMs: number, body: string, secrets: readonly string[]): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(wallMs / MS_PER_SECOND))
  const signatures = secrets.map(secret => signature(secret, `${id}.${timestamp}.${body}`))
  return {
    'Webhook-Id': id,
    'Webhook-Timestamp': timestamp,
    ...(signatures.length === 0 ? {} : { 'Webhook-Signature': signatures.join(' ') }),
  }
}

function signature(secret: string, text: string): string {
  const key = secret.startsWith(SECRET_PREFIX) ? Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64') : secret
  return `v1,${createHmac('sha256', key).update(text).digest('base64')}`
}
