// Where key material comes from: inline text, files (watched), environment variables, and secrets by name (SDS or the bootstrap's static
// ones). Called by the TLS contexts, which name what they depend on and are told when it changes; the proxy sets SDS secrets, opens the
// subscriptions that `onWanted` names, and says of which secrets nothing is to be expected now. Listeners and clusters are warm once their
// secrets have settled: one that has settled never has not again. Invariant: a listener is told after the new value can be read, never with a
// value in the same turn as it subscribes; listeners are held weakly, so a context that no snapshot names is collected and its watches end.

import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { sourceKey } from '../../model/config-source.js'
import type { DataSource, SdsSecretRef, Secret } from '../../model/tls.js'

/** Key, certificate, CA and CRL files are smaller; anything larger is refused. */
export const MAX_SECRET_BYTES = 4 * 1024 * 1024
/** Directory events come in bursts; files are read again this long after the first of a burst. */
const SETTLE_MS = 50
/** Files are compared this often too, for file systems that send no events. */
const POLL_MS = 10_000
/** A half-written file is tried again after this, doubling up to the limit. */
const RETRY_MS = 200
const MAX_RETRY_MS = 10_000

export interface SecretListener {
  onSecretChange(): void
}

export type BytesResult = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly reason: string }
export type TextResult = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string }

export interface SecretRegistryOptions {
  readonly environment?: (name: string) => string | undefined
  /**
   * A context wants a secret that is neither static nor subscribed to yet, or with another timeout. Called once per secret and timeout until
   * `onUnwanted`.
   */
  readonly onWanted?: (ref: SdsSecretRef) => void
  readonly onUnwanted?: (ref: SdsSecretRef) => void
}

type Listeners = Set<WeakRef<SecretListener>>

interface FileEntry {
  readonly directory: string
  text: string | null
  readonly listeners: Listeners
}

interface Waiter {
  readonly timeoutMs: number
  readonly settled: () => void
}

interface SecretEntry {
  /** Of every timeout that it is wanted with, the first one first. */
  readonly refs: SdsSecretRef[]
  secret: Secret | null
  readonly listeners: Listeners
  /** It has come, or whoever has it has said that it does not, or none that can be used. */
  settled: boolean
  /** Timeouts that are over. */
  readonly expired: Set<number>
  readonly waiters: Set<Waiter>
}

export class SecretRegistry {
  private readonly options: SecretRegistryOptions
  private readonly files = new Map<string, FileEntry>()
  private readonly secrets = new Map<string, SecretEntry>()
  private readonly statics = new Map<string, Secret>()
  private readonly dependents = new WeakMap<
    SecretListener,
    { readonly weak: WeakRef<SecretListener>; readonly named: ReadonlySet<Listeners> }
  >()
  private readonly watchers = new Map<string, FSWatcher | null>()
  private readonly retries = new Map<SecretListener, { timer: NodeJS.Timeout; delayMs: number }>()
  private readonly gone = new FinalizationRegistry<null>(() => this.prune())
  private settleTimer: NodeJS.Timeout | null = null
  private pollTimer: NodeJS.Timeout | null = null
  private closed = false

  constructor(options: SecretRegistryOptions = {}) {
    this.options = options
  }

  /** The text of a source now. A file is read from the disk. */
  read(source: DataSource): TextResult {
    switch (source.kind) {
      case 'inline':
        return { ok: true, text: source.text }
      case 'env': {
        const text = this.options.environment?.(source.name)
        return text === undefined ? { ok: false, reason: `the environment variable ${source.name} is not set` } : { ok: true, text }
      }
      case 'file':
        return readSecretText(source.path)
      default: {
        const never: never = source
        return never
      }
    }
  }

  /** The bytes of a source now, for what is no text. */
  readBytes(source: DataSource): BytesResult {
    if (source.kind === 'file') return readSecretFile(source.path)
    if (source.kind === 'inline' && source.base64 !== undefined) return { ok: true, bytes: Buffer.from(source.base64, 'base64') }
    const result = this.read(source)
    return result.ok ? { ok: true, bytes: Buffer.from(result.text) } : result
  }

  /** The secret of a reference, or null while it has not come. */
  secret(ref: SdsSecretRef): Secret | null {
    if (ref.source.kind === 'static') return this.statics.get(ref.name) ?? null
    return this.secrets.get(secretKey(ref))?.secret ?? null
  }

  /** A secret of the bootstrap's `static_resources.secrets`. */
  setStatic(secret: Secret): void {
    this.statics.set(secret.name, secret)
    this.notify(this.secrets.get(secretKey({ name: secret.name, source: { kind: 'static' } }))?.listeners)
  }

  /** What SDS delivered for a wanted reference. */
  setSecret(ref: SdsSecretRef, secret: Secret): void {
    this.replace(ref, secret)
  }

  /** Whoever gave the secret has taken it back: contexts that name it are without it until another comes. */
  withdraw(ref: SdsSecretRef): void {
    this.replace(ref, null)
  }

  private replace(ref: SdsSecretRef, secret: Secret | null): void {
    const entry = this.secrets.get(secretKey(ref))
    if (entry === undefined) return
    entry.secret = secret
    this.notify(entry.listeners)
    if (secret !== null) settle(entry)
  }

  /** It was refused, or there is none: nobody waits for it any longer. One that comes later is used. */
  giveUp(ref: SdsSecretRef): void {
    const entry = this.secrets.get(secretKey(ref))
    if (entry !== undefined) settle(entry)
  }

  /** The timeout of the reference is over. */
  expire(ref: SdsSecretRef): void {
    const entry = this.secrets.get(secretKey(ref))
    if (entry === undefined) return
    entry.expired.add(ref.initialFetchTimeoutMs)
    release(entry, ({ timeoutMs }) => timeoutMs === ref.initialFetchTimeoutMs)
  }

  /** It has come, or is waited for no longer. One that nobody has named yet has not. */
  isSettled(ref: SdsSecretRef): boolean {
    if (ref.source.kind === 'static') return true
    const entry = this.secrets.get(secretKey(ref))
    return entry !== undefined && (entry.settled || entry.expired.has(ref.initialFetchTimeoutMs))
  }

  /** Calls `settled` once, at once where it is. Returns the way to stop waiting. */
  whenSettled(ref: SdsSecretRef, settled: () => void): () => void {
    const entry = this.secrets.get(secretKey(ref))
    if (entry === undefined || this.isSettled(ref)) {
      settled()
      return () => {}
    }
    const waiter = { timeoutMs: ref.initialFetchTimeoutMs, settled }
    entry.waiters.add(waiter)
    return () => entry.waiters.delete(waiter)
  }

  /** Every secret that contexts want and that is not static, with each of its timeouts. */
  wanted(): readonly SdsSecretRef[] {
    return [...this.secrets.values()].flatMap(({ refs }) => (refs[0]?.source.kind === 'static' ? [] : refs))
  }

  /**
   * Tells `listener`, once, whenever one of these changes, and of nothing that it has named before. Sources that never change (inline, env) are
   * ignored.
   */
  depend(listener: SecretListener, sources: readonly DataSource[], refs: readonly SdsSecretRef[]): void {
    if (this.closed) return
    const files = sources.filter(source => source.kind === 'file')
    const named = new Set([
      ...files.map(({ path, watchedDirectory }) => this.fileEntry(path, watchedDirectory).listeners),
      ...refs.map(ref => this.secretEntry(ref).listeners),
    ])
    const before = this.dependents.get(listener)
    // One for each listener: a set knows two of them as two.
    const weak = before?.weak ?? new WeakRef(listener)
    if (before === undefined) this.gone.register(listener, null)
    this.dependents.set(listener, { weak, named })
    for (const listeners of named) listeners.add(weak)
    const dropped = [...(before?.named ?? [])].filter(listeners => !named.has(listeners))
    for (const listeners of dropped) listeners.delete(weak)
    if (dropped.length > 0) this.prune()
  }

  /** The listener found its sources unusable (half-written): it is told again soon, later each time until `settled`. */
  retryLater(listener: SecretListener): void {
    if (this.closed) return
    const known = this.retries.get(listener)
    if (known !== undefined) clearTimeout(known.timer)
    const delayMs = known === undefined ? RETRY_MS : Math.min(known.delayMs * 2, MAX_RETRY_MS)
    const timer = setTimeout(() => listener.onSecretChange(), delayMs)
    timer.unref()
    this.retries.set(listener, { timer, delayMs })
  }

  settled(listener: SecretListener): void {
    const known = this.retries.get(listener)
    if (known === undefined) return
    clearTimeout(known.timer)
    this.retries.delete(listener)
  }

  close(): void {
    this.closed = true
    for (const watcher of this.watchers.values()) watcher?.close()
    this.watchers.clear()
    for (const { timer } of this.retries.values()) clearTimeout(timer)
    this.retries.clear()
    if (this.settleTimer !== null) clearTimeout(this.settleTimer)
    if (this.pollTimer !== null) clearInterval(this.pollTimer)
  }

  /** Compares every watched file with what was last seen, and tells those who depend on a changed one. */
  checkFiles(): void {
    const told = new Set<SecretListener>()
    for (const [path, entry] of this.files) {
      const result = readSecretText(path)
      const text = result.ok ? result.text : null
      if (text === entry.text) continue
      entry.text = text
      for (const weak of entry.listeners) {
        const listener = weak.deref()
        if (listener !== undefined) told.add(listener)
      }
    }
    for (const listener of told) listener.onSecretChange()
  }

  private fileEntry(path: string, watchedDirectory: string): FileEntry {
    const known = this.files.get(path)
    if (known !== undefined) return known
    const result = readSecretText(path)
    const directory = watchedDirectory !== '' ? watchedDirectory : dirname(path)
    const entry: FileEntry = { directory, text: result.ok ? result.text : null, listeners: new Set() }
    this.files.set(path, entry)
    this.watchDirectory(directory)
    if (this.pollTimer === null) {
      this.pollTimer = setInterval(() => this.checkFiles(), POLL_MS)
      this.pollTimer.unref()
    }
    return entry
  }

  private watchDirectory(directory: string): void {
    if (this.watchers.has(directory)) return
    try {
      const watcher = watch(directory, { persistent: false }, () => this.settle())
      watcher.on('error', () => {
        watcher.close()
        this.watchers.set(directory, null)
      })
      this.watchers.set(directory, watcher)
    } catch {
      // A directory that is not there yet: polling finds the file when it comes.
      this.watchers.set(directory, null)
    }
  }

  private settle(): void {
    if (this.settleTimer !== null || this.closed) return
    this.settleTimer = setTimeout(() => {
      this.settleTimer = null
      this.checkFiles()
    }, SETTLE_MS)
  }

  private secretEntry(ref: SdsSecretRef): SecretEntry {
    const key = secretKey(ref)
    let entry = this.secrets.get(key)
    if (entry === undefined) {
      entry = { refs: [], secret: null, listeners: new Set(), settled: false, expired: new Set(), waiters: new Set() }
      this.secrets.set(key, entry)
    }
    if (!entry.refs.some(({ initialFetchTimeoutMs }) => initialFetchTimeoutMs === ref.initialFetchTimeoutMs)) {
      entry.refs.push(ref)
      if (ref.source.kind !== 'static') this.options.onWanted?.(ref)
    }
    return entry
  }

  private notify(listeners: ReadonlySet<WeakRef<SecretListener>> | undefined): void {
    for (const weak of [...(listeners ?? [])]) weak.deref()?.onSecretChange()
  }

  private prune(): void {
    for (const [path, entry] of this.files) if (dropDead(entry.listeners)) this.files.delete(path)
    for (const [key, entry] of this.secrets) {
      if (!dropDead(entry.listeners)) continue
      this.secrets.delete(key)
      const [ref] = entry.refs
      if (ref !== undefined && ref.source.kind !== 'static') this.options.onUnwanted?.(ref)
    }
    const directories = new Set([...this.files.values()].map(entry => entry.directory))
    for (const [directory, watcher] of this.watchers) {
      if (directories.has(directory)) continue
      watcher?.close()
      this.watchers.delete(directory)
    }
  }
}

function dropDead(listeners: Listeners): boolean {
  for (const weak of listeners) if (weak.deref() === undefined) listeners.delete(weak)
  return listeners.size === 0
}

function settle(entry: SecretEntry): void {
  entry.settled = true
  release(entry, () => true)
}

function release({ waiters }: SecretEntry, which: (waiter: Waiter) => boolean): void {
  for (const waiter of [...waiters]) {
    // One may make another stop waiting.
    if (which(waiter) && waiters.delete(waiter)) waiter.settled()
  }
}

/** One secret of one source: the same name from two SDS servers is two secrets. */
export function secretKey({ source, name }: Pick<SdsSecretRef, 'source' | 'name'>): string {
  return `${source.kind === 'static' ? 'static' : sourceKey(source)} ${name}`
}

function readSecretText(path: string): TextResult {
  const result = readSecretFile(path)
  return result.ok ? { ok: true, text: result.bytes.toString('utf8') } : result
}

function readSecretFile(path: string): BytesResult {
  try {
    const { size } = statSync(path)
    if (size > MAX_SECRET_BYTES) return { ok: false, reason: `the file ${path} has ${size} bytes, the limit is ${MAX_SECRET_BYTES}` }
    return { ok: true, bytes: readFileSync(path) }
  } catch (error) {
    return { ok: false, reason: `the file ${path} can't be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}` }
  }
}
