// protoc-gen-validate constraints (the `validate.rules` options in Envoy's .proto files), compiled once per field to a function
// that returns what is wrong with a value. Called by message-check.ts. Envoy enforces exactly these on every message it takes.

import type { DescField, DescMessage, Message } from '@bufbuild/protobuf'
import { type Any, type Duration, isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { type FieldRules, KnownRegex, type RepeatedRules, type StringRules } from '../gen/validate/validate_pb.js'

/** What is wrong with the value, or null. */
export type Constraint = (value: unknown) => string | null

/** Options that the shipped .proto files carry as `ignore_empty`, which the generator has to drop: an empty value passes. */
const IGNORE_EMPTY = new Set([
  'envoy.config.core.v3.UpstreamHttpProtocolOptions.override_auto_sni_header',
  'envoy.config.core.v3.AlternateProtocolsCacheOptions.AlternateProtocolsCacheEntry.hostname',
  'envoy.extensions.filters.http.api_key_auth.v3.KeySource.header',
  'envoy.extensions.filters.http.api_key_auth.v3.KeySource.cookie',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.bearer_token',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.oauth_hmac',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.oauth_expires',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.id_token',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.refresh_token',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.oauth_nonce',
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames.code_verifier',
  'envoy.extensions.http.injected_credentials.generic.v3.Generic.header',
])

/** Whether an empty string passes whatever the rule says. */
export function mayBeEmpty(field: DescField): boolean {
  return IGNORE_EMPTY.has(`${field.parent.typeName}.${field.name}`)
}

const HEADER_NAME = /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/
const HEADER_VALUE = /^[^\u0000-\u0008\u000A-\u001F\u007F]*$/
/** Non-strict names and values: anything but NUL, CR and LF. */
const LAX_HEADER_STRING = /^[^\u0000\u000A\u000D]*$/

interface NumberRules {
  readonly const?: number | bigint | undefined
  readonly lt?: number | bigint | undefined
  readonly lte?: number | bigint | undefined
  readonly gt?: number | bigint | undefined
  readonly gte?: number | bigint | undefined
  readonly in: readonly (number | bigint)[]
  readonly notIn: readonly (number | bigint)[]
}

/** proto2 scalars without a value sit on the prototype as defaults: only own properties count as given. */
function own<T extends object, K extends keyof T>(rules: T, key: K): T[K] | undefined {
  return Object.hasOwn(rules, key) ? rules[key] : undefined
}

function numberConstraint(rules: NumberRules): Constraint {
  const equal = own(rules, 'const')
  const lt = own(rules, 'lt')
  const lte = own(rules, 'lte')
  const gt = own(rules, 'gt')
  const gte = own(rules, 'gte')
  return raw => {
    const value = raw as number | bigint
    if (typeof value === 'number' && Number.isNaN(value)) return 'value must be a number'
    if (equal !== undefined && value !== equal) return `value must equal ${equal}`
    // A lower bound above the upper one means "outside this range" in protoc-gen-validate; Envoy has no such rule.
    if (lt !== undefined && !(value < lt)) return `value must be less than ${lt}`
    if (lte !== undefined && !(value <= lte)) return `value must be less than or equal to ${lte}`
    if (gt !== undefined && !(value > gt)) return `value must be greater than ${gt}`
    if (gte !== undefined && !(value >= gte)) return `value must be greater than or equal to ${gte}`
    if (rules.in.length > 0 && !rules.in.includes(value)) return `value must be one of ${rules.in.join(', ')}`
    if (rules.notIn.length > 0 && rules.notIn.includes(value)) return `value must not be one of ${rules.notIn.join(', ')}`
    return null
  }
}

function stringConstraint(rules: StringRules): Constraint {
  const number = (key: 'len' | 'minLen' | 'maxLen' | 'lenBytes' | 'minBytes' | 'maxBytes'): number | undefined => {
    const value = own(rules, key)
    return value === undefined ? undefined : Number(value)
  }
  const minLen = number('minLen')
  const maxLen = number('maxLen')
  const minBytes = number('minBytes')
  const maxBytes = number('maxBytes')
  const equal = own(rules, 'const')
  const prefix = own(rules, 'prefix')
  const suffix = own(rules, 'suffix')
  const contains = own(rules, 'contains')
  const pattern = own(rules, 'pattern')
  const compiled = pattern === undefined ? null : new RegExp(pattern, 'u')
  const wellKnown = rules.wellKnown
  const strict = own(rules, 'strict') ?? true
  return raw => {
    const value = raw as string
    if (equal !== undefined && value !== equal) return `value must equal '${equal}'`
    if (minLen !== undefined && [...value].length < minLen) return `value length must be at least ${minLen} characters`
    if (maxLen !== undefined && [...value].length > maxLen) return `value length must be at most ${maxLen} characters`
    if (minBytes !== undefined && Buffer.byteLength(value) < minBytes) return `value length must be at least ${minBytes} bytes`
    if (maxBytes !== undefined && Buffer.byteLength(value) > maxBytes) return `value length must be at most ${maxBytes} bytes`
    if (prefix !== undefined && !value.startsWith(prefix)) return `value must begin with '${prefix}'`
    if (suffix !== undefined && !value.endsWith(suffix)) return `value must end with '${suffix}'`
    if (contains !== undefined && !value.includes(contains)) return `value must contain '${contains}'`
    if (rules.in.length > 0 && !rules.in.includes(value)) return `value must be one of ${rules.in.join(', ')}`
    if (rules.notIn.length > 0 && rules.notIn.includes(value)) return `value must not be one of ${rules.notIn.join(', ')}`
    if (compiled !== null && !compiled.test(value)) return `value does not match ${pattern}`
    if (wellKnown.case === 'wellKnownRegex') {
      const isName = wellKnown.value === KnownRegex.HTTP_HEADER_NAME
      const regex = strict ? (isName ? HEADER_NAME : HEADER_VALUE) : LAX_HEADER_STRING
      if (!regex.test(value)) return `value is not a valid HTTP header ${isName ? 'name' : 'value'}`
    }
    return null
  }
}

function compareDuration(a: Duration, b: Duration): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1
  return a.nanos - b.nanos
}

const durationText = (d: Duration): string => `${Number(d.seconds) + d.nanos / 1e9}s`

function repeatedConstraint(rules: RepeatedRules): Constraint {
  const min = own(rules, 'minItems')
  const max = own(rules, 'maxItems')
  const unique = own(rules, 'unique') ?? false
  return raw => {
    const value = raw as readonly unknown[]
    if (min !== undefined && value.length < Number(min)) return `value must contain at least ${min} item(s)`
    if (max !== undefined && value.length > Number(max)) return `value must contain no more than ${max} item(s)`
    if (unique && new Set(value.map(item => (typeof item === 'object' ? JSON.stringify(item) : item))).size < value.length) {
      return 'repeated value must contain unique items'
    }
    return null
  }
}

/** The constraint on one value (an element of a list, the value of a map, or the field itself), or null when there is none. */
export function compileConstraint(rules: FieldRules | undefined, field: DescField): Constraint | null {
  if (rules === undefined) return null
  const constraint = constraintOf(rules, field)
  if (constraint === null) return null
  if (mayBeEmpty(field)) return value => (value === '' ? null : constraint(value))
  return constraint
}

function constraintOf(rules: FieldRules, field: DescField): Constraint | null {
  const type = rules.type
  switch (type.case) {
    case 'float':
    case 'double':
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
    case 'sint32':
    case 'sint64':
    case 'fixed32':
    case 'fixed64':
    case 'sfixed32':
    case 'sfixed64':
      return numberConstraint(type.value as NumberRules)
    case 'bool': {
      const equal = own(type.value, 'const')
      return equal === undefined ? null : value => (value === equal ? null : `value must equal ${equal}`)
    }
    case 'string':
      return stringConstraint(type.value)
    case 'bytes': {
      const min = own(type.value, 'minLen')
      const max = own(type.value, 'maxLen')
      return value => {
        const length = (value as Uint8Array).length
        if (min !== undefined && length < Number(min)) return `value length must be at least ${min} bytes`
        if (max !== undefined && length > Number(max)) return `value length must be at most ${max} bytes`
        return null
      }
    }
    case 'enum': {
      const { in: allowed, notIn } = type.value
      const equal = own(type.value, 'const')
      const definedOnly = own(type.value, 'definedOnly') ?? false
      const known = field.enum?.value
      return raw => {
        const value = raw as number
        const name = known?.[value]?.name ?? String(value)
        if (definedOnly && known !== undefined && known[value] === undefined) return `${value} is not a value of ${field.enum?.typeName}`
        if (equal !== undefined && value !== equal) return `value must equal ${equal}`
        if (allowed.length > 0 && !allowed.includes(value)) return `${name} is not allowed here`
        if (notIn.includes(value)) return `${name} is not allowed here`
        return null
      }
    }
    case 'repeated':
      return repeatedConstraint(type.value)
    case 'map': {
      const min = own(type.value, 'minPairs')
      const max = own(type.value, 'maxPairs')
      return value => {
        const size = Object.keys(value as object).length
        if (min !== undefined && size < Number(min)) return `value must contain at least ${min} pair(s)`
        if (max !== undefined && size > Number(max)) return `value must contain no more than ${max} pair(s)`
        return null
      }
    }
    case 'any': {
      const { in: allowed, notIn } = type.value
      return value => {
        const url = (value as Any).typeUrl
        if (allowed.length > 0 && !allowed.includes(url)) return `type ${url} is not allowed here`
        return notIn.includes(url) ? `type ${url} is not allowed here` : null
      }
    }
    case 'duration': {
      const { lt, lte, gt, gte } = type.value
      return raw => {
        const value = raw as Duration
        if (lt !== undefined && compareDuration(value, lt) >= 0) return `value must be less than ${durationText(lt)}`
        if (lte !== undefined && compareDuration(value, lte) > 0) return `value must be at most ${durationText(lte)}`
        if (gt !== undefined && compareDuration(value, gt) <= 0) return `value must be greater than ${durationText(gt)}`
        if (gte !== undefined && compareDuration(value, gte) < 0) return `value must be at least ${durationText(gte)}`
        return null
      }
    }
    default:
      return null
  }
}

/** Whether an absent message field is an error. */
export function isRequired(rules: FieldRules | undefined): boolean {
  if (rules === undefined) return false
  if (rules.message !== undefined && own(rules.message, 'required') === true) return true
  const type = rules.type
  return (type.case === 'duration' || type.case === 'any' || type.case === 'timestamp') && own(type.value, 'required') === true
}

/** What Envoy counts in nanoseconds of 63 bits has to be shorter than this; it refuses longer durations, and negative ones, wherever they stand. */
const DURATION_BOUND_SECONDS = 9_223_372_036n

export function durationProblem(duration: Duration): string | null {
  if (duration.seconds < 0n || duration.nanos < 0) return 'expected a positive duration'
  if (duration.seconds >= DURATION_BOUND_SECONDS || duration.nanos > 999_999_999) return 'duration out of range'
  return null
}

/** Whether the walk enters this type; the well-known types have checks of their own. */
export function isWalked(desc: DescMessage): boolean {
  return !desc.typeName.startsWith('google.protobuf.') && !isWrapperDesc(desc) && !desc.typeName.startsWith('google.api.expr.')
}

export type WalkedMessage = Message & { readonly [field: string]: unknown }
