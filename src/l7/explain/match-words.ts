// A route's conditions in words, and which of them a request misses. Called for explanations only. Invariant: whether a condition is met is
// always the compiled matcher's answer (match/route-match.ts), asked once more for one condition alone; here it only gets its name.

import type { HeaderMatcher, QueryParameterMatcher, StringMatcher } from '../../model/matcher.js'
import { NO_CONDITIONS, type PathMatch, type RouteMatch } from '../../model/route-match.js'
import type { RequestHead } from '../codec/codec.js'
import { CompiledRouteMatch, pathOnly, type RouteCondition } from '../match/route-match.js'
import { EMPTY_RUNTIME } from '../match/runtime-fraction.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** Longest value of the config that is repeated. */
const MAX_VALUE = 100

export function describeMatch(match: RouteMatch): string {
  const { runtimeFraction } = match
  return [
    describePath(match.path),
    ...match.headers.map(describeHeader),
    ...match.queryParameters.map(describeQuery),
    ...match.cookies.map(cookie => `cookie ${cookie.name} ${describeString(cookie.matcher, cookie.invert)}`),
    ...(runtimeFraction === null ? [] : [`${(runtimeFraction.numerator * 100) / runtimeFraction.denominator} % of requests`]),
    ...(match.grpc ? ['gRPC'] : []),
    ...(match.tlsContext === null ? [] : ['a client certificate']),
    ...match.dynamicMetadata.map(({ namespace, path }) => `metadata ${namespace}:${path.join('.')}`),
  ].join(', ')
}

/** `missed`: what CompiledRouteMatch.missed said of this request. */
export function describeMiss(match: RouteMatch, missed: RouteCondition, head: RequestHead, info: StreamInfo): string {
  const misses = (only: Partial<RouteMatch>): boolean =>
    new CompiledRouteMatch({ ...NO_CONDITIONS, ...only }, EMPTY_RUNTIME).missed(head, pathOnly(head.path), info, 0) !== null
  switch (missed) {
    case 'path':
      return `path: not ${describePath(match.path)}`
    case 'method':
      return 'method: not CONNECT'
    case 'headers': {
      const first = match.headers.find(header => misses({ headers: [header] }))
      return first === undefined ? missed : `${describeHeader(first)}: it is ${shownHeader(head, first.name)}`
    }
    case 'query parameters': {
      const first = match.queryParameters.find(parameter => misses({ queryParameters: [parameter] }))
      return first === undefined ? missed : describeQuery(first)
    }
    case 'cookies': {
      const first = match.cookies.find(cookie => misses({ cookies: [cookie] }))
      return first === undefined ? missed : `cookie ${first.name}`
    }
    case 'runtime fraction':
      return 'runtime fraction: the draw of this explanation fell outside'
    case 'TLS context':
      return 'TLS: no such client certificate'
    default:
      return missed
  }
}

function describePath(path: PathMatch): string {
  if (path.kind === 'connect') return 'CONNECT'
  if (path.kind === 'regex') return `path regex ${shown(path.value)}`
  const kind = path.kind === 'path' ? 'path' : path.kind === 'prefix' ? 'prefix' : 'path-separated prefix'
  return `${kind} ${shown(path.value)}${path.caseSensitive ? '' : ' (any case)'}`
}

function describeHeader({ name, match, invert }: HeaderMatcher): string {
  const what = name === ':method' ? 'method' : name === ':authority' ? 'host' : `header ${name}`
  switch (match.kind) {
    case 'string':
      return `${what} ${describeString(match.matcher, invert)}`
    case 'range':
      return `${what} ${invert ? 'not ' : ''}in [${match.start}, ${match.end})`
    case 'present':
      return `${what} ${match.present !== invert ? 'present' : 'absent'}`
  }
}

function describeQuery(parameter: QueryParameterMatcher): string {
  if ('matcher' in parameter) return `query parameter ${parameter.name} ${describeString(parameter.matcher, false)}`
  return `query parameter ${parameter.name} ${parameter.present ? 'present' : 'absent'}`
}

function describeString(matcher: StringMatcher, invert: boolean): string {
  return `${invert ? 'not ' : ''}${matcher.kind} ${shown(matcher.value)}`
}

/** Its method and host are no secrets; of other headers it is only said whether they are there. */
function shownHeader({ headers, method, authority }: RequestHead, name: string): string {
  if (name === ':method') return method
  if (name === ':authority') return shown(authority)
  return headers.has(name) ? 'another' : 'absent'
}

function shown(text: string): string {
  return JSON.stringify(text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text)
}
