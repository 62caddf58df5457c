// The control planes that share one state: who they are, where they serve, and which of them leads. Made by `ControlPlane`; each says of itself by a
// note (store/replica-notes.ts) and hears of the others. Asked by the HTTP API (`status`, `members`, `operator`) and the list of servers that
// sidecars and agents follow. Leading means nothing but to be named as leader: each task has a lease of its own.
// Invariant: this replica is always in the list; one that is gone leaves it when its lease at etcd ends.
import { createHash } from 'node:crypto'
import type { Locality } from '../catalog/locality.js'
import type { KnownServer } from '../grpc/server-discovery-service.js'
import type { Store } from '../store/store.js'

export interface Replica {
  readonly id: string
  readonly name: string
  readonly address: string
  /** -1: not served. */
  readonly grpcPort: number
  readonly grpcTlsPort: number
  readonly version: string
  /** Where sidecars reach it: without the port, which is taken to be the same everywhere. */
  readonly grpcAddress: string
  /** Where its machine is; absent: nobody has said. */
  readonly locality?: Locality
}

type Ports = Pick<Replica, 'grpcPort' | 'grpcTlsPort'>

interface Note extends Replica {
  readonly leads: boolean
}

const TOPIC = 'replica'

export class Replicas {
  private readonly others = new Map<string, Note>()
  private readonly listeners = new Set<() => void>()
  private leads = false
  private readonly ends: (() => void)[] = []
  private release: (() => Promise<void>) | undefined

  private self: Replica

  /** `self`: as it is known before its ports are bound. */
  constructor(
    private readonly store: Store,
    self: Omit<Replica, keyof Ports>,
  ) {
    this.self = { ...self, grpcPort: -1, grpcTlsPort: -1 }
  }

  start(ports: Ports): void {
    const { leases, notes } = this.store
    this.self = { ...this.self, ...ports }
    notes.say(TOPIC, { ...this.self, leads: false } satisfies Note)
    this.ends.push(
      notes.hear(TOPIC, (replica, note) => {
        if (note === undefined) this.others.delete(replica)
        else this.others.set(replica, note as Note)
        this.changed()
      }),
    )
    this.release = leases.contend('leader', lease => {
      this.lead(true)
      lease.signal.addEventListener('abort', () => this.lead(false), { once: true })
    })
  }

  async stop(): Promise<void> {
    for (const end of this.ends) end()
    await this.release?.()
  }

  /** By name; this one is among them. */
  list(): readonly Replica[] {
    return [this.self, ...this.others.values()].sort((a, b) => (a.name + a.id < b.name + b.id ? -1 : 1))
  }

  /** As clients of the gRPC port know them. */
  servers(): KnownServer[] {
    return this.list().map(({ id, grpcAddress, version, locality }) => ({
      id,
      address: grpcAddress,
      version,
      ...(locality && { locality }),
    }))
  }

  /**
   * Which this replica is, of all, to do what each could do: 0 the first. Spread by the name of what is to be done, and the same at each that
   * knows the same others; a task that must not be done twice has a lease.
   */
  turnFor(task: string): number {
    const weight = ({ id }: Replica): string => createHash('sha1').update(id).update('\0').update(task).digest('base64url')
    const own = weight(this.self)
    let before = 0
    for (const other of this.others.values()) if (weight(other) < own) before++
    return before
  }

  /** Undefined: nobody, as far as is known here. */
  leader(): Replica | undefined {
    if (!this.store.contact.knowsLeader) return undefined
    return this.leads ? this.self : [...this.others.values()].find(({ leads }) => leads)
  }

  /** Where the others serve gRPC, over TLS or in the clear. */
  reachable(overTls: boolean): { readonly host: string; readonly port: number }[] {
    return [...this.others.values()]
      .map(({ grpcAddress: host, grpcPort, grpcTlsPort }) => ({ host, port: overTls ? grpcTlsPort : grpcPort }))
      .filter(({ port }) => port > 0)
  }

  /** Returns the way out. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  private lead(leads: boolean): void {
    this.leads = leads
    this.store.notes.say(TOPIC, { ...this.self, leads } satisfies Note)
    this.changed()
  }

  private changed(): void {
    for (const listener of this.listeners) listener()
  }
}
