// Small conversions shared by every decoder: durations, percentages, enum names, metadata, plain JSON, regexes, header options.
// Called by the files of this folder only. Invariant: nothing here throws on network data.

import type { DescEnum } from '@bufbuild/protobuf'
import type { Any, Duration } from '@bufbuild/protobuf/wkt'
import { RE2JS } from 're2js'
import type { HeaderOption } from '../../model/header-option.js'
import type { RegexRewrite, RuntimeFlag, RuntimeFraction } from '../../model/matcher.js'
import type { JsonObject, JsonValue, Metadata } from '../../model/metadata.js'
import type { HeaderValueOption, RuntimeFeatureFlag, RuntimeFractionalPercent } from '../gen/envoy/config/core/v3/base_pb.js'
import { HeaderValueOption_HeaderAppendAction } from '../gen/envoy/config/core/v3/base_pb.js'
import type { RegexMatchAndSubstitute } from '../gen/envoy/type/matcher/v3/regex_pb.js'
import type { FractionalPercent } from '../gen/envoy/type/v3/percent_pb.js'
import { FractionalPercent_DenominatorType } from '../gen/envoy/type/v3/percent_pb.js'
import type { Ctx } from './field-path.js'
import { checkFormat, modernFormat } from './format-string.js'

/** Milliseconds of a Duration (fractions kept); range and sign are checked by message-check. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6
}

export function durationMsOr<D>(duration: Duration | undefined, fallback: D): number | D {
  return duration === undefined ? fallback : durationMs(duration)
}

/** The proto name of an enum value, e.g. `V4_ONLY`; unknown numbers have been refused by message-check. */
export function enumName(desc: DescEnum, value: number): string {
  return desc.value[value]?.name ?? String(value)
}

/** A Struct's JSON with null-prototype objects: its keys come from the network. */
export function plainJson(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(plainJson)
  if (typeof value === 'object' && value !== null) return plainObject(value)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  return null
}

export function plainObject(value: object): JsonObject {
  const out: Record<string, JsonValue> = Object.create(null)
  for (const [key, item] of Object.entries(value)) out[key] = plainJson(item)
  return out
}

export const EMPTY_METADATA: Metadata = new Map()

export function decodeMetadata(
  metadata: { filterMetadata: { [key: string]: object }; typedFilterMetadata: { [key: string]: Any } } | undefined,
): Metadata {
  if (metadata === undefined) return EMPTY_METADATA
  return new Map(Object.entries(metadata.filterMetadata).map(([key, value]) => [key, plainObject(value)]))
}

const DENOMINATORS: Record<FractionalPercent_DenominatorType, number> = {
  [FractionalPercent_DenominatorType.HUNDRED]: 100,
  [FractionalPercent_DenominatorType.TEN_THOUSAND]: 10_000,
  [FractionalPercent_DenominatorType.MILLION]: 1_000_000,
}

export function decodeFraction(percent: FractionalPercent | undefined, runtimeKey = '', fallback = 100): RuntimeFraction {
  if (percent === undefined) return { numerator: fallback, denominator: 100, runtimeKey }
  return { numerator: percent.numerator, denominator: DENOMINATORS[percent.denominator] ?? 100, runtimeKey }
}

/** Envoy's default is on, where the place does not say otherwise. */
export function decodeRuntimeFlag(flag: RuntimeFeatureFlag | undefined, fallback = true): RuntimeFlag {
  return { defaultValue: flag?.defaultValue ?? fallback, runtimeKey: flag?.runtimeKey ?? '' }
}

export function decodeRuntimeFraction(value: RuntimeFractionalPercent): RuntimeFraction {
  return decodeFraction(value.defaultValue, value.runtimeKey)
}

/** Patterns RE2 surely takes: Consul's identity regexes and plain literals; saves compiling 10,000 of them at decode. */
const SURELY_VALID_REGEX = /^\^?(?:[A-Za-z0-9_/:,;=~@%! -]|\\[.\-/+]|\.|\[\^\/\]\+)*\$?$/

/** Groups of patterns that RE2 has taken: a control plane sends the same few in every listener. */
const knownGroups = new Map<string, number>()
const MAX_KNOWN_PATTERNS = 1_000

/** Throws RE2's reason. */
function groupsIn(pattern: string): number {
  let groups = knownGroups.get(pattern)
  if (groups === undefined) {
    groups = RE2JS.compile(pattern).groupCount()
    if (knownGroups.size >= MAX_KNOWN_PATTERNS) knownGroups.clear()
    knownGroups.set(pattern, groups)
  }
  return groups
}

/** Records an error and returns false when RE2 would not compile `pattern`. */
export function checkRegex(pattern: string, ctx: Ctx): boolean {
  if (pattern === '') return true // the constraint min_len has reported it where Envoy has one
  if (SURELY_VALID_REGEX.test(pattern)) return true
  try {
    groupsIn(pattern)
    return true
  } catch (error) {
    ctx.error(`invalid regex '${pattern}': ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

export function decodeRegexRewrite(rewrite: RegexMatchAndSubstitute, ctx: Ctx): RegexRewrite {
  const pattern = rewrite.pattern?.regex ?? ''
  if (checkRegex(pattern, ctx.at('pattern').at('regex')) && pattern !== '') {
    const groups = groupsIn(pattern)
    for (const match of rewrite.substitution.matchAll(/\\(.?)/gs)) {
      const escaped = match[1]!
      if (escaped === '\\') continue
      if (!/\d/.test(escaped)) ctx.at('substitution').error("a '\\' must be followed by a digit or another '\\'")
      else if (Number(escaped) > groups) ctx.at('substitution').error(`group \\${escaped} does not exist: the pattern has ${groups}`)
    }
  }
  return { pattern, substitution: rewrite.substitution }
}

const APPEND_ACTIONS: Record<HeaderValueOption_HeaderAppendAction, HeaderOption['action']> = {
  [HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD]: 'APPEND_IF_EXISTS_OR_ADD',
  [HeaderValueOption_HeaderAppendAction.ADD_IF_ABSENT]: 'ADD_IF_ABSENT',
  [HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD]: 'OVERWRITE_IF_EXISTS_OR_ADD',
  [HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS]: 'OVERWRITE_IF_EXISTS',
}

/** `commands`: those that formatter extensions add. */
export function decodeHeaderOption(option: HeaderValueOption, ctx: Ctx, commands?: ReadonlySet<string>): HeaderOption {
  const key = option.header?.key ?? ''
  const raw = option.header?.rawValue
  const value = modernFormat(raw !== undefined && raw.length > 0 ? Buffer.from(raw).toString('latin1') : (option.header?.value ?? ''))
  if (raw !== undefined && raw.length > 0 && (option.header?.value ?? '') !== '') {
    ctx.at('header').error('only one of value and raw_value may be set')
  }
  const name = key.toLowerCase()
  if (key !== '' && !isHeaderName(name)) ctx.at('header').at('key').error(`'${key}' is not a valid header name`)
  if (name.startsWith(':') || name === 'host') ctx.at('header').at('key').error(':-prefixed or host headers may not be modified')
  checkFormat(value, ctx.at('header').at('value'), commands)
  let action = APPEND_ACTIONS[option.appendAction] ?? 'APPEND_IF_EXISTS_OR_ADD'
  if (option.append !== undefined) {
    if (option.appendAction !== HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD) {
      ctx.at('append').error('append and append_action may not both be set')
    }
    action = option.append ? 'APPEND_IF_EXISTS_OR_ADD' : 'OVERWRITE_IF_EXISTS_OR_ADD'
  }
  return { name, value, action, keepEmptyValue: option.keepEmptyValue }
}

export function decodeHeaderOptions(options: readonly HeaderValueOption[], ctx: Ctx, field: string): HeaderOption[] {
  return options.map((option, i) => decodeHeaderOption(option, ctx.at(field, i)))
}

/** Names to remove: lower case; pseudo-headers and host may not be removed. */
export function decodeRemovals(names: readonly string[], ctx: Ctx, field: string): string[] {
  return names.map((raw, i) => {
    const name = raw.toLowerCase()
    if (name.startsWith(':') || name === 'host') ctx.at(field, i).error(':-prefixed or host headers may not be removed')
    else if (name !== '' && !isHeaderName(name)) ctx.at(field, i).error(`'${raw}' is not a valid header name`)
    return name
  })
}

/** RFC 9110 token, with the leading colon of a pseudo-header allowed. */
export function isHeaderName(name: string): boolean {
  return /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)
}

/** In lower case, and no pseudo-header; '' is none. */
export function decodeHeaderName(name: string, ctx: Ctx): string {
  if (name !== '' && (!isHeaderName(name) || name.startsWith(':'))) ctx.error(`'${name}' is not a valid header name`)
  return name.toLowerCase()
}
