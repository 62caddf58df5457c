// envoy.config.route.v3.RouteConfiguration compiled: from a request's host to a virtual host, from its path and headers to a route.
// Made once per accepted table by RDS or the listener; requests call match(). Pure, no I/O.
// Order is Envoy's: exact domain, longest suffix wildcard (`*.a.com`), longest prefix wildcard (`a.*`), `*`; then routes in order.

import { finish, type Steps } from '../../io/slices.js'
import { VirtualClusterStats } from '../../metrics/stat-names.js'
import type { StatSource } from '../../metrics/stats-store.js'
import type { Route, RouteTable, VirtualHost } from '../../model/route.js'
import { NO_CONDITIONS } from '../../model/route-match.js'
import { asciiLower, toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { compileHeaderMatchers, requestHeaderReader } from '../match/header-matcher.js'
import { compileMatchTree, type SubjectReader } from '../match/match-tree.js'
import { pathOnly, type RouteCondition, withoutPathParameters } from '../match/route-match.js'
import type { Runtime } from '../match/runtime-fraction.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { CompiledRoute, type CompiledVirtualCluster, type CompiledVirtualHost, inOrder, NO_MUTATORS } from './compiled-route.js'
import { compileRequestMutations, compileResponseMutations } from './header-mutations.js'
import { portSeparator } from './path-normalize.js'
import { CompiledRetryPolicy } from './retry-policy.js'
import { type AnswerTarget, answerTlsRedirect } from './route-answers.js'
import { INDEXED_FROM, RouteIndex } from './route-index.js'

export interface RouteTableOptions {
  readonly runtime: Runtime
  /** Where `vhost.*` counters are made; without it there are none (a table that only gets checked). */
  readonly stats?: StatSource
}

export type RouteMatchResult =
  | { readonly kind: 'route'; readonly route: CompiledRoute }
  | { readonly kind: 'no-virtual-host' }
  | { readonly kind: 'no-route'; readonly virtualHost: string }

/** Hears of the routes before the one that matched. */
export interface RouteTrace {
  passedOver(route: CompiledRoute, missed: RouteCondition): void
}

const NO_VIRTUAL_CLUSTERS: readonly CompiledVirtualCluster[] = []
const NO_PLACES: readonly number[] = []
const NO_VIRTUAL_HOST: RouteMatchResult = { kind: 'no-virtual-host' }

interface HostEntry {
  readonly model: VirtualHost
  readonly routes: readonly CompiledRoute[]
  /** Of many routes; null: all of them are asked. */
  readonly index: RouteIndex | null
  /** Says which routes are tried, by their places; null: all of them. */
  readonly matcher: ((head: RequestHead) => readonly number[] | null) | null
  /** One result object per route: matching allocates nothing. */
  readonly results: readonly RouteMatchResult[]
  readonly noRoute: RouteMatchResult
  /** The redirect of require_tls, or null. */
  readonly tlsRedirect: RouteMatchResult | null
}

/** Wildcard domains of one length. */
interface WildcardLength {
  readonly length: number
  readonly hosts: Map<string, HostEntry>
}

export class CompiledRouteTable {
  readonly model: RouteTable
  private readonly exact = new Map<string, HostEntry>()
  private readonly suffixes: WildcardLength[] = []
  private readonly prefixes: WildcardLength[] = []
  private fallback: HostEntry | null = null
  private usesRandom = false
  private readonly names = new Set<string>()
  /** Counters that go with the table. */
  private readonly released: readonly VirtualClusterStats[]

  private constructor(model: RouteTable, released: readonly VirtualClusterStats[]) {
    this.model = model
    this.released = released
  }

  /** `entries`: of the model's virtual hosts, in their order. */
  static *of(model: RouteTable, entries: readonly HostEntry[], released: readonly VirtualClusterStats[]): Steps<CompiledRouteTable> {
    const table = new CompiledRouteTable(model, released)
    for (const entry of entries) yield* table.add(entry)
    for (const mirror of model.mirrors) if (mirror.cluster !== '') table.names.add(mirror.cluster)
    table.suffixes.sort((a, b) => b.length - a.length)
    table.prefixes.sort((a, b) => b.length - a.length)
    return table
  }

  /** Every cluster that some route, split or mirror names. */
  get clusterNames(): ReadonlySet<string> {
    return this.names
  }

  private *add(entry: HostEntry): Steps<void> {
    const host = entry.model
    for (const domain of host.domains) this.addDomain(asciiLower(toByteString(domain)), entry)
    for (const route of host.routes) {
      if (route.match.runtimeFraction !== null) this.usesRandom = true
      collectClusters(route, this.names)
      yield
    }
    for (const mirror of host.mirrors) if (mirror.cluster !== '') this.names.add(mirror.cluster)
    yield
  }

  private addDomain(domain: string, entry: HostEntry): void {
    if (domain === '*') this.fallback ??= entry
    else if (domain.startsWith('*')) addWildcard(this.suffixes, domain.slice(1), entry)
    else if (domain.endsWith('*')) addWildcard(this.prefixes, domain.slice(0, -1), entry)
    else if (!this.exact.has(domain)) this.exact.set(domain, entry)
  }

  /** No new request uses the table: its counters go, unless another version of it took them over first. */
  release(): void {
    for (const stats of this.released) stats.release()
  }

  /** HOT. `random` is called at most once, for runtime fractions: all routes see the same number, as in Envoy. */
  match(head: RequestHead, info: StreamInfo, random: () => number, trace: RouteTrace | null = null): RouteMatchResult {
    const entry = this.findHost(head.authority)
    if (entry === null) return NO_VIRTUAL_HOST
    if (entry.tlsRedirect !== null && needsTls(entry.model, head)) return entry.tlsRedirect
    let path = pathOnly(head.path)
    if (this.model.ignorePathParametersInPathMatching) path = withoutPathParameters(path)
    const roll = this.usesRandom ? random() : 0
    const { routes, index, matcher } = entry
    if (matcher !== null) {
      for (const at of matcher(head) ?? NO_PLACES) {
        const missed = routes[at]!.match.missed(head, path, info, roll)
        if (missed === null) return entry.results[at]!
        if (trace !== null) trace.passedOver(routes[at]!, missed)
      }
      return entry.noRoute
    }
    if (index !== null && trace === null) {
      const found = index.find(head, path, info, roll)
      return found === -1 ? entry.noRoute : entry.results[found]!
    }
    for (let i = 0; i < routes.length; i++) {
      const missed = routes[i]!.match.missed(head, path, info, roll)
      if (missed === null) return entry.results[i]!
      if (trace !== null) trace.passedOver(routes[i]!, missed)
    }
    return entry.noRoute
  }

  /** As Envoy: the host as sent, folded to lower case; its port counts unless `ignore_port_in_host_matching` is set. */
  private findHost(authority: string): HostEntry | null {
    if (this.fallback !== null && this.exact.size === 0 && this.suffixes.length === 0 && this.prefixes.length === 0) return this.fallback
    const host = asciiLower(authority)
    if (!this.model.ignorePortInHostMatching) return this.lookUp(host)
    const colon = portSeparator(host)
    return this.lookUp(colon === -1 ? host : host.slice(0, colon))
  }

  private lookUp(host: string): HostEntry | null {
    const exact = this.exact.get(host)
    if (exact !== undefined) return exact
    for (const { length, hosts } of this.suffixes) {
      // `*` stands for at least one character.
      if (length >= host.length) continue
      const entry = hosts.get(host.slice(host.length - length))
      if (entry !== undefined) return entry
    }
    for (const { length, hosts } of this.prefixes) {
      if (length >= host.length) continue
      const entry = hosts.get(host.slice(0, length))
      if (entry !== undefined) return entry
    }
    return this.fallback
  }
}

export function compileRouteTable(model: RouteTable, options: RouteTableOptions): CompiledRouteTable {
  return finish(compileRouteTableInSteps(model, options))
}

/** The same with pauses, a route at a time. */
export function* compileRouteTableInSteps(model: RouteTable, options: RouteTableOptions): Steps<CompiledRouteTable> {
  const released: VirtualClusterStats[] = []
  const entries: HostEntry[] = []
  for (const host of model.virtualHosts) entries.push(yield* compileVirtualHost(host, model, options, released))
  return yield* CompiledRouteTable.of(model, entries, released)
}

function addWildcard(lengths: WildcardLength[], text: string, entry: HostEntry): void {
  let known = lengths.find(item => item.length === text.length)
  if (known === undefined) {
    known = { length: text.length, hosts: new Map() }
    lengths.push(known)
  }
  if (!known.hosts.has(text)) known.hosts.set(text, entry)
}

function* compileVirtualHost(
  model: VirtualHost,
  table: RouteTable,
  { runtime, stats = null }: { readonly runtime: Runtime; readonly stats?: StatSource | null },
  released: VirtualClusterStats[],
): Steps<HostEntry> {
  const wins = table.mostSpecificHeaderMutationsWins
  const virtualClusters = compileVirtualClusters(model, stats, released)
  const host: CompiledVirtualHost = {
    name: model.name,
    includeAttemptCount: model.includeRequestAttemptCount,
    includeAttemptCountInResponse: model.includeAttemptCountInResponse,
    model,
    table,
    rateLimits: model.rateLimits,
    overrides: model.overrides.size === 0 ? table.overrides : new Map([...table.overrides, ...model.overrides]),
    retry: model.retry === null ? null : new CompiledRetryPolicy(model.retry),
    requestMutators: inOrder(
      compileRequestMutations(model.mutations),
      inOrder(compileRequestMutations(table.mutations), NO_MUTATORS, wins),
      wins,
    ),
    responseMutators: inOrder(
      compileResponseMutations(model.mutations),
      inOrder(compileResponseMutations(table.mutations), NO_MUTATORS, wins),
      wins,
    ),
    virtualClusters,
    virtualClusterOf:
      virtualClusters.length === 0
        ? noVirtualCluster
        : (head, info) => virtualClusters.find(({ test }) => test === null || test(head, info)) ?? null,
  }
  const routes: CompiledRoute[] = []
  const index = model.routes.length < INDEXED_FROM || model.matcher !== undefined ? null : new RouteIndex()
  for (const each of model.routes) {
    const route = new CompiledRoute(each, host, runtime, stats)
    if (route.stats !== null) released.push(route.stats)
    routes.push(route)
    index?.add(route)
    yield
  }
  // Its answer takes no response headers of any level, as in Envoy.
  const tlsRedirect =
    model.requireTls === 'NONE' ? null : new TlsRedirectRoute(tlsRedirectRoute(), { ...host, responseMutators: NO_MUTATORS }, runtime)
  return {
    model,
    routes,
    index,
    matcher: model.matcher === undefined ? null : compileMatchTree(model.matcher, HEADER_READER),
    results: routes.map(route => ({ kind: 'route', route })),
    noRoute: { kind: 'no-route', virtualHost: model.name },
    tlsRedirect: tlsRedirect === null ? null : { kind: 'route', route: tlsRedirect },
  }
}

/** Its inputs are request headers: what else there is is refused before. */
const HEADER_READER: SubjectReader<RequestHead> = {
  input(input) {
    const read = requestHeaderReader(input.kind === 'requestHeader' ? input.name : '')
    return head => read(head) ?? null
  },
  test: () => () => false,
}

const noVirtualCluster = (): null => null

/** Those of the config, and `other` for what they do not match. */
function compileVirtualClusters(
  model: VirtualHost,
  stats: StatSource | null,
  released: VirtualClusterStats[],
): readonly CompiledVirtualCluster[] {
  if (model.virtualClusters.length === 0) return NO_VIRTUAL_CLUSTERS
  const counted = (name: string) => {
    if (stats === null) return null
    const made = new VirtualClusterStats(stats, model.name, 'vcluster', name)
    released.push(made)
    return made
  }
  return [
    ...model.virtualClusters.map(({ name, headers }) => ({ name, test: compileHeaderMatchers(headers), stats: counted(name) })),
    { name: '', test: null, stats: counted('other') },
  ]
}

class TlsRedirectRoute extends CompiledRoute {
  override answer(exchange: AnswerTarget): void {
    answerTlsRedirect(exchange)
  }
}

/** require_tls answers with a route of its own: the same address over https. */
function tlsRedirectRoute(): Route {
  const none = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] }
  return {
    name: '',
    match: { ...NO_CONDITIONS, path: { kind: 'prefix', value: '/', caseSensitive: true } },
    action: {
      kind: 'redirect',
      httpsRedirect: true,
      schemeRedirect: '',
      hostRedirect: '',
      portRedirect: 0,
      pathRedirect: '',
      prefixRewrite: '',
      regexRewrite: null,
      pathFormat: '',
      status: 301,
      stripQuery: false,
    },
    mutations: none,
    metadata: new Map(),
    overrides: new Map(),
    statPrefix: '',
  }
}

/** x-forwarded-proto says how the client came to the first proxy; EXTERNAL_ONLY spares requests from within the mesh. */
function needsTls(host: VirtualHost, head: RequestHead): boolean {
  const protocol = head.headers.get('x-forwarded-proto') ?? head.scheme
  if (protocol === 'https') return false
  return host.requireTls === 'ALL' || head.headers.get('x-envoy-internal') !== 'true'
}

function collectClusters(route: Route, names: Set<string>): void {
  const { action } = route
  if (action.kind !== 'forward') return
  if (action.cluster.kind === 'cluster') names.add(action.cluster.name)
  if (action.cluster.kind === 'weighted') for (const cluster of action.cluster.clusters) if (cluster.name !== '') names.add(cluster.name)
  for (const mirror of action.mirrors) if (mirror.cluster !== '') names.add(mirror.cluster)
}
