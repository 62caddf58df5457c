// An API gateway's view from its entry, the routes that are bound to it and its certificates. Called by `kinds/api-gateway.ts`.
// Invariant: it serves what `bindGateway` says is bound, so that the status of the entries tells what is served.
import type { ApiGateway, ApiGatewayListener, HttpRoute } from '../../config-entries/edge-types.js'
import type { ConfigEntryIndex } from '../../config-entries/types.js'
import { compileDiscoveryChain } from '../../discovery-chain/compile.js'
import { DEFAULT_TENANCY, filterName } from '../../discovery-chain/names.js'
import { serviceProtocol } from '../../discovery-chain/service-protocol.js'
import { type BoundListener, bindGateway, type Certificate } from '../../gateways/api-gateway-binding.js'
import { identityOf } from '../inbound.js'
import { type BuildContext, type ProxyInstance, SnapshotError } from '../kinds/proxy-kind.js'
import { withPeers } from '../peer-targets.js'
import { readProxyConfig, readUpstreamSettings } from '../proxy-config.js'
import { edgeTls, type ShownCertificate } from '../tls.js'
import type { BehindView, CertificateSecret, EdgeChain, EdgeHost, EdgeListener, EdgeTable, EdgeView } from './edge-view.js'
import { readGatewayConfig } from './gateway-config.js'
import { hostChain } from './http-route-chain.js'

const NONE = { listeners: [], tables: [], behind: [], secrets: [], jwtProviders: [], requirements: [] } as const
const HTTP_ALPN = ['h2', 'http/1.1']

export function apiGatewayView(proxy: ProxyInstance, context: BuildContext): EdgeView {
  const { entries, problems } = context
  const identity = identityOf(proxy.Service, context)
  if (identity === undefined) throw new SnapshotError(`service ${proxy.Service} has no certificate yet`)
  const proxyDefaults = entries.get('proxy-defaults', 'global')
  const common = {
    identity,
    mesh: entries.get('mesh', 'mesh'),
    accessLogs: proxyDefaults?.AccessLogs,
    config: readProxyConfig({ proxyDefaults, serviceDefaults: undefined, registration: proxy.Proxy.Config }, problems),
  }
  const entry = entries.get('api-gateway', proxy.Service)
  if (entry === undefined) return { ...common, ...NONE }
  const addresses = [...new Set(readGatewayConfig(proxy, context).binds.map(({ address }) => address))]
  const { listeners } = bindGateway(entry, entries)
  const tables = tablesOf(entry, listeners, context)
  const tcp = new Map(listeners.map(bound => [bound.listener.Name, tcpBehind(entry, bound, context)]))
  return {
    ...common,
    tables,
    listeners: portsOf(listeners).flatMap(([port, bound]): EdgeListener[] => {
      const chains = bound.flatMap(each => chainOf(each, tcp.get(each.listener.Name)) ?? [])
      const [first] = chains
      if (first === undefined) return []
      const label = 'tcp' in first.to ? first.to.tcp.chain.ServiceName : 'http'
      return addresses.map(address => ({ label, address, port, chains: bound[0]!.certificates.length > 0 ? chains : [first] }))
    }),
    behind: [...tables.flatMap(({ hosts }) => hosts.map(({ behind }) => behind)), ...[...tcp.values()].filter(each => each !== undefined)],
    secrets: secretsOf(listeners),
    ...tokensOf(tables, entries),
  }
}

function portsOf(listeners: readonly BoundListener[]): [port: number, bound: BoundListener[]][] {
  const ports = new Map<number, BoundListener[]>()
  for (const bound of listeners) {
    const ofPort = ports.get(bound.listener.Port)
    if (ofPort === undefined) ports.set(bound.listener.Port, [bound])
    else ofPort.push(bound)
  }
  return [...ports]
}

/** A listener over TLS is chosen by server name; those in clear text share one chain, and are told apart by host name. */
function chainOf({ listener, certificates }: BoundListener, tcp: BehindView | undefined): EdgeChain | undefined {
  const { Protocol: protocol, Hostname: host, TLS: tls } = listener
  if (protocol === 'tcp' && tcp === undefined) return undefined
  const shown = shownCertificates(certificates)
  const params = { TLSMinVersion: tls?.MinVersion, TLSMaxVersion: tls?.MaxVersion, CipherSuites: tls?.CipherSuites }
  return {
    serverNames: host === undefined || host === '*' || shown.length === 0 ? [] : [host],
    transportSocket: shown.length === 0 ? undefined : edgeTls(shown, params, protocol === 'tcp' ? [] : HTTP_ALPN),
    to: tcp === undefined ? { table: String(listener.Port), protocol } : { tcp },
    maxRequestHeadersKb: listener.MaxRequestHeadersKB,
  }
}

/** Proxies watch the files of secrets alone, and Envoy looks at no secret where a listener holds any certificate itself: it is all or none. */
const areSecrets = (certificates: readonly Certificate[]): boolean => certificates.some(({ Kind }) => Kind === 'file-system-certificate')

function shownCertificates(certificates: readonly Certificate[]): ShownCertificate[] {
  return areSecrets(certificates)
    ? certificates.map(each => ({ secret: secretName(each), sdsCluster: undefined }))
    : certificates.map(({ Certificate: chainPem, PrivateKey: keyPem }) => ({ chainPem, keyPem }))
}

/** Each once, however many listeners show it. */
function secretsOf(listeners: readonly BoundListener[]): CertificateSecret[] {
  const all = listeners.flatMap(({ certificates }) => (areSecrets(certificates) ? certificates : []))
  const named = all.map((each): [string, CertificateSecret] => {
    const { Kind, Certificate: chain, PrivateKey: key } = each
    const name = secretName(each)
    const certificate = Kind === 'inline-certificate' ? { chainPem: chain, keyPem: key } : { chainFile: chain, keyFile: key }
    return [name, { name, certificate }]
  })
  return [...new Map(named).values()]
}

/** Of both kinds there can be one of a name. */
const secretName = ({ Kind, Name }: Certificate): string => (Kind === 'inline-certificate' ? `${Kind}/${Name}` : Name)

/** One table a port: the host names of all its listeners. */
function tablesOf(entry: ApiGateway, listeners: readonly BoundListener[], context: BuildContext): EdgeTable[] {
  return portsOf(listeners.filter(({ listener }) => listener.Protocol === 'http')).map(([port, bound]) => {
    // No two listeners of a port have one name.
    const hosts = bound.flatMap(each =>
      [...routesByHost(each)].flatMap(([host, routes]) => edgeHost(entry, each.listener, host, routes, context) ?? []),
    )
    return { name: String(port), hosts }
  })
}

function routesByHost({ httpRoutes }: BoundListener): Map<string, HttpRoute[]> {
  const routes = new Map<string, HttpRoute[]>()
  for (const { route, hosts } of httpRoutes)
    for (const host of hosts) {
      const ofHost = routes.get(host)
      if (ofHost === undefined) routes.set(host, [route])
      else ofHost.push(route)
    }
  return routes
}

function edgeHost(
  entry: ApiGateway,
  listener: ApiGatewayListener,
  host: string,
  routes: readonly HttpRoute[],
  context: BuildContext,
): EdgeHost | undefined {
  const made = hostChain(entry.Name, listener, host, routes, context)
  if (made === undefined) return undefined
  return {
    name: made.name,
    domains: [host],
    requirements: made.requirements,
    behind: behindView(entry, made.chain, context),
  }
}

function behindView(entry: ApiGateway, chain: BehindView['chain'], context: BuildContext): BehindView {
  const { mesh, entries, problems } = context
  return {
    ...withPeers(chain, context, entry.Name),
    settings: readUpstreamSettings(entry.Defaults === undefined ? undefined : { Limits: entry.Defaults }, undefined, {}, problems),
    tunnel: false,
    clusterJson: undefined,
    filterName: filterName(chain.ServiceName, DEFAULT_TENANCY, DEFAULT_TENANCY, mesh.datacenter),
    protocolOf: service => serviceProtocol(entries, service),
  }
}

function tcpBehind(entry: ApiGateway, { tcpRoute }: BoundListener, context: BuildContext): BehindView | undefined {
  const { mesh, entries, problems } = context
  const service = tcpRoute?.Services[0]?.Name
  if (service === undefined) return undefined
  const result = compileDiscoveryChain({ service, datacenter: mesh.datacenter, trustDomain: mesh.trustDomain, entries })
  if ('chain' in result) return behindView(entry, result.chain, context)
  problems.push({ path: `tcp-route ${tcpRoute!.Name}`, reason: result.errors.map(({ reason }) => reason).join('; ') })
  return undefined
}

function tokensOf(tables: readonly EdgeTable[], entries: ConfigEntryIndex): Pick<EdgeView, 'jwtProviders' | 'requirements'> {
  const all = tables.flatMap(({ hosts }) => hosts.flatMap(host => host.requirements)).filter(requirement => requirement !== undefined)
  const names = all.flatMap(({ Providers }) => Providers.map(({ Name }) => Name))
  return { requirements: all, jwtProviders: [...new Set(names)].sort().flatMap(name => entries.get('jwt-provider', name) ?? []) }
}
