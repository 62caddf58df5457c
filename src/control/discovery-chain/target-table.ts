// The targets of a chain while it is compiled: one value for each name, made at its first mention and filled in by the resolver that governs
// it. Held by the chain compiler.
import { durationFromMs } from '../config-entries/duration.js'
import type { FailoverTarget } from '../config-entries/types.js'
import { clusterSni, DEFAULT_TENANCY, type TargetName, targetId } from './names.js'
import type { DiscoveryTarget } from './types.js'

export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000

export type MutableTarget = { -readonly [K in keyof DiscoveryTarget]: DiscoveryTarget[K] }

export class TargetTable {
  private readonly targets = new Map<string, MutableTarget>()

  /** Namespace and partition of the chain are those of targets that name none. */
  constructor(
    private readonly scope: { readonly datacenter: string; readonly trustDomain: string },
    private readonly namespace: string,
    private readonly partition: string,
  ) {}

  byId(id: string): MutableTarget | undefined {
    return this.targets.get(id)
  }

  all(): IterableIterator<[id: string, target: MutableTarget]> {
    return this.targets.entries()
  }

  named(options: Partial<TargetName> & { readonly service: string }): MutableTarget {
    const peer = options.peer || ''
    const name: Required<TargetName> = {
      service: options.service,
      subset: options.subset || '',
      namespace: options.namespace || (peer ? DEFAULT_TENANCY : this.namespace),
      partition: peer ? DEFAULT_TENANCY : options.partition || this.partition,
      datacenter: peer ? '' : options.datacenter || this.scope.datacenter,
      peer,
    }
    const id = targetId(name)
    const known = this.targets.get(id)
    if (known !== undefined) return known
    // The exporter's trust domain is not known here, so a peered target gets its names from whoever knows the peer.
    const sni = peer ? '' : clusterSni(name, this.scope.trustDomain)
    const target: MutableTarget = {
      ID: id,
      Service: name.service,
      ...(name.subset && { ServiceSubset: name.subset }),
      Namespace: name.namespace,
      Partition: name.partition,
      Datacenter: name.datacenter,
      ...(peer && { Peer: peer }),
      MeshGateway: {},
      Subset: {},
      ConnectTimeout: durationFromMs(DEFAULT_CONNECT_TIMEOUT_MS),
      SNI: sni,
      Name: sni,
      TransparentProxy: {},
    }
    this.targets.set(id, target)
    return target
  }

  /** `target` with what `to` names changed; another service forgets the subset. */
  rewritten(target: MutableTarget, to: FailoverTarget): MutableTarget {
    const service = to.Service || target.Service
    const keptSubset = service === target.Service ? target.ServiceSubset : undefined
    return this.named({
      service,
      subset: to.ServiceSubset || keptSubset,
      namespace: to.Namespace || (to.Peer ? undefined : target.Namespace),
      partition: to.Partition || target.Partition,
      datacenter: to.Datacenter || target.Datacenter,
      peer: to.Peer,
    })
  }
}
