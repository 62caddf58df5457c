// Rules that several kinds share: names, Meta, tenancy, HTTP path and header matches, header modifiers, RE2 syntax.
// Used by the `rules-*.ts` files; each function reports every problem it sees through `report`, none throws.
import { RE2JS } from 're2js'
import type { EntryCommon, FailoverPolicy, HeaderMatch, HeaderModifiers } from './types.js'

/** Called once per problem; `path` is in Consul's spelling. */
export type Report = (path: string, reason: string) => void

/** Consul's limits of Meta (agent/structs: metaMaxKeyPairs, metaKeyMaxLength, metaValueMaxLength). */
const META_MAX_PAIRS = 64
const META_MAX_KEY_LENGTH = 128
const META_MAX_VALUE_LENGTH = 512
const MAX_NAME_LENGTH = 255

const HTTP_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE'])

/** Conditions on which a request is sent again. */
export const RETRY_ON: ReadonlySet<string> = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
])

export function failoverPolicyRules(path: string, policy: FailoverPolicy | undefined, report: Report) {
  if (policy?.Regions !== undefined && policy.Mode !== 'order-by-locality') report(`${path}.Regions`, 'needs Mode "order-by-locality"')
}

export function commonRules(entry: EntryCommon, report: Report, options: { wildcard?: boolean } = {}) {
  nameRules('Name', entry.Name, report, options)
  const pairs = Object.entries(entry.Meta ?? {})
  if (pairs.length > META_MAX_PAIRS) report('Meta', `has ${pairs.length} pairs, more than ${META_MAX_PAIRS}`)
  for (const [key, value] of pairs) {
    if (key === '') report('Meta', 'has an empty key')
    if (key.length > META_MAX_KEY_LENGTH) report('Meta', `has a key longer than ${META_MAX_KEY_LENGTH} characters`)
    if (value.length > META_MAX_VALUE_LENGTH) report(`Meta.${key}`, `is longer than ${META_MAX_VALUE_LENGTH} characters`)
  }
}

/** A service name ends up in SPIFFE ids, cluster names and stats: a slash or a control character would make it mean something else there. */
export function nameRules(path: string, name: string | undefined, report: Report, options: { wildcard?: boolean } = {}) {
  if (name === undefined || name === '') return report(path, 'is required')
  if (name === '*') return options.wildcard ? undefined : report(path, 'the wildcard "*" is not allowed here')
  if (name.includes('*')) return report(path, 'the wildcard "*" must be the whole name')
  serviceNameRules(path, name, report)
}

/** For names that may be absent. */
export function serviceNameRules(path: string, name: string | undefined, report: Report) {
  if (name === undefined) return
  if (name.length > MAX_NAME_LENGTH) report(path, `is longer than ${MAX_NAME_LENGTH} characters`)
  if (/[\u0000-\u0020\u007f/\\?#]/.test(name)) report(path, 'contains a space, a control character or one of / \\ ? #')
}

export function regexRules(path: string, regex: string | undefined, report: Report) {
  if (regex === undefined) return
  try {
    RE2JS.compile(regex)
  } catch (error) {
    report(path, `is not an RE2 expression: ${error instanceof Error ? error.message : String(error)}`)
  }
}

interface PathMatch {
  readonly PathExact?: string
  readonly PathPrefix?: string
  readonly PathRegex?: string
}

export function pathRules(prefix: string, match: PathMatch, report: Report) {
  const given = [match.PathExact, match.PathPrefix, match.PathRegex].filter(value => value !== undefined).length
  if (given > 1) report(prefix, 'has more than one of PathExact, PathPrefix and PathRegex')
  for (const field of ['PathExact', 'PathPrefix'] as const) {
    const value = match[field]
    if (value !== undefined && !value.startsWith('/')) report(`${prefix}.${field}`, `does not start with "/": ${JSON.stringify(value)}`)
  }
  regexRules(`${prefix}.PathRegex`, match.PathRegex, report)
}

export function headerMatchRules(prefix: string, headers: readonly HeaderMatch[] | undefined, report: Report) {
  for (const [i, header] of (headers ?? []).entries()) {
    const path = `${prefix}[${i}]`
    if (header.Name === undefined) report(`${path}.Name`, 'is required')
    const matchers = [header.Present, header.Exact, header.Prefix, header.Suffix, header.Contains, header.Regex]
    if (matchers.filter(value => value !== undefined).length !== 1) {
      report(path, 'needs exactly one of Present, Exact, Prefix, Suffix, Contains and Regex')
    }
    if (header.IgnoreCase && (header.Present !== undefined || header.Regex !== undefined)) {
      report(`${path}.IgnoreCase`, 'applies only to Exact, Prefix, Suffix and Contains')
    }
    regexRules(`${path}.Regex`, header.Regex, report)
  }
}

/** Upper-cases `methods` as Consul does, then checks them. */
export function methodRules(path: string, methods: readonly string[] | undefined, report: Report): string[] | undefined {
  if (methods === undefined) return undefined
  const upper = methods.map(method => method.toUpperCase())
  for (const method of upper) if (!HTTP_METHODS.has(method)) report(path, `has an invalid method ${JSON.stringify(method)}`)
  for (const method of new Set(upper)) if (upper.filter(m => m === method).length > 1) report(path, `has ${method} more than once`)
  return upper
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Envoy refuses these names and values too; here the entry is named. */
export function headerModifierRules(prefix: string, modifiers: HeaderModifiers | undefined, report: Report) {
  for (const field of ['Add', 'Set'] as const) {
    for (const [name, value] of Object.entries(modifiers?.[field] ?? {})) {
      if (!HEADER_NAME.test(name)) report(`${prefix}.${field}`, `${JSON.stringify(name)} is not a header name`)
      if (/[\0\r\n]/.test(value)) report(`${prefix}.${field}.${name}`, 'has a line break or NUL in its value')
    }
  }
  for (const [i, name] of (modifiers?.Remove ?? []).entries()) {
    if (!HEADER_NAME.test(name)) report(`${prefix}.Remove[${i}]`, `${JSON.stringify(name)} is not a header name`)
    else if (name.toLowerCase() === 'host') report(`${prefix}.Remove[${i}]`, 'the host header cannot be removed')
  }
}
