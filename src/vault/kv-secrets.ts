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
  /** Which writing of it this is. Not the version alone: one that was deleted with its metadata, and written again, begins anew at 1. */
  readonly edition: string
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

/** Of the newest version, without reading it. Rejects with one line; so does `readSecret`. */
export async function readEdition(session: VaultSession, { mount, path }: KvReference): Promise<string> {
  const answer = await session.read(`${mount}/metadata/${path}`)
  const version = answer?.data['current_version']
  if (typeof version !== 'number') throw new Error(`Vault has no secret at ${mount}/data/${path}`)
  const versions = (answer?.data['versions'] ?? {}) as Readonly<Record<string, { readonly created_time?: unknown }>>
  return editionOf(version, versions[String(version)]?.created_time)
}

const editionOf = (version: number, createdTime: unknown): string => `${version} of ${typeof createdTime === 'string' ? createdTime : ''}`

export async function readSecret(session: VaultSession, { mount, path }: KvReference): Promise<KvSecret> {
  const answer = await session.read(`${mount}/data/${path}`)
  const fields = answer?.data['data']
  const { version, created_time } = (answer?.data['metadata'] ?? {}) as { readonly version?: unknown; readonly created_time?: unknown }
  if (typeof fields !== 'object' || fields === null || typeof version !== 'number')
    throw new Error(`Vault has no secret at ${mount}/data/${path}, or its newest version is deleted`)
  return { edition: editionOf(version, created_time), fields: fields as KvSecret['fields'] }
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
