// Discovery from a file: `path_config_source` (or the old `path`) of a ConfigSource. The file holds a DiscoveryResponse as YAML, JSON or
// binary protobuf. The command line makes one per config source and gives it the same update handler as an ADS client.
// Invariant: only moves into place are seen as changes (Envoy's rule: in general only a move is atomic), so a half-written file is not
// read; a file that cannot be read or is refused leaves the last good state.

import { type FSWatcher, watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, extname } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { parse as parseYaml } from 'yaml'
import { type DiscoveryResponse, DiscoveryResponseSchema } from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { MAX_MESSAGE_BYTES } from '../grpc-service.js'
import { decodeStateOfTheWorld, type Rejection, rejectionMessage, type XdsUpdateHandler } from './decode-response.js'

export interface FileSubscriptionOptions {
  readonly path: string
  /** `watched_directory.path`: any move in it reloads `path` (Kubernetes config maps). Without it, moves onto `path` do. */
  readonly watchedDirectory?: string
  readonly typeUrl: string
  /** Throws where it is none. */
  readonly readJson: (json: unknown) => DiscoveryResponse
  readonly onUpdate: XdsUpdateHandler
  /** It could not be read. */
  readonly onFailure?: () => void
  readonly logger?: { warn(fields: object, message: string): void }
}

/** What one load came to. `rejected` lists refused resources; `error` says why nothing could be read. */
export interface FileLoad {
  readonly ok: boolean
  readonly error: string
  readonly rejected: readonly Rejection[]
}

export class FileSubscription {
  private readonly held = new Map<string, string>()
  private watcher: FSWatcher | null = null
  private loading: Promise<FileLoad> | null = null
  private again = false
  private closed = false

  constructor(private readonly options: FileSubscriptionOptions) {}

  /** Watches, then loads the file once; the result says whether that worked. A file that is missing now is read when it is moved in. */
  async start(): Promise<FileLoad> {
    const { path, watchedDirectory } = this.options
    const name = watchedDirectory === undefined ? basename(path) : null
    try {
      // A directory is watched either way: a watch on the file itself would follow the old file out of place.
      this.watcher = watch(watchedDirectory ?? dirname(path), { persistent: false }, (event, file) => {
        if (event === 'rename' && (name === null || file === null || file === name)) void this.load()
      })
      this.watcher.on('error', error => this.options.logger?.warn({ path }, `no longer watching ${path}: ${error.message}`))
    } catch (error) {
      return this.failed(`cannot be watched: ${(error as Error).message}`)
    }
    return this.load()
  }

  close(): void {
    this.closed = true
    this.watcher?.close()
    this.watcher = null
  }

  /** Reads the file now. Loads do not overlap: a change during one is loaded after it. */
  load(): Promise<FileLoad> {
    if (this.loading) {
      this.again = true
      return this.loading
    }
    this.loading = this.loadUntilSettled().finally(() => {
      this.loading = null
    })
    return this.loading
  }

  private async loadUntilSettled(): Promise<FileLoad> {
    for (;;) {
      this.again = false
      const result = await this.loadOnce()
      if (!this.again || this.closed) return result
    }
  }

  private async loadOnce(): Promise<FileLoad> {
    let response: DiscoveryResponse
    try {
      response = await this.read()
    } catch (error) {
      return this.failed((error as Error).message)
    }
    if (this.closed) return { ok: false, error: 'closed', rejected: [] }
    return this.apply(response)
  }

  private async read(): Promise<DiscoveryResponse> {
    const { path } = this.options
    const { size } = await stat(path)
    if (size > MAX_MESSAGE_BYTES) throw new Error(`is larger than ${MAX_MESSAGE_BYTES} bytes`)
    const bytes = await readFile(path)
    const extension = extname(path)
    if (extension === '.pb') return fromBinary(DiscoveryResponseSchema, bytes)
    if (extension === '.json') return this.options.readJson(JSON.parse(bytes.toString()))
    if (extension === '.yaml' || extension === '.yml') return this.options.readJson(parseYaml(bytes.toString(), { merge: true }))
    throw new Error('has an unknown extension: .yaml, .yml, .json or .pb is needed')
  }

  private async apply(response: DiscoveryResponse): Promise<FileLoad> {
    const { typeUrl, onUpdate, path, logger } = this.options
    const decoded = decodeStateOfTheWorld(response, typeUrl, this.held.keys())
    const { resources, removed } = decoded
    const verdict = await onUpdate({ typeUrl, resources, removed, systemVersion: response.versionInfo })
    const rejected = [...decoded.rejected, ...(verdict?.rejected ?? [])]
    const refused = new Set(rejected.map(one => one.name))
    for (const { name, version } of resources) if (!refused.has(name)) this.held.set(name, version)
    for (const name of removed) if (!refused.has(name)) this.held.delete(name)
    if (rejected.length > 0) {
      logger?.warn({ path, typeUrl }, `${path} refused: ${rejectionMessage(rejected)}`)
      return { ok: false, error: rejectionMessage(rejected), rejected }
    }
    return { ok: true, error: '', rejected }
  }

  private failed(reason: string): FileLoad {
    const error = `${this.options.path}: ${reason}`
    this.options.logger?.warn({ path: this.options.path, typeUrl: this.options.typeUrl }, error)
    this.options.onFailure?.()
    return { ok: false, error, rejected: [] }
  }
}
