// What the commands of `outrigger backup` do with a place itself: list it, take a state out of it, try a backup out. Loaded by backup.ts where
// --from is given. Invariant: a failure is one line that names the flag, the place or the backup.

import { openBackup } from '../../control/backup/backup-file.js'
import { type BackupKeys, parseBackupKeys } from '../../control/backup/backup-keys.js'
import type { BackupTarget } from '../../control/backup/backup-target.js'
import { openTarget } from '../../control/backup/open-target.js'
import { chooseBackup, type DrillReport, restoreDrill } from '../../control/backup/restore-drill.js'
import { parseDuration } from '../../control/config-entries/duration.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'

/** Flags of a command that reads the place itself. */
export interface PlaceFlags {
  readonly from?: string
  readonly keyFile?: string
  readonly s3CredentialsFile?: string
  readonly mesh?: string
}

interface Place {
  readonly target: BackupTarget
  readonly keys: BackupKeys | undefined
}

export async function listPlace(flags: PlaceFlags, io: CommandIo): Promise<{ Name: string; At: string; Index: number; Bytes: number }[]> {
  const { target } = await open(flags, io)
  const all = await orRefused(target.list())
  return all
    .filter(({ mesh }) => flags.mesh === undefined || mesh === flags.mesh)
    .map(({ name, atMs, index, bytes }) => ({ Name: name, At: new Date(atMs).toISOString(), Index: index, Bytes: bytes }))
}

export async function takeState(flags: PlaceFlags, name: string | undefined, io: CommandIo): Promise<{ name: string; state: Buffer }> {
  const { target, keys } = await open(flags, io)
  const chosen = await orRefused(chooseBackup(target, name, flags.mesh))
  const file = await orRefused(target.read(chosen.name))
  const { state } = await openBackup(file, keys).catch((error: Error) => {
    throw new CliError(`${chosen.name}: ${error.message}`)
  })
  return { name: chosen.name, state }
}

export async function drillPlace(
  flags: PlaceFlags & { readonly maxAge?: string; readonly caKeyFile?: string },
  name: string | undefined,
  io: CommandIo,
): Promise<DrillReport> {
  const { maxAge, caKeyFile, mesh } = flags
  const maxAgeMs = maxAge === undefined ? undefined : (parseDuration(maxAge) ?? Number.NaN) / 1e6
  if (maxAgeMs !== undefined && !(maxAgeMs > 0)) throw new CliError(`--max-age "${maxAge}": must be a duration such as 26h`)
  const encryptionKey = caKeyFile === undefined ? io.env('OUTRIGGER_CA_KEY') : readFileOnly('--ca-key-file', caKeyFile, io).trim()
  return restoreDrill({
    ...(await open(flags, io)),
    ...(name === undefined ? {} : { name }),
    ...(mesh === undefined ? {} : { mesh }),
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    ...(encryptionKey === undefined ? {} : { encryptionKey }),
    nowMs: Date.now(),
  })
}

async function open(flags: PlaceFlags, io: CommandIo): Promise<Place> {
  const { from, keyFile } = flags
  if (from === undefined) throw new CliError('--from must name the place where the backups are')
  try {
    const keys = keyFile === undefined ? undefined : parseBackupKeys(readFileOnly('--key-file', keyFile, io), keyFile)
    const sources = { env: io.env, readText: io.readText, file: flags.s3CredentialsFile }
    // What is read here was encrypted, or not, when it was written.
    return { keys, target: await openTarget(from, sources, true) }
  } catch (error) {
    throw error instanceof CliError ? error : new CliError((error as Error).message)
  }
}

/** What the control plane would take from Vault must be at hand here. */
function readFileOnly(flag: string, path: string, io: CommandIo): string {
  if (path.startsWith('vault://')) throw new CliError(`${flag} "${path}": Vault is asked by the control plane alone; name a file`)
  return io.readText(path)
}

async function orRefused<T>(task: Promise<T>): Promise<T> {
  return task.catch((error: Error) => {
    throw new CliError(error.message)
  })
}
