// The names of backups, which say enough for a list without opening one: outrigger-<datacenter>-<mesh>-<time>-<index>.backup. Used by `Backups`
// and by the targets. Invariant: only what has such a name is ever listed or removed, so other files may lie beside backups.
import { createHash } from 'node:crypto'

/** Of every name. */
export const NAME_PREFIX = 'outrigger-'
const NAME = /^outrigger-([A-Za-z0-9_-]{1,64})-([0-9a-f]{8})-(\d{8}T\d{6}Z)-(\d{1,16})\.backup$/
const MESH_CHARS = 8

export interface BackupName {
  readonly name: string
  readonly datacenter: string
  /** Short for the trust domain: meshes that share a place keep out of each other's way. */
  readonly mesh: string
  /** Whole seconds since the epoch, as ms. */
  readonly atMs: number
  readonly index: number
}

export function backupName(datacenter: string, trustDomain: string, atMs: number, index: number): string {
  const time = `${new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
  return `${NAME_PREFIX}${datacenter}-${meshOf(trustDomain)}-${time}-${index}.backup`
}

export function meshOf(trustDomain: string): string {
  return createHash('sha256').update(trustDomain).digest('hex').slice(0, MESH_CHARS)
}

/** Undefined: it is no backup. */
export function parseBackupName(name: string): BackupName | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  const [, datacenter, mesh, time, index] = match
  const atMs = Date.parse(time!.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  return Number.isNaN(atMs) ? undefined : { name, datacenter: datacenter!, mesh: mesh!, atMs, index: Number(index) }
}
