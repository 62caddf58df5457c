// A Vault's settings as operators write them, by Consul's names of the fields: address, TLS, token or auth method. Called for the CA's provider
// and for `--vault-config`. Invariant: what is refused is named by its field; a method or parameter that is not known is refused, never ignored.
import { isJsonObject, type JsonObject } from './json-object.js'
import { NO_TLS, SERVICE_ACCOUNT_TOKEN_FILE, trimSlashes, type VaultLogin, type VaultSettings } from './vault-settings.js'

interface Problem {
  readonly path: string
  readonly reason: string
}

/** Each reads one field and counts it as known; '' and false where it is left out. */
export interface FieldReaders {
  text(path: string): string
  flag(path: string): boolean
}

/** `method`: the field AuthMethod. Problems are added to `problems`. */
export function readVaultSettings({ text, flag }: FieldReaders, method: unknown, problems: Problem[]): VaultSettings {
  return {
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
    login: readLogin(method, text('Token'), problems),
  }
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
  if (!isJsonObject(value)) {
    add('', 'must be an object')
    return none
  }
  const method = new Map(Object.entries(value).map(([name, field]) => [fold(name), field]))
  for (const name of method.keys())
    if (!['type', 'mountpath', 'params'].includes(name)) add(name.slice(0, 64), 'is no field of an auth method')
  const type = method.get('type')
  const given = method.get('params') ?? {}
  const first: unknown = Array.isArray(given) && given.length === 1 ? given[0] : given
  if (!isJsonObject(first)) add('Params', 'must be an object')
  const params = new Params(isJsonObject(first) ? first : {}, add)
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
    private readonly values: JsonObject,
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
    if (this.values[name] === undefined || this.values[name] === '') this.add(`Params.${name}`, 'is required')
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
