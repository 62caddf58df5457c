// What a login says to Vault: the path and body of each auth method, its files read anew each time, since secret ids and service account
// tokens are replaced while we run. Called by the session. Published API: `auth/<mount>/login` of AppRole, Kubernetes and JWT.
import { readBounded } from './tls-files.js'
import { isHeaderText, type VaultLogin } from './vault-settings.js'
import type { VaultRequest } from './vault-transport.js'

/** A login by method. Rejects with one line that names the file at fault. */
export async function loginRequest(login: Exclude<VaultLogin, { kind: 'token' | 'token-file' }>): Promise<VaultRequest> {
  const body = await loginBody(login)
  return {
    method: 'POST',
    path: `auth/${login.mountPath}/login`,
    body,
    secrets: Object.entries(body).flatMap(([name, value]) => (name === 'role' ? [] : [value])),
  }
}

async function loginBody(login: Exclude<VaultLogin, { kind: 'token' | 'token-file' }>): Promise<Record<string, string>> {
  if (login.kind === 'kubernetes') return { role: login.role, jwt: await readSecret(login.tokenFile) }
  if (login.kind === 'jwt') return { role: login.role, jwt: login.jwt === '' ? await readSecret(login.jwtFile) : login.jwt }
  const roleId = login.roleId === '' ? await readSecret(login.roleIdFile) : login.roleId
  const secretId = login.secretIdFile === '' ? login.secretId : await readSecret(login.secretIdFile)
  return { role_id: roleId, ...(secretId === '' ? {} : { secret_id: secretId }) }
}

/** A token that somebody else keeps fresh in a file. */
export async function readToken(path: string): Promise<string> {
  const token = await readSecret(path)
  if (!isHeaderText(token)) throw new Error(`${path}: holds characters that no token has`)
  return token
}

async function readSecret(path: string): Promise<string> {
  const text = (await readBounded(path)).trim()
  if (text === '') throw new Error(`${path}: is empty`)
  return text
}
