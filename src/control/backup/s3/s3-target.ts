// Backups in a bucket of an S3-compatible store. Opened by open-target.ts, which loads this folder only where a bucket is asked for.
import { NAME_PREFIX, parseBackupName } from '../backup-name.js'
import { type BackupTarget, MAX_BACKUP_BYTES, newestFirst, type StoredBackup } from '../backup-target.js'
import { S3Client, type S3ClientOptions } from './s3-client.js'

export class S3Target implements BackupTarget {
  readonly description: string
  private readonly client: S3Client
  private readonly prefix: string

  constructor(options: S3ClientOptions) {
    const { bucket, prefix, endpoint } = options.settings
    this.client = new S3Client(options)
    this.prefix = prefix
    this.description = `s3://${bucket}/${prefix} at ${endpoint.host}`
  }

  async list(): Promise<StoredBackup[]> {
    const found: StoredBackup[] = []
    // What else lies there, however much it is, is not asked for.
    for (const { key, bytes } of await this.client.list(this.prefix + NAME_PREFIX)) {
      const parsed = parseBackupName(key.slice(this.prefix.length))
      if (parsed !== undefined) found.push({ ...parsed, bytes })
    }
    return newestFirst(found)
  }

  read(name: string): Promise<Buffer> {
    return this.client.get(this.prefix + name, MAX_BACKUP_BYTES)
  }

  write(name: string, file: Buffer): Promise<void> {
    return this.client.put(this.prefix + name, file)
  }

  remove(name: string): Promise<void> {
    return this.client.delete(this.prefix + name)
  }

  close(): void {
    this.client.close()
  }
}
