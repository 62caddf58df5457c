// The block `vault` of a configuration, by CTS's names; what it does not say is in Vault's own environment variables. Called by
// read-sync-config.ts. Invariant: what comes out can be dialled.
import { NO_TLS, type VaultSettings, vaultProblems } from '../../vault/vault-settings.js'
import type { ConfigFields } from './config-fields.js'

export function readVault(vault: ConfigFields | undefined, env: (name: string) => string | undefined): VaultSettings | null {
  if (vault === undefined) return null
  const enabled = vault.flag('enabled', true)
  const ssl = vault.object('ssl')
  vault.ignored('renew_token', 'transport', 'retry')
  vault.refused('unwrap_token', 'is not there')
  const tokenFile = vault.text('vault_agent_token_file')
  const token = vault.text('token') ?? env('VAULT_TOKEN')
  const text = (name: string): string => ssl?.text(name) ?? ''
  const settings: VaultSettings = {
    address: vault.text('address') ?? env('VAULT_ADDR') ?? '',
    namespace: vault.text('namespace') ?? env('VAULT_NAMESPACE') ?? '',
    tls: {
      ...NO_TLS,
      caFile: text('ca_cert') || (env('VAULT_CACERT') ?? ''),
      caPath: text('ca_path'),
      certFile: text('cert'),
      keyFile: text('key'),
      serverName: text('server_name'),
      skipVerify: !(ssl?.flag('verify', true) ?? true),
    },
    login: tokenFile === undefined ? { kind: 'token', token: token ?? '' } : { kind: 'token-file', path: tokenFile },
  }
  ssl?.flag('enabled', true)
  ssl?.done()
  vault.done()
  if (!enabled) return null
  if (tokenFile === undefined && token === undefined) vault.problem('token', 'is needed, or vault_agent_token_file, or VAULT_TOKEN')
  for (const { path, reason } of vaultProblems(settings)) vault.problem(path.toLowerCase(), reason)
  return settings
}
