// The gRPC ports (8502, over TLS 8503): xDS for sidecars, and Consul's services for consul-dataplane, on one server. Opened by `ControlPlane`.
import { MAX_MESSAGE_BYTES } from '../../xds/grpc-service.js'
import type { AdsServer } from '../../xds/server/server.js'
import type { AclSystem } from '../acl/acl-system.js'
import type { Authorizer } from '../acl/authorizer.js'
import type { Catalog } from '../catalog/catalog.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { bindReason, formatAddress, type HostPort } from '../http-api/listen-addresses.js'
import { addPeerStreams } from '../peering/peer-service.js'
import type { Peerings } from '../peering/peerings.js'
import type { SecureOptions } from '../port-tls.js'
import { addAcl } from './acl-service.js'
import { addAds } from './ads-service.js'
import { CallerAccess } from './caller-access.js'
import { addClientStatus } from './client-status-service.js'
import { addDataplane } from './dataplane-service.js'
import { addDns, type ResolveDns } from './dns-service.js'
import { GrpcServer } from './grpc-server.js'
import { addLoadReports, type LoadReportSources } from './load-report-service.js'
import { addServerDiscovery, type KnownServer } from './server-discovery-service.js'

export interface GrpcPortSources {
  readonly ads: AdsServer
  readonly acl: AclSystem | undefined
  readonly authorizer: Authorizer
  readonly catalog: Catalog
  readonly entries: ConfigEntryIndex
  readonly datacenter: string
  servers(): readonly KnownServer[]
  onServersChange(listener: () => void): () => void
  readonly resolveDns: ResolveDns
  readonly peerings: Peerings
  readonly loadReports: LoadReportSources
  readonly onProblem: (reason: string) => void
}

export interface GrpcAddresses {
  /** In clear text; undefined: not served. */
  readonly plain: HostPort | undefined
  readonly tls: HostPort | undefined
  /** Of the address over TLS. */
  readonly secure: SecureOptions | undefined
}

export interface GrpcPort {
  /** As bound. */
  readonly plain: HostPort | undefined
  readonly tls: HostPort | undefined
  replaceCertificate(secure: SecureOptions): void
  close(): Promise<void>
}

/** Rejects with one line that names the option. */
export async function openGrpcPort({ plain, tls, secure }: GrpcAddresses, sources: GrpcPortSources): Promise<GrpcPort> {
  const { ads, acl, onProblem } = sources
  const access = new CallerAccess(sources.authorizer, acl)
  const server = new GrpcServer({ maxMessageBytes: MAX_MESSAGE_BYTES, isKnown: call => access.isKnown(call), onProblem })
  addAds(server, ads)
  addLoadReports(server, sources.loadReports)
  addClientStatus(server, { ads, access, onProblem })
  addDataplane(server, { ...sources, access })
  addServerDiscovery(server, { ...sources, access })
  addAcl(server, acl, onProblem)
  addDns(server, sources.resolveDns, access, onProblem)
  addPeerStreams(server, sources.peerings, onProblem)
  const listen = async (address: HostPort | undefined, options: SecureOptions | undefined): Promise<HostPort | undefined> => {
    if (address === undefined) return undefined
    try {
      return { host: address.host, port: await server.listen(address.host, address.port, options) }
    } catch (error) {
      await server.close()
      const option = options === undefined ? '--grpc-addr' : 'gRPC over TLS at'
      throw new Error(`${option} ${formatAddress(address)}: ${bindReason(error as Error)}`)
    }
  }
  return {
    plain: await listen(plain, undefined),
    tls: await listen(tls, secure),
    replaceCertificate: options => server.replaceCertificate(options),
    async close() {
      ads.close()
      await server.close()
    },
  }
}
