// envoy.config.route.v3.RouteMatch compiled. Called by the route table for each candidate route in order, and by the JWT filter's
// rules. HOT: the path test comes first and allocates nothing; everything else is null where it is not configured.

import type { PathMatch, RouteMatch } from '../../model/route-match.js'
import { asciiLower, toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { cookieValue } from './cookie.js'
import { compileHeaderMatchers } from './header-matcher.js'
import { compileMetadataMatcher } from './metadata-matcher.js'
import { compileQueryParameters } from './query-parameter.js'
import { compileFullMatch } from './regex.js'
import { compileRuntimeFraction, type FractionTest, type Runtime } from './runtime-fraction.js'
import { compileStringMatcher } from './string-matcher.js'

/** The path without query and fragment: what routes and RBAC match on (Envoy PathUtil::removeQueryAndFragment). */
export function pathOnly(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code === 0x3f || code === 0x23) return path.slice(0, i)
  }
  return path
}

/** Without the `;…` of each segment (ignore_path_parameters_in_path_matching; each segment since CVE-2026-73511). */
export function withoutPathParameters(path: string): string {
  return path.includes(';') ? path.replace(/;[^/]*/g, '') : path
}

/** What a route can ask of a request, in the order in which it is looked at. */
export type RouteCondition =
  | 'method'
  | 'path'
  | 'headers'
  | 'query parameters'
  | 'cookies'
  | 'runtime fraction'
  | 'gRPC'
  | 'TLS context'
  | 'dynamic metadata'

interface CookieTest {
  readonly name: string
  readonly test: (value: string) => boolean
  readonly invert: boolean
}

export class CompiledRouteMatch {
  /** True for a path that the matcher knows: the length of it that matched is what prefix_rewrite replaces; -1: no match. */
  readonly matchPath: (path: string) => number
  /** What each path that it matches begins with, byte for byte; null: that is not known of it. */
  readonly literal: string | null
  private readonly connect: boolean
  private readonly headers: ReturnType<typeof compileHeaderMatchers>
  private readonly query: ReturnType<typeof compileQueryParameters>
  private readonly cookies: readonly CookieTest[] | null
  private readonly fraction: FractionTest | null
  private readonly grpc: boolean
  private readonly tlsContext: RouteMatch['tlsContext']
  private readonly metadata: readonly ReturnType<typeof compileMetadataMatcher>[] | null

  constructor(model: RouteMatch, runtime: Runtime) {
    this.matchPath = compilePathMatch(model.path)
    this.literal = literalOf(model.path)
    this.connect = model.path.kind === 'connect'
    this.headers = compileHeaderMatchers(model.headers)
    this.query = compileQueryParameters(model.queryParameters)
    this.cookies =
      model.cookies.length === 0
        ? null
        : model.cookies.map(({ name, matcher, invert }) => ({ name: toByteString(name), test: compileStringMatcher(matcher), invert }))
    this.fraction = compileRuntimeFraction(model.runtimeFraction, runtime)
    this.grpc = model.grpc
    this.tlsContext = model.tlsContext
    this.metadata = model.dynamicMetadata.length === 0 ? null : model.dynamicMetadata.map(matcher => compileMetadataMatcher(matcher))
  }

  matches(head: RequestHead, path: string, info: StreamInfo, random: number): boolean {
    return this.missed(head, path, info, random) === null
  }

  /**
   * The first condition that the request does not meet; null: it matches. `path`: pathOnly(head.path), with path parameters removed where
   * the table says so. `random` is uniform in [0, 1).
   */
  missed(head: RequestHead, path: string, info: StreamInfo, random: number): RouteCondition | null {
    if (this.connect) {
      if (head.method !== 'CONNECT') return 'method'
    } else if (path === '' || this.matchPath(path) === -1) return 'path'
    if (this.headers !== null && !this.headers(head, info)) return 'headers'
    if (this.query !== null && !this.query(head.path)) return 'query parameters'
    if (this.cookies !== null && !this.matchesCookies(head)) return 'cookies'
    if (this.fraction !== null && !this.fraction(random)) return 'runtime fraction'
    if (this.grpc && !isGrpcRequest(head)) return 'gRPC'
    if (this.tlsContext !== null && !this.matchesTls(info)) return 'TLS context'
    if (this.metadata !== null)
      for (const test of this.metadata) if (!test(namespace => info.dynamicMetadata(namespace))) return 'dynamic metadata'
    return null
  }

  /** A cookie that is not there matches nothing, unless inverted. */
  private matchesCookies(head: RequestHead): boolean {
    for (const { name, test, invert } of this.cookies!) {
      const value = cookieValue(head.headers, name)
      if ((value !== undefined && test(value)) === invert) return false
    }
    return true
  }

  /** Without TLS no certificate was presented and none validated. */
  private matchesTls(info: StreamInfo): boolean {
    const { presented, validated } = this.tlsContext!
    const peer = info.connection.tls?.peer ?? null
    if (presented !== null && (peer !== null) !== presented) return false
    return validated === null || (peer?.validated === true) === validated
  }
}

function literalOf(match: PathMatch): string | null {
  if (match.kind === 'connect' || match.kind === 'regex' || !match.caseSensitive) return null
  return toByteString(match.value)
}

function compilePathMatch(match: PathMatch): (path: string) => number {
  if (match.kind === 'connect') return () => 0
  if (match.kind === 'regex') {
    const test = compileFullMatch(match.value)
    return path => (test(path) ? path.length : -1)
  }
  const { caseSensitive } = match
  const wanted = caseSensitive ? toByteString(match.value) : asciiLower(toByteString(match.value))
  const length = wanted.length
  const fold = (path: string) => (caseSensitive ? path : asciiLower(path))
  switch (match.kind) {
    case 'path':
      if (caseSensitive) return path => (path === wanted ? length : -1)
      return path => (path.length === length && asciiLower(path) === wanted ? length : -1)
    case 'prefix':
      if (wanted === '' || wanted === '/') return path => (path.startsWith(wanted) ? length : -1)
      if (caseSensitive) return path => (path.startsWith(wanted) ? length : -1)
      return path => (asciiLower(path).startsWith(wanted) ? length : -1)
    case 'pathSeparatedPrefix':
      return path => {
        if (path.length < length || !fold(path).startsWith(wanted)) return -1
        return path.length === length || path.charCodeAt(length) === 0x2f ? length : -1
      }
  }
}
