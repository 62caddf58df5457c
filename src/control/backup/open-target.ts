// A place as the flag names it (a folder, or s3://…) as a `BackupTarget`. Called by `Backups` and by the commands; S3's part is loaded only here.
import type { BackupTarget } from './backup-target.js'
import { FolderTarget } from './folder-target.js'
import type { CredentialSources } from './s3/s3-credentials.js'

/** What a target may read of this process and machine. */
export type TargetSources = CredentialSources

/** Rejects with one line. `isEncrypted`: whether what goes there is. */
export async function openTarget(place: string, sources: TargetSources, isEncrypted: boolean): Promise<BackupTarget> {
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(place) && !place.startsWith('s3://'))
    throw new Error(`${place}: must be a folder or s3://bucket/prefix`)
  if (!place.startsWith('s3://')) return new FolderTarget(place)
  const [{ parseS3Settings }, { s3Credentials }, { S3Target }] = await Promise.all([
    import('./s3/s3-settings.js'),
    import('./s3/s3-credentials.js'),
    import('./s3/s3-target.js'),
  ])
  if (!isEncrypted)
    throw new Error(`${place}: the state holds keys and tokens, so it leaves this machine encrypted only: a key file is needed`)
  const settings = parseS3Settings(place, sources.env('AWS_REGION') ?? sources.env('AWS_DEFAULT_REGION') ?? 'us-east-1')
  const credentials = (): ReturnType<typeof s3Credentials> => s3Credentials(sources)
  // A mistake in them is told at the start, not at the first backup.
  credentials()
  return new S3Target({ settings, credentials, ...(settings.caFile === undefined ? {} : { caPem: sources.readText(settings.caFile) }) })
}
