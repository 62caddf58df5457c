// Where a Vault is, how its certificate is checked, and who logs in there: the settings that its session and its transport are made with.
// Read from configuration by the CA's provider and by the secret sources. Invariant: what `vaultProblems` lets pass can be dialled: an
// address that is a URL, one way to log in, certificate and key together.

/** File names; '' stands for none. */
export interface VaultTls {
  readonly caFile: string
  /** A folder of PEM files. */
  readonly caPath: string
  readonly certFile: string
  readonly keyFile: string
  /** The name that its certificate must hold, where that is not the address's. */
  readonly serverName: string
  readonly skipVerify: boolean
}

export type VaultLogin =
  | { readonly kind: 'token'; readonly token: string }
  /** Read again at each login: what an agent beside us keeps fresh. */
  | { readonly kind: 'token-file'; readonly path: string }
  | {
      readonly kind: 'approle'
      readonly mountPath: string
      /** Each as text or in a file; a role without `bind_secret_id` has no secret id. */
      readonly roleId: string
      readonly roleIdFile: string
      readonly secretId: string
      readonly secretIdFile: string
    }
  | { readonly kind: 'kubernetes'; readonly mountPath: string; readonly role: string; readonly tokenFile: string }
  | { readonly kind: 'jwt'; readonly mountPath: string; readonly role: string; readonly jwt: string; readonly jwtFile: string }

export interface VaultSettings {
  /** `https://host:port`. */
  readonly address: string
  /** Sent with every request that names no other; '' for none. */
  readonly namespace: string
  readonly tls: VaultTls
  readonly login: VaultLogin
}

export const NO_TLS: VaultTls = { caFile: '', caPath: '', certFile: '', keyFile: '', serverName: '', skipVerify: false }
export const SERVICE_ACCOUNT_TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token'

const PATH_SEGMENT = /^[A-Za-z0-9_.~-]+$/
const MAX_PATH_CHARS = 256

/** `connect_root`, `team/pki`: what can stand in the path of a request as it is. */
export function isVaultPath(path: string): boolean {
  if (path.length > MAX_PATH_CHARS) return false
  return path.split('/').every(segment => PATH_SEGMENT.test(segment) && segment !== '.' && segment !== '..')
}

/** Without the slashes at its ends, which Consul and Vault write now and then. */
export const trimSlashes = (path: string): string => path.replace(/^\/+|\/+$/g, '')

/** What can't be dialled, by Consul's names of the fields. */
export function vaultProblems({ address, namespace, tls, login }: VaultSettings): { readonly path: string; readonly reason: string }[] {
  const problems: { path: string; reason: string }[] = []
  const add = (path: string, reason: string) => problems.push({ path, reason })
  if (address === '') add('Address', 'is required')
  else if (!isHttpUrl(address)) add('Address', 'must be a URL such as "https://vault.example.com:8200", with neither query nor user')
  if (namespace !== '' && !isVaultPath(namespace)) add('Namespace', `${JSON.stringify(namespace)} is no path of a namespace`)
  if ((tls.certFile === '') !== (tls.keyFile === '')) add('CertFile', 'CertFile and KeyFile must be given together')
  if (login.kind === 'token' && !isHeaderText(login.token)) add('Token', 'holds characters that no token has')
  if ('mountPath' in login && !isVaultPath(login.mountPath))
    add('AuthMethod.MountPath', `${JSON.stringify(login.mountPath)} is no path of an auth method`)
  return problems
}

function isHttpUrl(text: string): boolean {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return false
  }
  return (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '' && url.search === '' && url.hash === ''
}

export const isHeaderText = (text: string): boolean => /^[\x21-\x7e]*$/.test(text)
