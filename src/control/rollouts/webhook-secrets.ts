// What the webhooks of rollouts are signed with: the operator's secrets, not the rollouts' (whoever may read a rollout would read them). Opened
// by open-rollouts.ts. Read anew for each webhook, so that a new secret needs no restart; a file that can't be read fails the webhook: none
// goes out unsigned. Invariant: no error quotes a secret.
import { readFile } from 'node:fs/promises'
import { isKvReference } from '../../vault/kv-secrets.js'
import type { VaultSession } from '../../vault/vault-session.js'
import { readKey } from '../secrets/open-vault.js'

export type WebhookSecrets = () => Promise<readonly string[]>

export const UNSIGNED: WebhookSecrets = async () => []

const OPTION = '--webhook-secret-file'
const MAX_SECRETS = 4
/** As Standard Webhooks has them. */
const FORM = /^whsec_([A-Za-z0-9+/]+={0,2})$/
const MIN_BYTES = 24
const MAX_BYTES = 64

/** `place`: a file, or `vault://…` for a secret that holds what such a file does. Rejects with one line where there are none to be had. */
export async function openWebhookSecrets(place: string, vault: VaultSession | undefined): Promise<WebhookSecrets> {
  const read: WebhookSecrets = async () => parseWebhookSecrets(await textOf(place, vault), place)
  await read()
  return read
}

async function textOf(place: string, vault: VaultSession | undefined): Promise<string> {
  if (isKvReference(place)) return readKey(place, OPTION, vault)
  try {
    return await readFile(place, 'utf8')
  } catch (error) {
    throw new Error(`${OPTION} ${place}: ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** One a line; empty lines and those with # are left out. */
function parseWebhookSecrets(text: string, where: string): readonly string[] {
  const secrets: string[] = []
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const bytes = Buffer.from(FORM.exec(line)?.[1] ?? '', 'base64').length
    if (bytes < MIN_BYTES || bytes > MAX_BYTES)
      throw new Error(
        `${OPTION} ${where}: line ${i + 1} is no secret: whsec_ and the base64 of ${MIN_BYTES} to ${MAX_BYTES} bytes (whsec_$(outrigger keygen))`,
      )
    secrets.push(line)
  }
  if (secrets.length === 0 || secrets.length > MAX_SECRETS)
    throw new Error(`${OPTION} ${where}: holds ${secrets.length} secrets, and must hold 1 to ${MAX_SECRETS}`)
  return secrets
}
