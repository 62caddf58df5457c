// The console's built files in memory: a few hundred kilobytes, read once when the first of them is asked for. Made by console-routes.ts.
// A file is found by its name in a map, so that no path of a request ever reaches the file system.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

export interface StaticFile {
  readonly bytes: Buffer
  /** Undefined where it would save nothing. */
  readonly gzipped: Buffer | undefined
  readonly etag: string
  readonly type: string
  /** Its name changes with what is in it. */
  readonly immutable: boolean
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
}
/** Below assets/ the bundler puts a hash into each name. */
const HASHED = 'assets/'

export class StaticFiles {
  private readonly folder: string
  private files: ReadonlyMap<string, StaticFile> | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  /** `name` is relative to the folder, with slashes. */
  find(name: string): StaticFile | undefined {
    this.files ??= this.read()
    return this.files.get(name)
  }

  private read(): ReadonlyMap<string, StaticFile> {
    const files = new Map<string, StaticFile>()
    for (const entry of readdirSync(this.folder, { recursive: true, encoding: 'utf8' })) {
      const name = entry.replaceAll('\\', '/')
      const type = TYPES[name.slice(name.lastIndexOf('.') + 1)]
      if (type === undefined) continue
      const bytes = readFileSync(join(this.folder, name))
      const gzipped = gzipSync(bytes, { level: 9 })
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 20)
      files.set(name, {
        bytes,
        gzipped: gzipped.length < bytes.length ? gzipped : undefined,
        etag: `"${hash}"`,
        type,
        immutable: name.startsWith(HASHED),
      })
    }
    return files
  }
}
