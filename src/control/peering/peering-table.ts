// The peerings and what they import: in memory for readers, in the store for the next start. Written by peerings.ts; read by the HTTP API, DNS
// and, as `PeerSource`, by the snapshot builder.
// Invariants: memory changes only by what the store says it has committed; there are no imports of a peering that is not there.
import type { VirtualIps } from '../catalog/virtual-ips.js'
import { type Commit, put, remove, type Store, type StoreWrite } from '../store/store.js'
import type { ExportedService, ImportedService, PeerBundle, Peering, PeeringRecord } from './peering-types.js'

export interface PeeringChange {
  /** Names of peerings whose record is another. */
  readonly peerings: ReadonlySet<string>
  readonly imports: readonly ImportChange[]
}

export interface ImportChange {
  readonly peer: string
  readonly service: string
  /** More than its instances, ways and their health. */
  readonly identity: boolean
}

interface StoredImport {
  readonly hash: string
  readonly service: ExportedService
}

export const MAX_PEERINGS = 256
/** Of one peering. */
export const MAX_IMPORTS = 5_000
/** Of one peering, as JSON: 5,000 services of 50 instances each are about as many. */
export const MAX_IMPORT_BYTES = 128 * 1024 * 1024
/** Of imports that end in one transaction. */
const REMOVED_AT_ONCE = 500

const importKey = (peer: string, service: string): string => `${peer}/${service.toLowerCase()}`

/** No service of ours has such a name. */
const virtualName = (peer: string, service: string): string => `${service.toLowerCase()}/${peer}`

export class PeeringTable {
  private readonly store: Store
  private readonly virtualIps: VirtualIps
  private readonly peerings = new Map<string, Peering>()
  private readonly imports = new Map<string, Map<string, ImportedService>>()
  /** By peer: how much its imports are, each and together. */
  private readonly sizes = new Map<string, { total: number; readonly of: Map<string, number> }>()
  private readonly listeners: ((change: PeeringChange) => void)[] = []

  private constructor(
    store: Store,
    virtualIps: VirtualIps,
    private readonly maxImportBytes: number,
  ) {
    this.store = store
    this.virtualIps = virtualIps
    store.subscribe(['peering', 'peering-import'], commit => this.follow(commit))
  }

  static async open(store: Store, virtualIps: VirtualIps, maxImportBytes = MAX_IMPORT_BYTES): Promise<PeeringTable> {
    const table = new PeeringTable(store, virtualIps, maxImportBytes)
    for (const { key, value, createIndex, modifyIndex } of await store.list('peering'))
      table.peerings.set(key, { ...(value as PeeringRecord), CreateIndex: createIndex, ModifyIndex: modifyIndex })
    for (const { key, value, createIndex, modifyIndex } of await store.list('peering-import'))
      table.setImport(key, value as StoredImport, createIndex, modifyIndex)
    return table
  }

  onChange(listener: (change: PeeringChange) => void): void {
    this.listeners.push(listener)
  }

  get(name: string): Peering | undefined {
    return this.peerings.get(name)
  }

  byId(id: string): Peering | undefined {
    return this.list().find(({ ID }) => ID === id)
  }

  /** By name. */
  list(): Peering[] {
    return [...this.peerings.values()].sort((a, b) => (a.Name < b.Name ? -1 : 1))
  }

  /** Undefined: there is no such peering, it has not told yet, or it has ended. */
  bundle(name: string): PeerBundle | undefined {
    return this.peerings.get(name)?.bundle
  }

  imported(peer: string, service: string): ImportedService | undefined {
    return this.imports.get(peer)?.get(service.toLowerCase())
  }

  /** In order of names. */
  importsOf(peer: string): ImportedService[] {
    return [...(this.imports.get(peer)?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Undefined: nothing of that name is imported. */
  virtualIp(peer: string, service: string): string | undefined {
    return this.virtualIps.of(virtualName(peer, service))
  }

  /** `decide` gives the record from what is there now, undefined where nothing is to be written; what it throws is passed on. */
  change(name: string, decide: (before: Peering | undefined) => PeeringRecord | undefined): Promise<void> {
    return this.store.exclusive(async turn => {
      const record = decide(this.peerings.get(name))
      if (record !== undefined) await turn.transaction([put('peering', name, record)])
    })
  }

  /** Of a peering that may have ended meanwhile: then nothing. */
  updatePeering(name: string, change: (before: PeeringRecord) => PeeringRecord): Promise<void> {
    return this.store.exclusive(async turn => {
      const before = this.peerings.get(name)
      if (before === undefined) return
      const { CreateIndex: _create, ModifyIndex: _modify, ...record } = before
      const after = change(record)
      if (JSON.stringify(after) !== JSON.stringify(record)) await turn.transaction([put('peering', name, after)])
    })
  }

  /** False: the peering imports as much as it may. */
  putImport(peer: string, service: ExportedService, hash: string): Promise<boolean> {
    const bytes = JSON.stringify(service).length
    return this.store.exclusive(async turn => {
      const known = this.imports.get(peer)
      const name = service.name.toLowerCase()
      if (known !== undefined && known.size >= MAX_IMPORTS && !known.has(name)) return false
      const { total = 0, of } = this.sizes.get(peer) ?? {}
      if (total - (of?.get(name) ?? 0) + bytes > this.maxImportBytes) return false
      await turn.transaction([
        put('peering-import', importKey(peer, service.name), { hash, service } satisfies StoredImport),
        ...this.virtualIps.writesForNames([virtualName(peer, service.name)], []),
      ])
      return true
    })
  }

  /** Ends the imports of a peering but for those of `kept`, in lower case. */
  async keepImports(peer: string, kept: ReadonlySet<string>): Promise<void> {
    const gone = [...(this.imports.get(peer)?.keys() ?? [])].filter(name => !kept.has(name))
    for (let i = 0; i < gone.length; i += REMOVED_AT_ONCE) {
      const some = gone.slice(i, i + REMOVED_AT_ONCE)
      const ends = some.map((name): StoreWrite => remove('peering-import', importKey(peer, name)))
      const leaving = some.map(name => virtualName(peer, name))
      await this.store.exclusive(turn => turn.transaction([...ends, ...this.virtualIps.writesForNames([], leaving)]))
    }
  }

  async remove(name: string): Promise<void> {
    await this.store.delete('peering', name)
  }

  private follow({ changes }: Commit): void {
    const peerings = new Set<string>()
    const imports: ImportChange[] = []
    for (const { collection, key, record } of changes) {
      if (collection === 'peering') {
        peerings.add(key)
        if (record === undefined) this.peerings.delete(key)
        else
          this.peerings.set(key, {
            ...(record.value as PeeringRecord),
            CreateIndex: record.createIndex,
            ModifyIndex: record.modifyIndex,
          })
        continue
      }
      const [peer, name] = splitImportKey(key)
      const before = this.imported(peer, name)
      if (record === undefined) {
        this.imports.get(peer)?.delete(name)
        this.measure(peer, name, 0)
      } else this.setImport(key, record.value as StoredImport, record.createIndex, record.modifyIndex)
      const after = this.imported(peer, name)
      imports.push({ peer, service: (after ?? before)?.name ?? name, identity: identityOf(before) !== identityOf(after) })
    }
    for (const listener of this.listeners) listener({ peerings, imports })
  }

  private setImport(key: string, { service, hash }: StoredImport, CreateIndex: number, ModifyIndex: number): void {
    const [peer, name] = splitImportKey(key)
    const named = this.imports.get(peer) ?? new Map<string, ImportedService>()
    this.imports.set(peer, named.set(name, { ...service, peer, hash, CreateIndex, ModifyIndex }))
    this.measure(peer, name, JSON.stringify(service).length)
  }

  private measure(peer: string, name: string, bytes: number): void {
    const sizes = this.sizes.get(peer) ?? { total: 0, of: new Map<string, number>() }
    sizes.total += bytes - (sizes.of.get(name) ?? 0)
    if (bytes === 0) sizes.of.delete(name)
    else sizes.of.set(name, bytes)
    if (sizes.of.size === 0) this.sizes.delete(peer)
    else this.sizes.set(peer, sizes)
  }
}

/** Who it is, without where. */
function identityOf(service: ImportedService | undefined): string {
  return service === undefined ? '' : JSON.stringify([service.name, service.protocol, service.sni, service.spiffeIds])
}

/** No peer's name has a slash in it. */
function splitImportKey(key: string): [peer: string, service: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash), key.slice(slash + 1)]
}
