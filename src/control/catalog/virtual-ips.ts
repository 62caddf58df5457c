// A virtual address for every service of the mesh (`<name>.virtual.consul`, the tagged address `consul-virtual`), out of 240.0.0.0/4. Given
// with the registration that brings a service into the mesh, in the same transaction, and taken back with its last proxy. Made and asked by
// the catalog; read by DNS, the snapshot and the shapes of the HTTP API. Beside it a service may have addresses of its own choice (`assign`).
// Invariant: an address is never given twice, also over restarts: a proxy that still has an old one never reaches another service by it.
import { type Commit, put, remove, type Store, type StoreWrite } from '../store/store.js'
import { type CatalogInstance, keyOfInstance } from './catalog-types.js'
import type { ServiceInstance } from './service-definition.js'

const FIRST_ADDRESS = 0xf0_00_00_00
const LAST_OFFSET = 0x0f_ff_ff_fe
/** Key of the highest offset that was ever given; no service has such a name. */
const LAST_GIVEN = '.last'
/** Before the name of a service with addresses of its own choice. */
const CHOSEN = '.chosen/'
/** Consul's. */
export const MAX_CHOSEN_PER_SERVICE = 8

/** The instances before the change. */
interface RegisteredInstances {
  instanceByKey(key: string): CatalogInstance | undefined
  connectInstancesOf(name: string): readonly CatalogInstance[]
}

export class VirtualIps {
  private readonly offsets = new Map<string, number>()
  private readonly chosen = new Map<string, readonly string[]>()
  /** Another choice was made for a service. */
  onChosen: ((service: string) => void) | null = null
  private last = 0

  private constructor(private readonly store: Store) {
    store.subscribe(['virtual-ip'], commit => this.follow(commit))
  }

  static async open(store: Store): Promise<VirtualIps> {
    const ips = new VirtualIps(store)
    for (const { key, value } of await store.list('virtual-ip')) ips.set(key, value as number | string[])
    return ips
  }

  /** Of the services that have one, in lower case. */
  names(): string[] {
    return [...this.offsets.keys()].sort()
  }

  /** By the service's name in any case. */
  of(service: string): string | undefined {
    const offset = this.offsets.get(service.toLowerCase())
    if (offset === undefined) return undefined
    const address = FIRST_ADDRESS + offset
    return [24, 16, 8, 0].map(bits => (address >>> bits) & 0xff).join('.')
  }

  /** Chosen by its owner, in any case of its name. */
  chosenFor(service: string): readonly string[] {
    return this.chosen.get(service.toLowerCase()) ?? []
  }

  /** In place of what was chosen for it before. Resolves with those that lose an address by it; undefined: there is no such service. */
  assign(service: string, addresses: readonly string[]): Promise<string[] | undefined> {
    const name = service.toLowerCase()
    return this.store.exclusive(async turn => {
      if (!this.offsets.has(name)) return undefined
      const losing = [...this.chosen].filter(([other, own]) => other !== name && own.some(address => addresses.includes(address)))
      await turn.transaction([
        ...losing.map(([other, own]) =>
          put(
            'virtual-ip',
            CHOSEN + other,
            own.filter(address => !addresses.includes(address)),
          ),
        ),
        put('virtual-ip', CHOSEN + name, [...new Set(addresses)].sort()),
      ])
      return losing.map(([other]) => other)
    })
  }

  /** What a change of instances does to the addresses: `gone` are keys of those that are removed, or replaced by one of `added`. */
  writesFor(catalog: RegisteredInstances, added: readonly ServiceInstance[], gone: ReadonlySet<string>): StoreWrite[] {
    const joining = new Set(added.flatMap(instance => meshName(instance) ?? []))
    const leaving = new Set<string>()
    for (const key of gone) {
      const instance = catalog.instanceByKey(key)
      const name = instance && meshName(instance)
      if (name !== undefined && !joining.has(name) && catalog.connectInstancesOf(name).every(other => gone.has(keyOfInstance(other))))
        leaving.add(name)
    }
    return this.writesForNames([...joining], [...leaving])
  }

  /** Of names that are no instances': services of peers. Names in lower case. */
  writesForNames(joining: readonly string[], leaving: readonly string[]): StoreWrite[] {
    const writes = leaving.flatMap(name => [
      ...(this.offsets.has(name) ? [remove('virtual-ip', name)] : []),
      ...(this.chosen.has(name) ? [remove('virtual-ip', CHOSEN + name)] : []),
    ])
    const missing = joining.filter(name => !this.offsets.has(name)).slice(0, LAST_OFFSET - this.last)
    if (missing.length === 0) return writes
    writes.push(...missing.map((name, i) => put('virtual-ip', name, this.last + 1 + i)))
    writes.push(put('virtual-ip', LAST_GIVEN, this.last + missing.length))
    return writes
  }

  private follow({ changes }: Commit): void {
    for (const { key, record } of changes) {
      if (key.startsWith(CHOSEN)) {
        const service = key.slice(CHOSEN.length)
        if (record === undefined) this.chosen.delete(service)
        else this.set(key, record.value as string[])
        this.onChosen?.(service)
      } else if (record === undefined) this.offsets.delete(key)
      else this.set(key, record.value as number)
    }
  }

  private set(key: string, value: number | readonly string[]): void {
    if (typeof value === 'object') {
      this.chosen.set(key.slice(CHOSEN.length), value)
      return
    }
    const offset = value
    if (key !== LAST_GIVEN) this.offsets.set(key, offset)
    this.last = Math.max(this.last, offset)
  }
}

/** The service that an instance brings into the mesh. */
function meshName(instance: ServiceInstance): string | undefined {
  const name = instance.Proxy?.DestinationServiceName || (instance.Native ? instance.Service : undefined)
  return name?.toLowerCase()
}
