// Intentions for one destination to the RBAC that enforces them, as Consul sends it.
// Called by the snapshot for each sidecar's public listener; `rbac-proto.ts` turns the result into Envoy's message.
//
// Envoy's RBAC is a set of policies of one action, without order; intentions are an ordered list. So precedence is compiled away:
// from each source the overlapping sources above it are subtracted (`not`), from each permission the permissions before it; then what
// only says the default again is left out. Invariant: for every request the result decides as `decide` does.
// Consul's differs on purpose: under default allow a JWT requirement still denies (there it is dropped with its intention), and a peer's HTTP
// callers are known by their own certificates, not by what a gateway says of them in a header.
import type { HeaderMatcher, StringMatcher } from '../../model/matcher.js'
import type { RbacPermission, RbacPolicy, RbacPrincipal } from '../../model/rbac.js'
import type { ConfigEntryIndex, HeaderMatch, IntentionAction, IntentionPermission, JwtRequirement } from '../config-entries/types.js'
import { sortIntentions, withoutShadowed } from './match.js'
import { type ServicePattern, serviceSpiffePattern } from './spiffe-pattern.js'
import type { CompiledIntentions, Intention } from './types.js'

/** A peer's trust bundle facts; sources of an unknown peer match nobody. */
export interface PeerIdentity {
  readonly trustDomain: string
  readonly exportedPartition: string
  /** An anchored regex of the ids of its services, where they are not Consul's; `*` of all. */
  readonly idPattern?: (service: string) => string
}

/** Ids that services of our own have besides those that the mesh's CA gives them. */
export interface WorkloadIds {
  of(service: string): string | undefined
  /** The same, and the one that everybody has whom nothing else is said of: who gave it to the service may not know of the other. */
  everyOf(service: string): readonly string[]
  /** Of every service. */
  all(): readonly StringMatcher[]
  /** Every id of the trust domains that give them, also of workloads that are no service. */
  everybody(): readonly StringMatcher[]
}

export interface CompileOptions {
  readonly defaultAction: IntentionAction
  /** The destination speaks http, http2 or grpc. */
  readonly http: boolean
  readonly trustDomain: string
  readonly peers?: ReadonlyMap<string, PeerIdentity>
  readonly workloadIds?: WorkloadIds
  /** JWT provider name → issuer that its tokens must have; a provider without an issuer has none to check. */
  readonly jwtIssuers?: ReadonlyMap<string, string>
}

const L4_POLICY = 'consul-intentions-layer4'
const L7_POLICY = 'consul-intentions-layer7-'
const JWT_POLICY = 'consul-gateway-jwt'
const JWT_FILTER = 'envoy.filters.http.jwt_authn'

export function compileIntentions(intentions: readonly Intention[], options: CompileOptions): CompiledIntentions {
  const ordered = reachable(withoutShadowed(sortIntentions(intentions)))
  const policies: RbacPolicy[] = []
  const layer4: RbacPrincipal[] = []
  let retained = 0
  for (const [i, intention] of ordered.entries()) {
    const permissions = compileIntention(intention, options)
    if (permissions === null) continue
    const index = retained++
    const principal = compilePrincipal(intention, wildcards(intention) === 0 ? [] : ordered.slice(0, i), ordered, options)
    if (principal === null) continue
    if (permissions === 'any') layer4.push(principal)
    else policies.push({ name: `${L7_POLICY}${index}`, principals: [principal], permissions })
  }
  if (layer4.length > 0) policies.unshift({ name: L4_POLICY, principals: layer4, permissions: [{ kind: 'any' }] })
  return { action: options.defaultAction === 'allow' ? 'DENY' : 'ALLOW', policies }
}

/** Names of the JWT providers to issuers, for `CompileOptions.jwtIssuers`. */
export function jwtIssuers(entries: ConfigEntryIndex): Map<string, string> {
  return new Map(entries.list('jwt-provider').flatMap(entry => (entry.Issuer ? [[entry.Name, entry.Issuer] as const] : [])))
}

/**
 * Without the intentions whose every source a wider one above them takes first: `* -> api` (8) stands above `web -> *` (6).
 * Consul subtracts only narrower sources from wider ones and would let the shadowed one speak.
 */
function reachable(ordered: readonly Intention[]): Intention[] {
  const wide: Intention[] = []
  return ordered.filter(intention => {
    if (wide.some(wider => liesWithin(intention, wider))) return false
    if (wildcards(intention) > 0) wide.push(intention)
    return true
  })
}

/** The permissions that an intention adds to the policies: `any`, some, or null when it only says the default again. */
function compileIntention(intention: Intention, options: CompileOptions): readonly RbacPermission[] | 'any' | null {
  const defaultDenies = options.defaultAction === 'deny'
  const needsHttp = !options.http && (intention.permissions !== undefined || intention.jwt !== undefined)
  const action = needsHttp ? 'deny' : intention.action
  if (action === 'deny') return defaultDenies ? null : 'any'
  if (action === 'allow') {
    if (defaultDenies) return 'any'
    return intention.jwt === undefined ? null : [not(jwtPermission(intention.jwt, options))]
  }
  const permissions = compilePermissions(intention, options)
  return permissions.length === 0 ? null : permissions
}

/**
 * The permissions that lead away from the default. Each has the ones before it subtracted, whatever their action: the first that
 * matches decides. A JWT requirement is no part of the match: an allow without its token denies, it does not fall through.
 */
function compilePermissions(intention: Intention, options: CompileOptions): RbacPermission[] {
  const out: RbacPermission[] = []
  const earlier: RbacPermission[] = []
  for (const permission of intention.permissions ?? []) {
    const match = compilePermission(permission)
    const rules = [match, ...earlier.map(not)]
    earlier.push(match)
    if (options.defaultAction === 'deny') {
      if (permission.Action === 'allow') out.push(and([...rules, ...jwtRules([permission.JWT], options)]))
    } else if (permission.Action === 'deny') {
      out.push(and(rules))
    } else {
      const required = jwtRules([permission.JWT, intention.jwt], options)
      if (required.length > 0) out.push(and([...rules, not(and(required))]))
    }
  }
  return out
}

function jwtRules(requirements: readonly (JwtRequirement | undefined)[], options: CompileOptions): RbacPermission[] {
  return requirements.filter(jwt => jwt !== undefined).map(jwt => jwtPermission(jwt, options))
}

/** The intention's source without the sources of `above` that lie within it; null for a source that cannot exist. */
function compilePrincipal(
  intention: Intention,
  above: readonly Intention[],
  all: readonly Intention[],
  options: CompileOptions,
): RbacPrincipal | null {
  // What denies reaches every id that the source may have, what lets in only those that it is known by.
  const denies = options.defaultAction === 'allow'
  const id = sourceIds(intention, options, denies)
  if (id === null) return null
  const inside = above.filter(other => liesWithin(other, intention))
  // `web` needs no `not` of its own where a wildcard that covers it is subtracted as well.
  const wide = inside.filter(other => wildcards(other) > 0)
  const needed = inside.filter(other => !wide.some(wider => liesWithin(other, wider)))
  const others = denies && isEverybody(intention, options) ? all.filter(({ sourcePeer }) => sourcePeer !== undefined) : []
  const excluded = [...needed, ...others].map(other => sourceIds(other, options, !denies)).filter(ids => ids !== null)
  // Also a peer's, over HTTP: gateways pass TLS on untouched, so callers show their own certificates.
  const source = andIds([anyOf(id), ...excluded.map((ids): RbacPrincipal => ({ kind: 'not', id: anyOf(ids) }))])
  const required = [source]
  // Under default allow the token is asked for by the (denying) permissions instead.
  if (intention.jwt !== undefined && options.defaultAction === 'deny') required.push(jwtPrincipal(intention.jwt, options))
  return andIds(required)
}

/** Whoever has one of them is the source; null: nobody can be. `wide`: also those by which nobody is let in. */
function sourceIds(intention: Intention, options: CompileOptions, wide: boolean): readonly StringMatcher[] | null {
  const { source, sourcePeer } = intention
  const names = { namespace: intention.sourceNamespace, service: source }
  const consuls = (pattern: ServicePattern): StringMatcher => ({ kind: 'regex', value: serviceSpiffePattern(pattern) })
  if (sourcePeer === undefined) {
    const own = consuls({ trustDomain: options.trustDomain, partition: intention.sourcePartition, ...names })
    return [own, ...(options.workloadIds === undefined ? [] : idsFromElsewhere(source, options.workloadIds, wide))]
  }
  const peer = options.peers?.get(sourcePeer)
  if (peer === undefined) return null
  if (peer.idPattern !== undefined) return [{ kind: 'regex', value: peer.idPattern(source) }]
  return [consuls({ trustDomain: peer.trustDomain, partition: peer.exportedPartition, ...names })]
}

/** What denies it reaches whole trust domains, of which other intentions may name workloads as a peer's. */
function isEverybody({ source, sourcePeer }: Intention, { workloadIds }: CompileOptions): boolean {
  return source === '*' && sourcePeer === undefined && workloadIds !== undefined && workloadIds.everybody().length > 0
}

function idsFromElsewhere(source: string, ids: WorkloadIds, wide: boolean): readonly StringMatcher[] {
  if (source === '*') return wide ? ids.everybody() : ids.all()
  const known = wide ? ids.everyOf(source) : [ids.of(source)].filter(id => id !== undefined)
  return known.map(value => ({ kind: 'exact', value, ignoreCase: false }))
}

/** Every source that `inner` matches is matched by `outer` too, and `outer` is the wider one. */
function liesWithin(inner: Intention, outer: Intention): boolean {
  return (
    wildcards(inner) < wildcards(outer) &&
    (inner.sourcePeer ?? '') === (outer.sourcePeer ?? '') &&
    inner.sourcePartition === outer.sourcePartition &&
    (outer.sourceNamespace === '*' || outer.sourceNamespace === inner.sourceNamespace)
  )
}

const wildcards = ({ source, sourceNamespace }: Intention) => (sourceNamespace === '*' ? 2 : source === '*' ? 1 : 0)

function compilePermission({ HTTP: http }: IntentionPermission): RbacPermission {
  const rules: RbacPermission[] = []
  if (http?.PathExact !== undefined) rules.push(urlPath('exact', http.PathExact))
  if (http?.PathPrefix !== undefined) rules.push(urlPath('prefix', http.PathPrefix))
  if (http?.PathRegex !== undefined) rules.push({ kind: 'urlPath', matcher: { kind: 'regex', value: http.PathRegex } })
  for (const header of http?.Header ?? []) rules.push({ kind: 'header', header: compileHeader(header) })
  if (http?.Methods !== undefined) {
    // Method names are letters only, so they need no escaping.
    rules.push({ kind: 'header', header: headerMatcher(':method', { kind: 'regex', value: http.Methods.join('|') }) })
  }
  return and(rules)
}

const urlPath = (kind: 'exact' | 'prefix', value: string): RbacPermission => ({
  kind: 'urlPath',
  matcher: { kind, value, ignoreCase: false },
})

function compileHeader(header: HeaderMatch): HeaderMatcher {
  const name = header.Name.toLowerCase()
  const invert = header.Invert ?? false
  const matcher = headerString(header)
  if (matcher === undefined) return { name, match: { kind: 'present', present: true }, invert, treatMissingAsEmpty: false }
  return headerMatcher(name, matcher, invert)
}

function headerString({ Exact, Prefix, Suffix, Contains, Regex, IgnoreCase: ignoreCase = false }: HeaderMatch): StringMatcher | undefined {
  if (Exact !== undefined) return { kind: 'exact', value: Exact, ignoreCase }
  if (Prefix !== undefined) return { kind: 'prefix', value: Prefix, ignoreCase }
  if (Suffix !== undefined) return { kind: 'suffix', value: Suffix, ignoreCase }
  if (Contains !== undefined) return { kind: 'contains', value: Contains, ignoreCase }
  return Regex === undefined ? undefined : { kind: 'regex', value: Regex }
}

const headerMatcher = (name: string, matcher: StringMatcher, invert = false): HeaderMatcher => ({
  name,
  match: { kind: 'string', matcher },
  invert,
  treatMissingAsEmpty: false,
})

function anyOf(matchers: readonly StringMatcher[]): RbacPrincipal {
  const ids = matchers.map((matcher): RbacPrincipal => ({ kind: 'authenticated', matcher }))
  return ids.length === 1 ? ids[0]! : { kind: 'or', ids }
}

function and(rules: readonly RbacPermission[]): RbacPermission {
  if (rules.length === 0) return { kind: 'any' }
  return rules.length === 1 ? rules[0]! : { kind: 'and', rules }
}

const not = (rule: RbacPermission): RbacPermission => ({ kind: 'not', rule })

const andIds = (ids: readonly RbacPrincipal[]): RbacPrincipal => (ids.length === 1 ? ids[0]! : { kind: 'and', ids })

/** What must be in the payloads that the JWT filter left behind, for each provider that would do. */
function jwtMetadata(jwt: JwtRequirement, options: CompileOptions) {
  return jwt.Providers.map(provider => {
    const payload = `jwt_payload_${provider.Name}`
    const at = (path: readonly string[], value: string) => ({
      namespace: JWT_FILTER,
      path: [payload, ...path],
      value: { kind: 'string', matcher: { kind: 'exact', value, ignoreCase: false } } as const,
      invert: false,
    })
    const issuer = options.jwtIssuers?.get(provider.Name)
    const first =
      issuer !== undefined
        ? at(['iss'], issuer)
        : { namespace: JWT_FILTER, path: [payload], value: { kind: 'present', value: true } as const, invert: false }
    return [first, ...(provider.VerifyClaims ?? []).map(claim => at(claim.Path, claim.Value))]
  })
}

/** What a token must hold where no intention decides: at a gateway. */
export function compileJwt(jwt: JwtRequirement, issuers: ReadonlyMap<string, string>): CompiledIntentions {
  const permissions = [jwtPermission(jwt, { defaultAction: 'deny', http: true, trustDomain: '', jwtIssuers: issuers })]
  return { action: 'ALLOW', policies: [{ name: JWT_POLICY, principals: [{ kind: 'any' }], permissions }] }
}

function jwtPermission(jwt: JwtRequirement, options: CompileOptions): RbacPermission {
  const rules = jwtMetadata(jwt, options).map(all => and(all.map((matcher): RbacPermission => ({ kind: 'metadata', matcher }))))
  return rules.length === 1 ? rules[0]! : { kind: 'or', rules }
}

function jwtPrincipal(jwt: JwtRequirement, options: CompileOptions): RbacPrincipal {
  const ids = jwtMetadata(jwt, options).map(all => andIds(all.map((matcher): RbacPrincipal => ({ kind: 'metadata', matcher }))))
  return ids.length === 1 ? ids[0]! : { kind: 'or', ids }
}
