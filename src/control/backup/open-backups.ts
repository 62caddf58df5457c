// The backups of a control plane as its options ask for them. Called once by `ControlPlane`, when the CA and the store are open.
import { systemClock } from '../../io/clock.js'
import { isKvReference } from '../../vault/kv-secrets.js'
import type { VaultSession } from '../../vault/vault-session.js'
import { readKey } from '../secrets/open-vault.js'
import { type BackupKeys, parseBackupKeys } from './backup-keys.js'
import { parseSchedule } from './backup-schedule.js'
import { type BackupParts, Backups } from './backups.js'
import { openTarget, type TargetSources } from './open-target.js'
import { parseRetention } from './retention.js'

export interface BackupOptions {
  /** A folder, or `s3://bucket/prefix?…`; without it no backups are made, and the rest serves to restore one. */
  readonly to?: string
  /** A duration or a cron pattern; without it backups are made only when asked for. */
  readonly every?: string
  /** How many stay. */
  readonly keep?: string
  /** A file of keys, or `vault://…` for a secret that holds what such a file does; without it backups are not encrypted. */
  readonly keyFile?: string
  readonly sources: TargetSources
}

const DEFAULT_KEEP = 'last=30'

/** Rejects with one line that names the option. */
export async function openBackups(
  options: BackupOptions,
  vault: VaultSession | undefined,
  parts: Pick<BackupParts, 'store' | 'datacenter' | 'trustDomain' | 'log' | 'onMade' | 'onFailure'>,
): Promise<Backups | undefined> {
  const { to, every, keep, sources } = options
  if (to === undefined) return undefined
  const keys = keysOf(options, vault)
  await named('--backup-key-file', () => keys?.())
  const target = await named('--backup-to', () => openTarget(to, sources, keys !== undefined))
  if (keys === undefined) parts.log.warn({ target: target.description }, 'backups are not encrypted: --backup-key-file names a key')
  return new Backups({
    ...parts,
    target,
    keys,
    schedule: every === undefined ? undefined : await named('--backup-every', () => parseSchedule(every)),
    retention: await named('--backup-keep', () => parseRetention(keep ?? DEFAULT_KEEP)),
    clock: systemClock,
  })
}

/** Read anew for each backup and each restore. Undefined: there are none. */
export function keysOf({ keyFile, sources }: BackupOptions, vault: VaultSession | undefined): (() => Promise<BackupKeys>) | undefined {
  if (keyFile === undefined) return undefined
  const text = async (): Promise<string> => (isKvReference(keyFile) ? readKey(keyFile, 'the backup key', vault) : sources.readText(keyFile))
  return async () => parseBackupKeys(await text(), keyFile)
}

async function named<T>(option: string, task: () => T | Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    throw new Error(`${option}: ${(error as Error).message}`)
  }
}
