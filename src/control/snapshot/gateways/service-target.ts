// One service, or one subset of it, as a target: what a gateway that goes by server names has a cluster for. Called by the views of terminating
// and mesh gateways.
import { durationFromMs } from '../../config-entries/duration.js'
import type { ServiceResolver } from '../../config-entries/types.js'
import { clusterSni, DEFAULT_TENANCY, targetId } from '../../discovery-chain/names.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from '../../discovery-chain/target-table.js'
import type { DiscoveryTarget } from '../../discovery-chain/types.js'

/** `subset` is one of the resolver's. */
export function serviceTarget(
  service: string,
  subset: string | undefined,
  resolver: ServiceResolver | undefined,
  { datacenter, trustDomain }: { readonly datacenter: string; readonly trustDomain: string },
): DiscoveryTarget {
  const name = { service, datacenter, ...(subset === undefined ? {} : { subset }) }
  const sni = clusterSni(name, trustDomain)
  return {
    ID: targetId(name),
    Service: service,
    Namespace: DEFAULT_TENANCY,
    Partition: DEFAULT_TENANCY,
    Datacenter: datacenter,
    MeshGateway: {},
    Subset: subset === undefined ? {} : resolver!.Subsets![subset]!,
    ConnectTimeout: resolver?.ConnectTimeout ?? durationFromMs(DEFAULT_CONNECT_TIMEOUT_MS),
    SNI: sni,
    Name: sni,
    TransparentProxy: {},
  }
}
