// What an API gateway, its routes and its certificates come to together: which route is bound to which listener under which host names, and
// the conditions that the status of each entry says of it. Pure over the config entries; asked by the gateway's snapshot and by whoever shows
// an entry. Nothing of it is stored, so that a status costs no write and moves no index.
// Invariant: what is not bound here is not served, and some condition says why.
import { X509Certificate } from 'node:crypto'
import { isKvReference } from '../../vault/kv-secrets.js'
import type { JwtRequirement } from '../config-entries/common-types.js'
import type {
  ApiGateway,
  ApiGatewayListener,
  FileSystemCertificate,
  HttpRoute,
  InlineCertificate,
  ResourceReference,
  TcpRoute,
} from '../config-entries/edge-types.js'
import type { ConfigEntryIndex } from '../config-entries/types.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import { hostName, intersectHosts, narrowestFor } from './host-names.js'

export type Certificate = InlineCertificate | FileSystemCertificate
export type Route = HttpRoute | TcpRoute

export interface Condition {
  readonly Type: 'Accepted' | 'Bound' | 'Conflicted' | 'Programmed' | 'ResolvedRefs'
  readonly Status: 'True' | 'False' | 'Unknown'
  readonly Reason: string
  readonly Message: string
  /** What it is about; the entry as a whole: an empty one. No two conditions of a type are about one. */
  readonly Resource: ResourceReference
}

export const WHOLE_ENTRY: ResourceReference = { Kind: '', Name: '', SectionName: '' }

export interface BoundHttpRoute {
  readonly route: HttpRoute
  /** Those of the listener that the route is for; `*`: every one. */
  readonly hosts: readonly string[]
}

export interface BoundListener {
  readonly listener: ApiGatewayListener
  readonly certificates: readonly Certificate[]
  readonly httpRoutes: readonly BoundHttpRoute[]
  readonly tcpRoute: TcpRoute | undefined
}

export interface GatewayBinding {
  readonly listeners: readonly BoundListener[]
  readonly conditions: readonly Condition[]
}

type Resources = Pick<ConfigEntryIndex, 'get' | 'list'>

export function bindGateway(gateway: ApiGateway, entries: Resources, nowMs = Date.now()): GatewayBinding {
  const routes = routesByListener(gateway, entries)
  const owners = hostOwners(gateway)
  const bound: BoundListener[] = []
  const ofListeners: Condition[] = []
  const invalid = new Set<RefReason>()
  for (const listener of gateway.Listeners) {
    const Resource = listenerReference(gateway, listener)
    const own = routes(listener)
    const tcpRoutes = own.filter(route => route.Kind === 'tcp-route')
    const conflicted = tcpRoutes.length > 1
    ofListeners.push(
      conflicted
        ? condition(
            Resource,
            'Conflicted',
            true,
            'RouteConflict',
            `${tcpRoutes.map(({ Name }) => Name).join(', ')}: a TCP listener takes one route`,
          )
        : condition(Resource, 'Conflicted', false, 'NoConflict', 'the routes of the listener go together'),
    )
    const problems = referenceProblems(listener, entries, nowMs)
    ofListeners.push(resolvedRefs(Resource, problems))
    for (const { reason } of problems) invalid.add(reason)
    const certificates = certificatesOf(listener, entries)
    // Without any certificate a listener over TLS has nothing to show; in clear text it must not be served.
    if (certificates.length === 0 && (listener.TLS?.Certificates ?? []).length > 0) continue
    // What it is guarded by is not there.
    if (problems.some(({ reason }) => reason === 'InvalidJWTProviderRef')) continue
    bound.push({
      listener,
      certificates,
      httpRoutes: own.flatMap(route => {
        if (route.Kind !== 'http-route') return []
        const hosts = intersectHosts(listener.Hostname, route.Hostnames).filter(host => owners(listener, host))
        return hosts.length === 0 ? [] : [{ route, hosts }]
      }),
      // The oldest stays: a later one takes nothing from it.
      tcpRoute: tcpRoutes[0],
    })
  }
  return { listeners: bound, conditions: [acceptedGateway(invalid), ...ofListeners] }
}

/** Whether the listener is the one of its port that a name is served by. */
function hostOwners({ Listeners }: ApiGateway): (listener: ApiGatewayListener, host: string) => boolean {
  const ports = new Map<number, Set<string>>()
  for (const { Port, Hostname } of Listeners) ports.set(Port, (ports.get(Port) ?? new Set<string>()).add(hostName(Hostname)))
  return ({ Port, Hostname }, host) => narrowestFor(host, ports.get(Port)!) === hostName(Hostname)
}

export function listenerReference({ Kind, Name }: ApiGateway, listener: ApiGatewayListener): ResourceReference {
  return { Kind, Name, SectionName: listener.Name }
}

function acceptedGateway(invalid: ReadonlySet<RefReason>): Condition {
  if (invalid.size === 0) return condition(WHOLE_ENTRY, 'Accepted', true, 'Accepted', 'the gateway is served')
  const reason = invalid.has('InvalidJWTProviderRef') ? 'InvalidJWTProviders' : 'InvalidCertificates'
  return condition(WHOLE_ENTRY, 'Accepted', false, reason, 'some of what its listeners refer to is not there, or not good')
}

function resolvedRefs(listener: ResourceReference, problems: readonly RefProblem[]): Condition {
  const [first] = problems
  if (first === undefined) return condition(listener, 'ResolvedRefs', true, 'ResolvedRefs', 'all that the listener refers to is there')
  // A guard that is not there weighs more than one certificate of several.
  const { reason } = problems.find(({ reason }) => reason === 'InvalidJWTProviderRef') ?? first
  return condition(listener, 'ResolvedRefs', false, reason, problems.map(({ message }) => message).join('; '))
}

/** Oldest first; of one age by name. */
function acceptedRoutes(gateway: ApiGateway, entries: Resources): Route[] {
  const all: Route[] = [...entries.list('http-route'), ...entries.list('tcp-route')]
  return all
    .filter(route => route.Parents.some(({ Name }) => Name === gateway.Name) && routeProblem(route, entries) === undefined)
    .sort((a, b) => (a.CreateIndex ?? 0) - (b.CreateIndex ?? 0) || (a.Name < b.Name ? -1 : 1))
}

/** The accepted routes for a listener, in their order; each route is looked at once for all listeners. */
function routesByListener(gateway: ApiGateway, entries: Resources): (listener: ApiGatewayListener) => readonly Route[] {
  const all = acceptedRoutes(gateway, entries)
  const order = new Map(all.map((route, i) => [route, i]))
  const everywhere: Route[] = []
  const sections = new Map<string, Route[]>()
  for (const route of all) {
    const parents = route.Parents.filter(({ Name }) => Name === gateway.Name)
    if (parents.some(({ SectionName }) => SectionName === undefined)) everywhere.push(route)
    else
      for (const { SectionName } of parents) {
        const named = sections.get(SectionName!)
        if (named === undefined) sections.set(SectionName!, [route])
        else named.push(route)
      }
  }
  return ({ Name, Protocol }) => {
    const named = sections.get(Name) ?? []
    const found = named.length === 0 ? everywhere : [...everywhere, ...named].sort((a, b) => order.get(a)! - order.get(b)!)
    return found.filter(({ Kind }) => (Kind === 'tcp-route') === (Protocol === 'tcp'))
  }
}

/**
 * The conditions of a route: whether it is good at all, then one for each gateway or listener that it names. `bind`: what `bindGateway` makes of
 * a gateway, for who asks about many routes of one.
 */
export function routeConditions(
  route: Route,
  entries: Resources,
  bind: (gateway: ApiGateway) => GatewayBinding = gateway => bindGateway(gateway, entries),
): Condition[] {
  const problem = routeProblem(route, entries)
  const accepted =
    problem === undefined
      ? condition(WHOLE_ENTRY, 'Accepted', true, 'Accepted', 'the route is served where it is bound')
      : condition(WHOLE_ENTRY, 'Accepted', false, problem.reason, problem.message)
  return [accepted, ...route.Parents.map(parent => boundTo(route, parent, problem, entries, bind))]
}

interface Problem {
  readonly reason: string
  readonly message: string
}

type RefReason = 'InvalidCertificateRef' | 'InvalidJWTProviderRef'

interface RefProblem extends Problem {
  readonly reason: RefReason
}

export function servicesOf(route: Route): readonly { readonly Name: string }[] {
  return route.Kind === 'tcp-route' ? route.Services : route.Rules.flatMap(({ Services }) => Services)
}

function routeProblem(route: Route, entries: Resources): Problem | undefined {
  const services = servicesOf(route)
  if (services.length === 0) return { reason: 'NoUpstreamServicesTargeted', message: 'the route names no service' }
  for (const { Name } of services) {
    const protocol = serviceProtocol(entries, Name)
    if (isHttpLike(protocol) === (route.Kind === 'http-route')) continue
    const wanted = route.Kind === 'http-route' ? 'http, http2 or grpc' : 'tcp'
    return {
      reason: 'InvalidDiscoveryChain',
      message: `service ${JSON.stringify(Name)} has protocol ${protocol}, a ${route.Kind} needs ${wanted}`,
    }
  }
  if (route.Kind === 'tcp-route') return undefined
  const missing = missingProvider(
    route.Rules.map(({ Filters }) => Filters?.JWT),
    entries,
  )
  return missing === undefined
    ? undefined
    : { reason: 'JWTProvidersNotFound', message: `JWT provider ${JSON.stringify(missing)} does not exist` }
}

function boundTo(
  route: Route,
  parent: ResourceReference,
  problem: Problem | undefined,
  entries: Resources,
  bind: (gateway: ApiGateway) => GatewayBinding,
): Condition {
  const unbound = (reason: string, why: string): Condition => condition(parent, 'Bound', false, reason, why)
  const failed = (why: string): Condition => unbound('FailedToBind', why)
  const gateway = entries.get('api-gateway', parent.Name)
  if (gateway === undefined) return unbound('GatewayNotFound', `there is no api-gateway ${JSON.stringify(parent.Name)}`)
  if (problem !== undefined)
    return problem.reason === 'JWTProvidersNotFound' ? unbound(problem.reason, problem.message) : failed(problem.message)
  const wanted = gateway.Listeners.filter(({ Name }) => parent.SectionName === undefined || Name === parent.SectionName)
  if (wanted.length === 0) return failed(`the gateway has no listener ${JSON.stringify(parent.SectionName)}`)
  const sameKind = wanted.filter(({ Protocol }) => (Protocol === 'tcp') === (route.Kind === 'tcp-route'))
  if (sameKind.length === 0) return failed(`a ${route.Kind} does not go with a listener of protocol ${wanted[0]!.Protocol}`)
  const { listeners } = bind(gateway)
  const served = listeners.filter(({ listener }) => sameKind.includes(listener))
  if (served.length === 0) return failed('the listener is not served: see the status of the gateway')
  const isBound = served.some(({ httpRoutes, tcpRoute }) =>
    route.Kind === 'tcp-route' ? tcpRoute?.Name === route.Name : httpRoutes.some(bound => bound.route.Name === route.Name),
  )
  if (isBound) return condition(parent, 'Bound', true, 'Bound', 'the route is served by the gateway')
  return failed(
    route.Kind === 'tcp-route'
      ? 'an older tcp-route has the listener'
      : `none of its host names is one of the listener's (${sameKind[0]!.Hostname ?? '*'}) and of no narrower one on its port`,
  )
}

function certificatesOf({ TLS: tls }: ApiGatewayListener, entries: Resources): Certificate[] {
  return (tls?.Certificates ?? [])
    .flatMap(({ Kind, Name }) => certificateOf(Kind, Name, entries) ?? [])
    .filter(certificate => !isInVault(certificate))
}

function certificateOf(kind: string, name: string, entries: Resources): Certificate | undefined {
  return kind === 'file-system-certificate' ? entries.get('file-system-certificate', name) : entries.get('inline-certificate', name)
}

function referenceProblems(listener: ApiGatewayListener, entries: Resources, nowMs: number): RefProblem[] {
  const certificates = (listener.TLS?.Certificates ?? []).flatMap(({ Kind, Name }): RefProblem[] => {
    const why = certificateProblem(certificateOf(Kind, Name, entries), nowMs)
    return why === undefined ? [] : [{ reason: 'InvalidCertificateRef', message: `${Kind} ${JSON.stringify(Name)} ${why}` }]
  })
  const missing = missingProvider([listener.Override?.JWT, listener.Default?.JWT], entries)
  if (missing === undefined) return certificates
  return [...certificates, { reason: 'InvalidJWTProviderRef', message: `JWT provider ${JSON.stringify(missing)} does not exist` }]
}

const isInVault = ({ Certificate: chain, PrivateKey: key }: Certificate): boolean => isKvReference(chain) || isKvReference(key)

/** One that has ended is still shown: some clients go on with it, and none is served better without. */
function certificateProblem(certificate: Certificate | undefined, nowMs: number): string | undefined {
  if (certificate === undefined) return 'does not exist'
  if (certificate.Kind === 'file-system-certificate') return undefined
  if (isInVault(certificate)) return 'is in Vault, and has not been read from there yet'
  const { validTo, validFrom } = new X509Certificate(certificate.Certificate)
  if (Date.parse(validTo) <= nowMs) return `has ended: it was valid to ${validTo}`
  return Date.parse(validFrom) > nowMs ? `is not valid before ${validFrom}` : undefined
}

function missingProvider(requirements: readonly (JwtRequirement | undefined)[], entries: Resources): string | undefined {
  return requirements
    .flatMap(requirement => requirement?.Providers ?? [])
    .map(({ Name }) => Name)
    .find(name => entries.get('jwt-provider', name) === undefined)
}

function condition(Resource: ResourceReference, Type: Condition['Type'], is: boolean, Reason: string, Message: string): Condition {
  return { Type, Status: is ? 'True' : 'False', Reason, Message, Resource }
}
