// Secrets in a KV engine, version 2: what a reference names, and how it is read. Used by the control plane's options and its gateways'
// certificates. Published API: `<mount>/data/<path>` and `<mount>/metadata/<path>`. Invariant: a message names the reference, never a value.

import type { VaultSession } from './vault-session.js'
import { isVaultPath } from './vault-settings.js'

/** `vault://secret/data/mesh/shop#certificate`: the path as the API has it, and a field of the secret. */
export interface KvReference {
  readonly text: string
  readonly mount: string
  readonly path: string
  readonly field: string
}

export interface KvSecret {
  readonly version: number
  readonly fields: Readonly<Record<string, unknown>>
}

const SCHEME = 'vault://'
const FORM = /^vault:\/\/([^#]+?)\/data\/([^#]+)#([A-Za-z0-9_.-]{1,128})$/

export const isKvReference = (text: string): boolean => text.startsWith(SCHEME)

/** `undefined`: it is none. */
export function parseKvReference(text: string): KvReference | undefined {
  const [, mount = '', path = '', field = ''] = FORM.exec(text) ?? []
  return isVaultPath(mount) && isVaultPath(path) ? { text, mount, path, field } : undefined
}

/** The newest version's number. Rejects with one line; so does `readSecret`. */
export async function readVersion(session: VaultSession, { mount, path }: KvReference): Promise<number> {
  const answer = await session.read(`${mount}/metadata/${path}`)
  const version = answer?.data['current_version']
  if (typeof version !== 'number') throw new Error(`Vault has no secret at ${mount}/data/${path}`)
  return version
}

export async function readSecret(session: VaultSession, { mount, path }: KvReference): Promise<KvSecret> {
  const answer = await session.read(`${mount}/data/${path}`)
  const fields = answer?.data['data']
  const version = (answer?.data['metadata'] as { readonly version?: unknown } | undefined)?.version
  if (typeof fields !== 'object' || fields === null || typeof version !== 'number')
    throw new Error(`Vault has no secret at ${mount}/data/${path}, or its newest version is deleted`)
  return { version, fields: fields as KvSecret['fields'] }
}

/** One field, of some text. */
export async function readField(session: VaultSession, reference: KvReference): Promise<string> {
  return fieldOf(await readSecret(session, reference), reference)
}

export function fieldOf({ fields }: KvSecret, { mount, path, field }: KvReference): string {
  const value = Object.hasOwn(fields, field) ? fields[field] : undefined
  if (typeof value !== 'string' || value === '') throw new Error(`the secret at ${mount}/data/${path} has no text in its field ${field}`)
  return value
}
