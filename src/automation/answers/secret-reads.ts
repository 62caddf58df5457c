// Secrets of Vault, as templates ask for them: by the path of its HTTP API (`secret/data/app` for version 2 of the KV engine). Made by
// automation.ts. Invariant: they are read and never written.
import { VaultSession, type VaultSessionOptions } from '../../vault/vault-session.js'

export interface SecretReads {
  /** The answer's `data`, null where nothing is there; rejects with one line. */
  read(path: string): Promise<unknown>
  close(): void
}

export function vaultSecrets(options: VaultSessionOptions): SecretReads {
  const session = new VaultSession(options)
  return {
    read: async path => (await session.read(path))?.data ?? null,
    close: () => session.close(),
  }
}

/** Where no Vault is configured. */
export const NO_SECRETS: SecretReads = {
  read: () => Promise.reject(new Error('no Vault is configured: the block vault says where it is')),
  close() {},
}
