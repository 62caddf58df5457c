// An ingress gateway's view from its entry: a listener a port, the services that are reached by it under their host names. Called by
// `kinds/ingress-gateway.ts`. Route tables, stat prefixes and host names are Consul's.
import { WORKLOAD_API_CLUSTER } from '../../../model/workload-api.js'
import type { IngressGateway, IngressListener, IngressService, IngressTls } from '../../config-entries/edge-types.js'
import type { UpstreamConfig } from '../../config-entries/types.js'
import { compileDiscoveryChain } from '../../discovery-chain/compile.js'
import { DEFAULT_TENANCY, filterName } from '../../discovery-chain/names.js'
import { serviceProtocol } from '../../discovery-chain/service-protocol.js'
import { identityOf } from '../inbound.js'
import { type BuildContext, type ProxyInstance, SnapshotError } from '../kinds/proxy-kind.js'
import { withPeers } from '../peer-targets.js'
import { readProxyConfig, readUpstreamSettings } from '../proxy-config.js'
import type { ProxyIdentity } from '../proxy-view.js'
import { edgeTls, type ShownCertificate, type TransportSocketInit } from '../tls.js'
import type { BehindView, EdgeChain, EdgeHost, EdgeListener, EdgeTable, EdgeView } from './edge-view.js'
import { readGatewayConfig } from './gateway-config.js'

const WILDCARD = '*'

interface Served {
  readonly service: IngressService
  readonly name: string
  readonly behind: BehindView
}

interface PortParts {
  readonly label: string
  readonly port: number
  readonly chains: readonly EdgeChain[]
  readonly tables: readonly EdgeTable[]
  readonly behind: readonly BehindView[]
}

export function ingressView(proxy: ProxyInstance, context: BuildContext): EdgeView {
  const { entries, problems } = context
  const identity = identityOf(proxy.Service, context)
  if (identity === undefined) throw new SnapshotError(`service ${proxy.Service} has no certificate yet`)
  const proxyDefaults = entries.get('proxy-defaults', 'global')
  const entry = entries.get('ingress-gateway', proxy.Service)
  const addresses = [...new Set(readGatewayConfig(proxy, context).binds.map(({ address }) => address))]
  const ports = entry?.Listeners.flatMap(listener => portParts(entry, listener, identity, context) ?? []) ?? []
  return {
    identity,
    mesh: entries.get('mesh', 'mesh'),
    accessLogs: proxyDefaults?.AccessLogs,
    config: readProxyConfig({ proxyDefaults, serviceDefaults: undefined, registration: proxy.Proxy.Config }, problems),
    listeners: ports.flatMap(({ label, port, chains }) => addresses.map((address): EdgeListener => ({ label, address, port, chains }))),
    tables: ports.flatMap(({ tables }) => tables),
    behind: ports.flatMap(({ behind }) => behind),
    secrets: [],
    jwtProviders: [],
    requirements: [],
  }
}

/** Undefined: none of its services is there. */
function portParts(
  entry: IngressGateway,
  listener: IngressListener,
  identity: ProxyIdentity,
  context: BuildContext,
): PortParts | undefined {
  const served = listener.Services.flatMap(service =>
    namesOf(service, listener, context).flatMap(name => serve(entry, listener, service, name, context) ?? []),
  )
  const [first] = served
  if (first === undefined) return undefined
  const { Port: port, Protocol: protocol } = listener
  const behind = served.map(each => each.behind)
  const common = transportSocket(certificateOf(entry, listener, undefined, identity), listener.TLS ?? entry.TLS, protocol)
  if (protocol === 'tcp') {
    const chain: EdgeChain = { serverNames: [], transportSocket: common, to: { tcp: first.behind }, maxRequestHeadersKb: undefined }
    return { label: first.name, port, chains: [chain], tables: [], behind }
  }
  const own = served.filter(({ service }) => service.TLS?.SDS !== undefined)
  const shared = served.filter(({ service }) => service.TLS?.SDS === undefined)
  const chainTo = (table: string, serverNames: readonly string[], socket: TransportSocketInit | undefined): EdgeChain => ({
    serverNames,
    transportSocket: socket,
    to: { table, protocol },
    maxRequestHeadersKb: undefined,
  })
  const ofService = own.map(each => {
    const table = `${port}_${each.name}`
    const socket = transportSocket(certificateOf(entry, listener, each.service, identity), listener.TLS ?? entry.TLS, protocol)
    return { chain: chainTo(table, each.service.Hosts ?? [], socket), table: { name: table, hosts: [edgeHost(each)] } }
  })
  const rest = shared.length === 0 ? [] : [{ name: String(port), hosts: shared.map(edgeHost) }]
  return {
    label: protocol,
    port,
    chains: [...ofService.map(({ chain }) => chain), ...rest.map(({ name }) => chainTo(name, [], common))],
    tables: [...ofService.map(({ table }) => table), ...rest],
    behind,
  }
}

/** A `*` stands for every service of the mesh that speaks the listener's protocol. */
function namesOf(service: IngressService, { Protocol }: IngressListener, { catalog, entries }: BuildContext): string[] {
  if (service.Name !== WILDCARD) return [service.Name]
  return [...catalog.serviceNames()].filter(name => catalog.isInMesh(name) && serviceProtocol(entries, name) === Protocol).sort()
}

function serve(
  entry: IngressGateway,
  listener: IngressListener,
  service: IngressService,
  name: string,
  context: BuildContext,
): Served | undefined {
  const { mesh, entries, problems } = context
  const result = compileDiscoveryChain({ service: name, datacenter: mesh.datacenter, trustDomain: mesh.trustDomain, entries })
  const why = 'errors' in result ? result.errors.map(({ reason }) => reason).join('; ') : protocolProblem(result.chain.Protocol, listener)
  if ('errors' in result || why !== undefined) {
    problems.push({ path: `Listeners[${entry.Listeners.indexOf(listener)}]`, reason: `${name} is not served: ${why}` })
    return undefined
  }
  const behind: BehindView = {
    ...withPeers(result.chain, context, entry.Name),
    settings: readUpstreamSettings(limitsOf({ ...entry.Defaults, ...service }), undefined, {}, problems),
    tunnel: false,
    clusterJson: undefined,
    filterName: filterName(name, DEFAULT_TENANCY, DEFAULT_TENANCY, mesh.datacenter),
  }
  return { service, name, behind }
}

function protocolProblem(protocol: string, listener: IngressListener): string | undefined {
  return protocol === listener.Protocol ? undefined : `its protocol is ${protocol}, that of the listener ${listener.Protocol}`
}

type Limited = Pick<IngressService, 'MaxConnections' | 'MaxPendingRequests' | 'MaxConcurrentRequests' | 'PassiveHealthCheck'>

function limitsOf({ PassiveHealthCheck, MaxConnections, MaxPendingRequests, MaxConcurrentRequests }: Limited): UpstreamConfig {
  return {
    Limits: {
      ...(MaxConnections === undefined ? {} : { MaxConnections }),
      ...(MaxPendingRequests === undefined ? {} : { MaxPendingRequests }),
      ...(MaxConcurrentRequests === undefined ? {} : { MaxConcurrentRequests }),
    },
    ...(PassiveHealthCheck === undefined ? {} : { PassiveHealthCheck }),
  }
}

function edgeHost({ service, name, behind }: Served): EdgeHost {
  const hosts = service.Hosts ?? []
  return {
    name,
    domains: hosts.length === 0 ? [`${name}.ingress.*`] : hosts.includes(WILDCARD) ? [WILDCARD] : hosts,
    behind,
    requirements: [],
    requestHeaders: service.RequestHeaders,
    responseHeaders: service.ResponseHeaders,
  }
}

/** The service's own from SDS, the listener's or the gateway's from SDS, or where TLS is enabled the certificate that the mesh gives the gateway. */
function certificateOf(
  entry: IngressGateway,
  listener: IngressListener,
  service: IngressService | undefined,
  identity: ProxyIdentity,
): ShownCertificate | undefined {
  const [first, ...others] = [service?.TLS?.SDS, listener.TLS?.SDS, entry.TLS?.SDS].filter(each => each !== undefined)
  if (first !== undefined) {
    const cluster = first.ClusterName ?? others.find(({ ClusterName }) => ClusterName !== undefined)?.ClusterName ?? ''
    const resource = first.CertResource ?? others.find(({ CertResource }) => CertResource !== undefined)?.CertResource ?? ''
    return { sdsCluster: cluster, secret: resource }
  }
  const enabled = listener.TLS?.Enabled ?? entry.TLS?.Enabled
  if (enabled !== true) return undefined
  const { certificate } = identity
  return certificate.kind === 'issued' ? certificate : { sdsCluster: WORKLOAD_API_CLUSTER, secret: certificate.id }
}

function transportSocket(
  shown: ShownCertificate | undefined,
  tls: IngressTls | undefined,
  protocol: string,
): TransportSocketInit | undefined {
  const alpn = protocol === 'tcp' ? [] : protocol === 'http' ? ['http/1.1'] : ['h2', 'http/1.1']
  return shown && edgeTls([shown], tls ?? {}, alpn)
}
