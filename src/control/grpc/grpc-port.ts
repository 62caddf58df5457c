// The gRPC port (8502): xDS for sidecars, and Consul's services for consul-dataplane, on one server. Opened by `ControlPlane`.
import { MAX_MESSAGE_BYTES } from '../../xds/grpc-service.js'
import type { AdsServer } from '../../xds/server/server.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { Catalog } from '../catalog/catalog.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { bindReason, formatAddress, type GrpcTls, type HostPort } from '../http-api/listen-addresses.js'
import { addAcl } from './acl-service.js'
import { addAds } from './ads-service.js'
import { CallerAccess } from './caller-access.js'
import { addDataplane } from './dataplane-service.js'
import { addDns, type ResolveDns } from './dns-service.js'
import { GrpcServer } from './grpc-server.js'
import { addServerDiscovery, type KnownServer } from './server-discovery-service.js'

export interface GrpcPortSources {
  readonly ads: AdsServer
  readonly acl: AclSystem | undefined
  readonly authorizer: Authorizer
  readonly catalog: Catalog
  readonly entries: ConfigEntryIndex
  readonly datacenter: string
  readonly nodeName: string
  servers(): readonly KnownServer[]
  readonly resolveDns: ResolveDns
  readonly onProblem: (reason: string) => void
}

export interface GrpcPort {
  /** As bound. */
  readonly address: HostPort
  close(): Promise<void>
}

/** Rejects with one line that names the option. */
export async function openGrpcPort(address: HostPort, tls: GrpcTls | undefined, sources: GrpcPortSources): Promise<GrpcPort> {
  const { ads, acl, onProblem } = sources
  const server = new GrpcServer({ ...(tls === undefined ? {} : { tls }), maxMessageBytes: MAX_MESSAGE_BYTES, onProblem })
  const access = new CallerAccess(sources.authorizer, acl)
  addAds(server, ads)
  addDataplane(server, { ...sources, access })
  addServerDiscovery(server, { ...sources, access })
  addAcl(server, acl, onProblem)
  addDns(server, sources.resolveDns, access, onProblem)
  try {
    const port = await server.listen(address.host, address.port)
    return {
      address: { host: address.host, port },
      async close() {
        ads.close()
        await server.close()
      },
    }
  } catch (error) {
    throw new Error(`--grpc-addr ${formatAddress(address)}: ${bindReason(error as Error)}`)
  }
}
