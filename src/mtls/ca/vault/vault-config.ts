// The fields of Consul's Vault provider: read from its JSON or agent configuration, checked, and shown again without the token.
// Called by config.ts. The words of Consul's own refusals are kept where they are known. Invariant: what passes can be dialled, and names two
// different mounts; a secret is never shown.
import { isJsonObject, type JsonObject } from '../../../vault/json-object.js'
import { type FieldReaders, readVaultSettings } from '../../../vault/read-settings.js'
import { isVaultPath, trimSlashes, type VaultLogin, type VaultSettings, vaultProblems } from '../../../vault/vault-settings.js'

export interface VaultProviderConfig {
  readonly kind: 'vault'
  readonly vault: VaultSettings
  /** Mount paths without slashes at their ends. */
  readonly rootPath: string
  /** '' for that of `vault`. */
  readonly rootNamespace: string
  readonly intermediatePath: string
  readonly intermediateNamespace: string
}

interface Problem {
  readonly path: string
  readonly reason: string
}

/** Reads what is Vault's. Problems are added to `problems`. */
export function readVaultConfig(fields: FieldReaders, method: unknown, problems: Problem[]): VaultProviderConfig {
  const path = (name: string): string => trimSlashes(fields.text(name))
  return {
    kind: 'vault',
    vault: readVaultSettings(fields, method, problems),
    rootPath: path('RootPKIPath'),
    rootNamespace: path('RootPKINamespace'),
    intermediatePath: path('IntermediatePKIPath'),
    intermediateNamespace: path('IntermediatePKINamespace'),
  }
}

/** Limits that the settings break. */
export function vaultConfigProblems(config: VaultProviderConfig): Problem[] {
  const problems = [...vaultProblems(config.vault)]
  const paths = [
    ['RootPKIPath', config.rootPath, 'must provide a valid path to a root PKI backend'],
    ['IntermediatePKIPath', config.intermediatePath, 'must provide a valid path for the intermediate PKI backend'],
  ] as const
  for (const [path, value, reason] of paths) if (!isVaultPath(value)) problems.push({ path, reason })
  for (const [path, value] of [
    ['RootPKINamespace', config.rootNamespace],
    ['IntermediatePKINamespace', config.intermediateNamespace],
  ] as const)
    if (value !== '' && !isVaultPath(value)) problems.push({ path, reason: `${JSON.stringify(value)} is no path of a namespace` })
  if (config.rootPath === config.intermediatePath && config.rootNamespace === config.intermediateNamespace)
    problems.push({ path: 'IntermediatePKIPath', reason: 'must be another mount than RootPKIPath' })
  return problems
}

export function isSameRootMount(a: VaultProviderConfig, b: VaultProviderConfig): boolean {
  const placeOf = ({ vault, rootNamespace, rootPath }: VaultProviderConfig): string =>
    JSON.stringify([vault.address, rootNamespace || vault.namespace, rootPath])
  return placeOf(a) === placeOf(b)
}

/** As it is read, in Consul's names, without secrets. */
export function encodeVaultConfig(config: VaultProviderConfig): Record<string, unknown> {
  const { vault } = config
  const { tls } = vault
  const fields: Record<string, unknown> = {
    Address: vault.address,
    ...methodOf(vault.login),
    RootPKIPath: `${config.rootPath}/`,
    RootPKINamespace: config.rootNamespace,
    IntermediatePKIPath: `${config.intermediatePath}/`,
    IntermediatePKINamespace: config.intermediateNamespace,
    Namespace: vault.namespace,
    CAFile: tls.caFile,
    CAPath: tls.caPath,
    CertFile: tls.certFile,
    KeyFile: tls.keyFile,
    TLSServerName: tls.serverName,
    TLSSkipVerify: tls.skipVerify,
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '' && value !== false))
}

function methodOf(login: VaultLogin): { readonly AuthMethod?: object } {
  if (!('mountPath' in login)) return {}
  const params =
    login.kind === 'approle'
      ? { role_id: login.roleId, role_id_file_path: login.roleIdFile, secret_id_file_path: login.secretIdFile }
      : login.kind === 'kubernetes'
        ? { role: login.role, token_path: login.tokenFile }
        : { role: login.role, path: login.jwtFile }
  return {
    AuthMethod: {
      Type: login.kind,
      MountPath: login.mountPath,
      Params: Object.fromEntries(Object.entries(params).filter(([, value]) => value !== '')),
    },
  }
}

/** Paths of this host that a configuration names. */
export function filesOfVault({ vault: { tls, login } }: VaultProviderConfig): string[] {
  const files =
    login.kind === 'approle'
      ? [login.roleIdFile, login.secretIdFile]
      : login.kind === 'kubernetes'
        ? [login.tokenFile]
        : login.kind === 'jwt'
          ? [login.jwtFile]
          : []
  return [tls.caFile, tls.caPath, tls.certFile, tls.keyFile, ...files].filter(path => path !== '')
}

/**
 * Consul's fields as they were shown, with the secret that was left out of them. Only for the same address and the same way to check it:
 * who may change the configuration must not have the secret sent to a place of his own.
 */
export function withKnownLogin(config: JsonObject, { vault }: VaultProviderConfig): JsonObject {
  const { address, tls, login } = vault
  const same =
    config['Address'] === address &&
    (config['TLSSkipVerify'] ?? false) === tls.skipVerify &&
    (['CAFile', 'CAPath', 'TLSServerName'] as const).every(
      (name, i) => (config[name] ?? '') === [tls.caFile, tls.caPath, tls.serverName][i],
    )
  if (!same) return config
  const method = config['AuthMethod']
  if (login.kind === 'token') {
    const given = config['Token'] ?? ''
    return given === '' && method === undefined ? { ...config, Token: login.token } : config
  }
  if (!isJsonObject(method) || method['Type'] !== login.kind || !isJsonObject(method['Params'])) return config
  const hidden =
    login.kind === 'approle' && login.secretId !== '' && login.roleId === method['Params']['role_id']
      ? { secret_id: login.secretId }
      : login.kind === 'jwt' && login.jwt !== '' && login.role === method['Params']['role']
        ? { jwt: login.jwt }
        : {}
  return { ...config, AuthMethod: { ...method, Params: { ...hidden, ...method['Params'] } } }
}
