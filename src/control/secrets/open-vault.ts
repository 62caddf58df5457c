// The control plane's own session with Vault, for the secrets that references name. Opened by `ControlPlane`; apart from that of the CA's provider,
// which may be another Vault, another identity, and changes at run time.
import { systemClock } from '../../io/clock.js'
import { isKvReference, parseKvReference, readField } from '../../vault/kv-secrets.js'
import { VaultSession } from '../../vault/vault-session.js'
import type { PolledSecretsOptions } from './polled-secrets.js'
import type { VaultOptions } from './vault-options.js'

export function openVault(
  { settings, pollMs }: VaultOptions,
  onProblem: (reason: string) => void,
): Pick<PolledSecretsOptions, 'session' | 'pollMs' | 'clock'> {
  return { session: new VaultSession({ settings, clock: systemClock, onProblem }), pollMs, clock: systemClock }
}

/** The key itself, or what a reference to one leads to. Rejects with one line that begins with `what`. */
export async function readKey(text: string, what: string, session: VaultSession | undefined): Promise<string> {
  if (!isKvReference(text)) return text
  const reference = parseKvReference(text)
  if (reference === undefined) throw new Error(`${what}: must have the form vault://<mount>/data/<path>#<field>`)
  if (session === undefined) throw new Error(`${what} is in Vault, and no --vault-config says where Vault is`)
  try {
    return await readField(session, reference)
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`)
  }
}
