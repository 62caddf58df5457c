// The fields of Consul's Vault provider: read from its JSON or agent configuration, checked, and shown again without the token.
// Called by config.ts. The words of Consul's own refusals are kept where they are known. Invariant: what passes can be dialled, and names two
// different mounts; a secret is never shown.
import {
  isVaultPath,
  NO_TLS,
  SERVICE_ACCOUNT_TOKEN_FILE,
  trimSlashes,
  type VaultLogin,
  type VaultSettings,
  vaultProblems,
} from '../../../vault/vault-settings.js'

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

type Fields = Readonly<Record<string, unknown>>
/** Each reads one field and counts it as known; '' and false where it is left out. */
interface FieldReaders {
  text(path: string): string
  flag(path: string): boolean
}

/** Reads what is Vault's. Problems are added to `problems`. */
export function readVaultConfig({ text, flag }: FieldReaders, method: unknown, problems: Problem[]): VaultProviderConfig {
  const token = text('Token')
  const login = readLogin(method, token, problems)
  return {
    kind: 'vault',
    vault: {
      address: text('Address').replace(/\/+$/, ''),
      namespace: trimSlashes(text('Namespace')),
      tls: {
        ...NO_TLS,
        caFile: text('CAFile'),
        caPath: text('CAPath'),
        certFile: text('CertFile'),
        keyFile: text('KeyFile'),
        serverName: text('TLSServerName'),
        skipVerify: flag('TLSSkipVerify'),
      },
      login,
    },
    rootPath: trimSlashes(text('RootPKIPath')),
    rootNamespace: trimSlashes(text('RootPKINamespace')),
    intermediatePath: trimSlashes(text('IntermediatePKIPath')),
    intermediateNamespace: trimSlashes(text('IntermediatePKINamespace')),
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

const fold = (name: string): string => name.replaceAll('_', '').toLowerCase()

function readLogin(raw: unknown, token: string, problems: Problem[]): VaultLogin {
  const none: VaultLogin = { kind: 'token', token }
  // A block of HCL is a list of one.
  const value = Array.isArray(raw) && raw.length === 1 ? raw[0] : raw
  if (value === undefined || value === null) {
    if (token === '') problems.push({ path: 'Token', reason: 'must provide a Vault token or configure a Vault auth method' })
    return none
  }
  const add = (path: string, reason: string) => problems.push({ path: `AuthMethod${path === '' ? '' : `.${path}`}`, reason })
  if (token !== '') add('', 'only one of Vault token or Vault auth method can be provided, but not both')
  if (!isObject(value)) {
    add('', 'must be an object')
    return none
  }
  const method = new Map(Object.entries(value).map(([name, field]) => [fold(name), field]))
  for (const name of method.keys())
    if (!['type', 'mountpath', 'params'].includes(name)) add(name.slice(0, 64), 'is no field of an auth method')
  const type = method.get('type')
  const given = method.get('params') ?? {}
  const first: unknown = Array.isArray(given) && given.length === 1 ? given[0] : given
  if (!isObject(first)) add('Params', 'must be an object')
  const params = new Params(isObject(first) ? first : {}, add)
  const mount = method.get('mountpath')
  if (mount !== undefined && typeof mount !== 'string') add('MountPath', 'must be a string')
  const mountPath = typeof mount === 'string' && mount !== '' ? trimSlashes(mount) : String(type)
  const login = loginOf(type, mountPath, params, add)
  params.refuseOthers()
  return login ?? none
}

/** By the names that Vault's own agent has for the same files. */
function loginOf(type: unknown, mountPath: string, params: Params, add: (path: string, reason: string) => void): VaultLogin | undefined {
  switch (type) {
    case 'approle':
      return {
        kind: 'approle',
        mountPath,
        ...params.either('role_id', 'role_id_file_path', (roleId, roleIdFile) => ({ roleId, roleIdFile }), true),
        ...params.either('secret_id', 'secret_id_file_path', (secretId, secretIdFile) => ({ secretId, secretIdFile }), false),
      }
    case 'kubernetes':
      return {
        kind: 'kubernetes',
        mountPath,
        role: params.required('role'),
        tokenFile: params.text('token_path') || SERVICE_ACCOUNT_TOKEN_FILE,
      }
    case 'jwt':
      return {
        kind: 'jwt',
        mountPath,
        role: params.required('role'),
        ...params.either('jwt', 'path', (jwt, jwtFile) => ({ jwt, jwtFile }), true),
      }
    default:
      add('Type', `must be "approle", "kubernetes" or "jwt", is ${JSON.stringify(type) ?? 'missing'}: others are not offered`)
      params.ignoreOthers()
      return undefined
  }
}

class Params {
  private readonly taken = new Set<string>()

  constructor(
    private readonly values: Fields,
    private readonly add: (path: string, reason: string) => void,
  ) {}

  text(name: string): string {
    this.taken.add(name)
    const value = this.values[name]
    if (value === undefined || value === '') return ''
    if (typeof value === 'string') return value
    this.add(`Params.${name}`, 'must be a string')
    return ''
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === '' && this.values[name] === undefined) this.add(`Params.${name}`, 'is required')
    return value
  }

  either<T>(name: string, file: string, build: (text: string, path: string) => T, required: boolean): T {
    const [text, path] = [this.text(name), this.text(file)]
    if (text !== '' && path !== '') this.add(`Params.${file}`, `excludes ${name}`)
    if (required && text === '' && path === '') this.add(`Params.${name}`, `${name} or ${file} is required`)
    return build(text, path)
  }

  refuseOthers(): void {
    for (const name of Object.keys(this.values))
      if (!this.taken.has(name)) this.add(`Params.${name.slice(0, 64)}`, 'is no parameter of this method')
  }

  /** Of a method that is not offered nothing more is said. */
  ignoreOthers(): void {
    for (const name of Object.keys(this.values)) this.taken.add(name)
  }
}

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

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
export function withKnownLogin(config: Fields, { vault }: VaultProviderConfig): Fields {
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
  if (!isObject(method) || method['Type'] !== login.kind || !isObject(method['Params'])) return config
  const hidden =
    login.kind === 'approle' && login.secretId !== '' && login.roleId === method['Params']['role_id']
      ? { secret_id: login.secretId }
      : login.kind === 'jwt' && login.jwt !== '' && login.role === method['Params']['role']
        ? { jwt: login.jwt }
        : {}
  return { ...config, AuthMethod: { ...method, Params: { ...hidden, ...method['Params'] } } }
}
