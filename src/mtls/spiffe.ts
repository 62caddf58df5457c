// SPIFFE ids: strict syntax, and the forms that Consul gives them.
// Called by the CA (what it signs), by peer verification in the sidecar (who the peer is) and by the control plane (whom to
// expect). Depends on nothing. Invariant: an id has exactly one spelling, so ids are compared as strings; what could be spelt
// in two ways (upper case, dot segments, percent signs, a trailing slash) is refused with a code of its own.
// Source: the SPIFFE-ID specification, sections 2.1-2.4.

/** Longest id accepted, in bytes (SPIFFE-ID section 2.4). */
export const MAX_SPIFFE_ID_BYTES = 2048
/** Longest trust domain accepted, in bytes (SPIFFE-ID section 2.4). */
export const MAX_TRUST_DOMAIN_BYTES = 255

export type SpiffeErrorCode =
  | 'empty'
  | 'too-long'
  | 'scheme'
  | 'trust-domain-missing'
  | 'trust-domain-too-long'
  | 'trust-domain-upper-case'
  | 'trust-domain-character'
  | 'userinfo'
  | 'port'
  | 'query'
  | 'fragment'
  | 'trailing-slash'
  | 'empty-segment'
  | 'dot-segment'
  | 'percent-encoding'
  | 'path-character'

/** Why a text is not a SPIFFE id: `code` for counters and tests, `reason` for people. */
export interface SpiffeError {
  readonly code: SpiffeErrorCode
  readonly reason: string
}

/** A well-formed id. `path` is '' (a trust domain by itself) or starts with '/'; `segments` are its parts. */
export interface SpiffeId {
  readonly uri: string
  readonly trustDomain: string
  readonly path: string
  readonly segments: readonly string[]
}

export type SpiffeResult = { readonly ok: true; readonly id: SpiffeId } | { readonly ok: false; readonly error: SpiffeError }

/** What a Consul-style mesh says with an id. */
export type MeshIdentity =
  | {
      readonly kind: 'service'
      readonly trustDomain: string
      readonly partition: string
      readonly namespace: string
      readonly datacenter: string
      readonly service: string
    }
  | { readonly kind: 'mesh-gateway'; readonly trustDomain: string; readonly partition: string; readonly datacenter: string }
  | {
      readonly kind: 'agent'
      readonly trustDomain: string
      readonly partition: string
      readonly datacenter: string
      readonly agent: string
    }
  | { readonly kind: 'server'; readonly trustDomain: string; readonly datacenter: string }
  | { readonly kind: 'signing'; readonly trustDomain: string }

const PREFIX = 'spiffe://'

function refuse(code: SpiffeErrorCode, reason: string): SpiffeResult {
  return { ok: false, error: { code, reason } }
}

function show(text: string): string {
  const short = text.length > 64 ? `${text.slice(0, 64)}...` : text
  return JSON.stringify(short)
}

function isLowerOrDigit(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
}

function isMark(code: number): boolean {
  return code === 0x2e || code === 0x2d || code === 0x5f // . - _
}

function isUpper(code: number): boolean {
  return code >= 0x41 && code <= 0x5a
}

/** Checks a trust domain by itself: 1-255 bytes of a-z, 0-9, '.', '-', '_'. Returns `undefined` when it is good. */
export function checkTrustDomain(name: string): SpiffeError | undefined {
  if (name === '') return { code: 'trust-domain-missing', reason: 'the trust domain is missing' }
  if (name.includes('@')) return { code: 'userinfo', reason: `the authority ${show(name)} holds user information ("@")` }
  let upper = false
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (isLowerOrDigit(code) || isMark(code)) continue
    if (code === 0x3a) return { code: 'port', reason: `the authority ${show(name)} holds a port (":")` }
    if (code === 0x25) return { code: 'percent-encoding', reason: `the trust domain ${show(name)} is percent-encoded` }
    if (!isUpper(code))
      return { code: 'trust-domain-character', reason: `the trust domain ${show(name)} may hold only a-z, 0-9, ".", "-" and "_"` }
    upper = true
  }
  if (upper) return { code: 'trust-domain-upper-case', reason: `the trust domain ${show(name)} must be lower case` }
  if (name.length > MAX_TRUST_DOMAIN_BYTES) {
    return {
      code: 'trust-domain-too-long',
      reason: `the trust domain is ${name.length} bytes long, the limit is ${MAX_TRUST_DOMAIN_BYTES}`,
    }
  }
  return undefined
}

/**
 * Checks one path segment: not empty, not "." or "..", only a-z, A-Z, 0-9, '.', '-', '_'. Returns `undefined` when it is good.
 * The control plane uses it to tell an operator at registration that a service name can't be an identity.
 */
export function checkPathSegment(segment: string): SpiffeError | undefined {
  if (segment === '') return { code: 'empty-segment', reason: 'the path holds an empty segment' }
  if (segment === '.' || segment === '..') return { code: 'dot-segment', reason: `the path holds the segment "${segment}"` }
  for (let i = 0; i < segment.length; i++) {
    const code = segment.charCodeAt(i)
    if (isLowerOrDigit(code) || isUpper(code) || isMark(code)) continue
    if (code === 0x25) return { code: 'percent-encoding', reason: `the path segment ${show(segment)} is percent-encoded` }
    return { code: 'path-character', reason: `the path segment ${show(segment)} may hold only letters, digits, ".", "-" and "_"` }
  }
  return undefined
}

/** Parses and checks an id. The first rule broken is the one reported. */
export function parseSpiffeId(uri: string): SpiffeResult {
  if (uri === '') return refuse('empty', 'the id is empty')
  // Characters outside ASCII are refused below, so the length in UTF-16 units is the length in bytes for everything accepted.
  if (uri.length > MAX_SPIFFE_ID_BYTES) return refuse('too-long', `the id is ${uri.length} bytes long, the limit is ${MAX_SPIFFE_ID_BYTES}`)
  if (!uri.startsWith(PREFIX)) return refuse('scheme', `the id ${show(uri)} does not start with "${PREFIX}"`)
  const query = uri.indexOf('?')
  const fragment = uri.indexOf('#')
  if (query !== -1 && (fragment === -1 || query < fragment)) return refuse('query', `the id ${show(uri)} holds a query ("?")`)
  if (fragment !== -1) return refuse('fragment', `the id ${show(uri)} holds a fragment ("#")`)
  const slash = uri.indexOf('/', PREFIX.length)
  const trustDomain = slash === -1 ? uri.slice(PREFIX.length) : uri.slice(PREFIX.length, slash)
  const domainError = checkTrustDomain(trustDomain)
  if (domainError !== undefined) return { ok: false, error: domainError }
  if (slash === -1) return { ok: true, id: { uri, trustDomain, path: '', segments: [] } }
  const path = uri.slice(slash)
  if (path.charCodeAt(path.length - 1) === 0x2f) return refuse('trailing-slash', `the id ${show(uri)} ends with "/"`)
  const segments = path.slice(1).split('/')
  for (const segment of segments) {
    const error = checkPathSegment(segment)
    if (error !== undefined) return { ok: false, error }
  }
  return { ok: true, id: { uri, trustDomain, path, segments } }
}

/**
 * Reads a parsed id as one of Consul's forms; `undefined` when it has none of them (such an id is still a valid SPIFFE id).
 * A partition that is not written is `default`.
 */
export function meshIdentityOf(id: SpiffeId): MeshIdentity | undefined {
  const { trustDomain, segments } = id
  if (segments.length === 0) return { kind: 'signing', trustDomain }
  let at = 0
  let partition = 'default'
  const written = segments[0] === 'ap'
  if (written) {
    if (segments.length < 3) return undefined
    partition = segments[1]!
    at = 2
  }
  const rest = segments.length - at
  const first = segments[at]
  if (first === 'ns' && rest === 6 && segments[at + 2] === 'dc' && segments[at + 4] === 'svc') {
    return {
      kind: 'service',
      trustDomain,
      partition,
      namespace: segments[at + 1]!,
      datacenter: segments[at + 3]!,
      service: segments[at + 5]!,
    }
  }
  if (first === 'gateway' && rest === 4 && segments[at + 1] === 'mesh' && segments[at + 2] === 'dc') {
    return { kind: 'mesh-gateway', trustDomain, partition, datacenter: segments[at + 3]! }
  }
  if (first !== 'agent') return undefined
  if (rest === 6 && segments[at + 1] === 'client' && segments[at + 2] === 'dc' && segments[at + 4] === 'id') {
    return { kind: 'agent', trustDomain, partition, datacenter: segments[at + 3]!, agent: segments[at + 5]! }
  }
  if (!written && rest === 4 && segments[1] === 'server' && segments[2] === 'dc') {
    return { kind: 'server', trustDomain, datacenter: segments[3]! }
  }
  return undefined
}

function partitionPart(partition: string | undefined): string {
  return partition === undefined || partition === '' || partition === 'default' ? '' : `/ap/${partition}`
}

/** Writes an identity in Consul's form. It does not check its parts: `parseSpiffeId` of the result does. */
export function formatMeshIdentity(identity: MeshIdentity): string {
  const { trustDomain } = identity
  switch (identity.kind) {
    case 'service':
      return `${PREFIX}${trustDomain}${partitionPart(identity.partition)}/ns/${identity.namespace}/dc/${identity.datacenter}/svc/${identity.service}`
    case 'mesh-gateway':
      return `${PREFIX}${trustDomain}${partitionPart(identity.partition)}/gateway/mesh/dc/${identity.datacenter}`
    case 'agent':
      return `${PREFIX}${trustDomain}${partitionPart(identity.partition)}/agent/client/dc/${identity.datacenter}/id/${identity.agent}`
    case 'server':
      return `${PREFIX}${trustDomain}/agent/server/dc/${identity.datacenter}`
    case 'signing':
      return PREFIX + trustDomain
    default: {
      const never: never = identity
      return never
    }
  }
}

/** The id of a service; `namespace` and `partition` are `default` unless given. */
export function serviceSpiffeId(service: {
  readonly trustDomain: string
  readonly namespace?: string
  readonly partition?: string
  readonly datacenter: string
  readonly service: string
}): string {
  return formatMeshIdentity({
    kind: 'service',
    trustDomain: service.trustDomain,
    partition: service.partition || 'default',
    namespace: service.namespace || 'default',
    datacenter: service.datacenter,
    service: service.service,
  })
}
