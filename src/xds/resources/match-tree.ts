// xds.type.matcher.v3.Matcher -> model, for filter chains and RBAC. Called by listener.ts and rbac.ts, which say what an action is and
// which inputs there are at their place. An input, matcher or action that is not known there is refused by name.

import type { MatchInput, MatchPredicate, MatchTree, OnMatch } from '../../model/match-tree.js'
import type { StringMatcher } from '../../model/matcher.js'
import type { DynamicMetadataInput, FilterStateInput } from '../gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js'
import type { ConsistentHashing } from '../gen/envoy/extensions/matching/input_matchers/consistent_hashing/v3/consistent_hashing_pb.js'
import type { Ip } from '../gen/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.js'
import type { Metadata } from '../gen/envoy/extensions/matching/input_matchers/metadata/v3/metadata_pb.js'
import type {
  HttpRequestHeaderMatchInput,
  HttpRequestQueryParamMatchInput,
  HttpResponseHeaderMatchInput,
} from '../gen/envoy/type/matcher/v3/http_inputs_pb.js'
import type { TypedExtensionConfig } from '../gen/xds/core/v3/extension_pb.js'
import type { CelMatcher } from '../gen/xds/type/matcher/v3/cel_pb.js'
import type { ServerNameMatcher } from '../gen/xds/type/matcher/v3/domain_pb.js'
import type { IPMatcher } from '../gen/xds/type/matcher/v3/ip_pb.js'
import type {
  Matcher,
  Matcher_MatcherList_Predicate,
  Matcher_MatcherList_Predicate_SinglePredicate,
  Matcher_MatcherTree,
  Matcher_OnMatch,
} from '../gen/xds/type/matcher/v3/matcher_pb.js'
import type { StringMatcher as StringMatcherMessage } from '../gen/xds/type/matcher/v3/string_pb.js'
import { decodeCidrs } from './address.js'
import { describeType, typeNameOf, unpackAny } from './any.js'
import { decodeCelTree } from './cel.js'
import type { Ctx } from './field-path.js'
import { decodeValueMatcher, IGNORE_CASE_OF_REGEX } from './matchers.js'
import { checkRegex, isHeaderName } from './values.js'

/** Deeper trees are refused. */
const MAX_DEPTH = 16

const NETWORK_INPUTS = 'envoy.extensions.matching.common_inputs.network.v3.'
const SSL_INPUTS = 'envoy.extensions.matching.common_inputs.ssl.v3.'
const TYPE_INPUTS = 'envoy.type.matcher.v3.'

/** What is one text, by the type of the input. */
type PlainKind = Exclude<MatchInput, { name: string }>['kind']
const INPUTS: ReadonlyMap<string, PlainKind> = new Map<string, PlainKind>([
  [`${NETWORK_INPUTS}DestinationIPInput`, 'destinationIp'],
  [`${NETWORK_INPUTS}DestinationPortInput`, 'destinationPort'],
  [`${NETWORK_INPUTS}SourceIPInput`, 'sourceIp'],
  [`${NETWORK_INPUTS}SourcePortInput`, 'sourcePort'],
  [`${NETWORK_INPUTS}DirectSourceIPInput`, 'directSourceIp'],
  [`${NETWORK_INPUTS}SourceTypeInput`, 'sourceType'],
  [`${NETWORK_INPUTS}ServerNameInput`, 'serverName'],
  [`${NETWORK_INPUTS}TransportProtocolInput`, 'transportProtocol'],
  [`${NETWORK_INPUTS}ApplicationProtocolInput`, 'applicationProtocol'],
  [`${SSL_INPUTS}UriSanInput`, 'uriSan'],
  [`${SSL_INPUTS}DnsSanInput`, 'dnsSan'],
  [`${SSL_INPUTS}SubjectInput`, 'subject'],
  [`${TYPE_INPUTS}HttpResponseStatusCodeMatchInput`, 'responseStatus'],
  [`${TYPE_INPUTS}HttpResponseStatusCodeClassMatchInput`, 'responseStatusClass'],
  [`${TYPE_INPUTS}HttpResponseLocalReplyMatchInput`, 'responseIsLocal'],
])
const REQUEST_HEADER = `${TYPE_INPUTS}HttpRequestHeaderMatchInput`
const RESPONSE_HEADER = `${TYPE_INPUTS}HttpResponseHeaderMatchInput`
const QUERY_PARAMETER = `${TYPE_INPUTS}HttpRequestQueryParamMatchInput`
const FILTER_STATE = `${NETWORK_INPUTS}FilterStateInput`

/** Stand-ins after an error was recorded. */
const NO_INPUT: MatchInput = { kind: 'destinationPort' }
const NO_STRING: StringMatcher = { kind: 'exact', value: '\0', ignoreCase: false }
const NO_PREDICATE: MatchPredicate = { kind: 'or', predicates: [] }

/** The inputs that only matchers of their own take, not as a text. */
const CEL_INPUT = 'xds.type.matcher.v3.HttpAttributesCelMatchInput'
const METADATA_INPUT = `${NETWORK_INPUTS}DynamicMetadataInput`
const CEL_MATCHER = 'xds.type.matcher.v3.CelMatcher'
const METADATA_MATCHER = 'envoy.extensions.matching.input_matchers.metadata.v3.Metadata'

/** Where a matcher stands: its inputs, and what its actions are. */
export interface MatchPlace<A> {
  /** With `requestHeader` among them CEL and dynamic metadata may be asked for too. */
  readonly inputs: ReadonlySet<MatchInput['kind']>
  /** CEL and dynamic metadata may not, though. */
  readonly textOnly?: true
  /** Null after an error was recorded. */
  readonly action: (config: TypedExtensionConfig, ctx: Ctx) => A | null
}

export function decodeMatchTree<A>(matcher: Matcher, place: MatchPlace<A>, ctx: Ctx): MatchTree<A> {
  return new MatchTreeDecoder(place).tree(matcher, ctx, 0)
}

class MatchTreeDecoder<A> {
  constructor(private readonly place: MatchPlace<A>) {}

  tree(matcher: Matcher, ctx: Ctx, depth: number): MatchTree<A> {
    const onNoMatch = matcher.onNoMatch === undefined ? null : this.onMatch(matcher.onNoMatch, ctx.at('on_no_match'), depth)
    const type = matcher.matcherType
    if (type.case === 'matcherTree') return this.branches(type.value, onNoMatch, ctx.at('matcher_tree'), depth)
    const at = ctx.at('matcher_list')
    const matchers = (type.case === 'matcherList' ? type.value.matchers : []).flatMap(({ predicate, onMatch }, i) => {
      const end = onMatch === undefined ? null : this.onMatch(onMatch, at.at('matchers', i).at('on_match'), depth)
      if (predicate === undefined || end === null) return []
      return [{ predicate: this.predicate(predicate, at.at('matchers', i).at('predicate'), depth), onMatch: end }]
    })
    return { kind: 'list', matchers, onNoMatch }
  }

  private onMatch({ onMatch }: Matcher_OnMatch, ctx: Ctx, depth: number): OnMatch<A> | null {
    if (onMatch.case === 'action') {
      const action = this.place.action(onMatch.value, ctx.at('action'))
      return action === null ? null : { kind: 'action', action }
    }
    if (onMatch.case === undefined) return null // reported
    const at = ctx.at('matcher')
    if (depth < MAX_DEPTH) return { kind: 'matcher', matcher: this.tree(onMatch.value, at, depth + 1) }
    at.error(`matchers may be nested ${MAX_DEPTH} deep at most`)
    return null
  }

  private branches(tree: Matcher_MatcherTree, onNoMatch: OnMatch<A> | null, ctx: Ctx, depth: number): MatchTree<A> {
    const input = this.input(tree.input, ctx.at('input'))
    const type = tree.treeType
    if (type.case === 'customMatch') return this.customBranches(type.value, input, onNoMatch, ctx.at('custom_match'), depth)
    const kind = type.case === 'prefixMatchMap' ? 'prefix' : 'exact'
    const map = new Map<string, OnMatch<A>>()
    for (const [key, onMatch] of Object.entries(type.value?.map ?? {})) {
      const end = this.onMatch(onMatch, ctx.at(`${kind}_match_map`).at('map', key), depth)
      if (end !== null) map.set(key, end)
    }
    return { kind, input, map, onNoMatch }
  }

  private customBranches(
    config: TypedExtensionConfig,
    input: MatchInput,
    onNoMatch: OnMatch<A> | null,
    ctx: Ctx,
    depth: number,
  ): MatchTree<A> {
    const at = ctx.at('typed_config')
    const ends = <T extends { onMatch?: Matcher_OnMatch }, R>(
      list: readonly T[],
      field: string,
      make: (one: T, end: OnMatch<A>, at: Ctx) => R,
    ): R[] =>
      list.flatMap((one, i) => {
        const end = one.onMatch === undefined ? null : this.onMatch(one.onMatch, at.at(field, i).at('on_match'), depth)
        return end === null ? [] : [make(one, end, at.at(field, i))]
      })
    const { typeName, typeUrl, message } = unpackAny(config.typedConfig!, at)
    if (message !== null && typeName === 'xds.type.matcher.v3.IPMatcher') {
      const ranges = ends((message as IPMatcher).rangeMatchers, 'range_matchers', (one, onMatch, place) => ({
        ranges: decodeCidrs(one.ranges, place, 'ranges'),
        exclusive: one.exclusive,
        onMatch,
      }))
      return { kind: 'ranges', input, ranges, onNoMatch }
    }
    if (message !== null && typeName === 'xds.type.matcher.v3.ServerNameMatcher') {
      const domains = ends((message as ServerNameMatcher).domainMatchers, 'domain_matchers', (one, onMatch, place) => {
        one.domains.forEach((domain, i) => {
          if (domain.replace(/^\*(?=$|\.)/, '').includes('*'))
            place.at('domains', i).error(`'${domain}' is no name, '*' or '*.' before a suffix`)
        })
        return { domains: one.domains.map(domain => domain.toLowerCase()), onMatch }
      })
      return { kind: 'domains', input, domains, onNoMatch }
    }
    at.error(`unknown matcher '${config.name}' (${describeType(typeUrl)})`)
    return { kind: 'list', matchers: [], onNoMatch }
  }

  private predicate({ matchType }: Matcher_MatcherList_Predicate, ctx: Ctx, depth: number): MatchPredicate {
    if (depth >= MAX_DEPTH) {
      ctx.error(`predicates may be nested ${MAX_DEPTH} deep at most`)
      return NO_PREDICATE
    }
    switch (matchType.case) {
      case 'singlePredicate':
        return this.single(matchType.value, ctx.at('single_predicate'))
      case 'orMatcher':
      case 'andMatcher': {
        const kind = matchType.case === 'orMatcher' ? 'or' : 'and'
        const at = ctx.at(`${kind}_matcher`)
        return { kind, predicates: matchType.value.predicate.map((one, i) => this.predicate(one, at.at('predicate', i), depth + 1)) }
      }
      case 'notMatcher':
        return { kind: 'not', predicate: this.predicate(matchType.value, ctx.at('not_matcher'), depth + 1) }
      default:
        return NO_PREDICATE // reported
    }
  }

  private single(single: Matcher_MatcherList_Predicate_SinglePredicate, ctx: Ctx): MatchPredicate {
    const ofSubject = this.place.inputs.has('requestHeader') && this.place.textOnly !== true ? this.subjectPredicate(single, ctx) : null
    if (ofSubject !== null) return ofSubject
    const input = this.input(single.input, ctx.at('input'))
    const { matcher } = single
    if (matcher.case === 'valueMatch')
      return { kind: 'value', input, matcher: decodeXdsStringMatcher(matcher.value, ctx.at('value_match')) }
    if (matcher.case === undefined) return NO_PREDICATE // reported
    const at = ctx.at('custom_match').at('typed_config')
    const { typeName, typeUrl, message } = unpackAny(matcher.value.typedConfig!, at)
    if (message !== null && typeName === 'envoy.extensions.matching.input_matchers.ip.v3.Ip')
      return { kind: 'ip', input, ranges: decodeCidrs((message as Ip).cidrRanges, at, 'cidr_ranges') }
    if (message !== null && typeName === 'envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing') {
      const { threshold, modulo, seed } = message as ConsistentHashing
      if (threshold > modulo) at.at('threshold').error(`the threshold ${threshold} is over the modulo ${modulo}: nothing would match`)
      return { kind: 'hash', input, threshold, modulo, seed }
    }
    at.error(`unknown matcher '${matcher.value.name}' (${describeType(typeUrl)})`)
    return NO_PREDICATE
  }

  /** An input and a matcher that belong together; null: another input than these. */
  private subjectPredicate({ input, matcher }: Matcher_MatcherList_Predicate_SinglePredicate, ctx: Ctx): MatchPredicate | null {
    if (input?.typedConfig === undefined) return null
    const inputType = typeNameOf(input.typedConfig.typeUrl)
    if (inputType !== CEL_INPUT && inputType !== METADATA_INPUT) return null
    const read = unpackAny(input.typedConfig, ctx.at('input').at('typed_config')).message
    const custom = matcher.case === 'customMatch' ? matcher.value.typedConfig : undefined
    const at = ctx.at('custom_match').at('typed_config')
    const wanted = inputType === CEL_INPUT ? CEL_MATCHER : METADATA_MATCHER
    if (custom === undefined || typeNameOf(custom.typeUrl) !== wanted) {
      ctx.error(`input '${input.name}' goes with a custom_match by ${wanted}`)
      return NO_PREDICATE
    }
    const message = unpackAny(custom, at).message
    if (read === null || message === null) return NO_PREDICATE // reported
    if (inputType === CEL_INPUT) return { kind: 'cel', expression: celOf(message as CelMatcher, at.at('expr_match')) }
    const { filter, path } = read as DynamicMetadataInput
    const { value, invert } = message as Metadata
    if (value === undefined) return NO_PREDICATE // reported
    const matched = decodeValueMatcher(value, at.at('value'))
    return {
      kind: 'metadata',
      matcher: { namespace: filter, path: path.map(({ segment }) => segment.value ?? ''), value: matched, invert },
    }
  }

  private input(config: TypedExtensionConfig | undefined, ctx: Ctx): MatchInput {
    if (config?.typedConfig === undefined) return NO_INPUT // reported
    const at = ctx.at('typed_config')
    const { typeName, typeUrl, message } = unpackAny(config.typedConfig, at)
    const input = message === null ? null : readInput(typeName, message, at)
    if (input !== null && this.place.inputs.has(input.kind)) return input
    at.error(`no input '${config.name}' here (${describeType(typeUrl)})`)
    return NO_INPUT
  }
}

/** null: another message than of an input. */
function readInput(typeName: string, message: unknown, ctx: Ctx): MatchInput | null {
  switch (typeName) {
    case REQUEST_HEADER:
      return { kind: 'requestHeader', name: headerName((message as HttpRequestHeaderMatchInput).headerName, ctx) }
    case RESPONSE_HEADER:
      return { kind: 'responseHeader', name: headerName((message as HttpResponseHeaderMatchInput).headerName, ctx) }
    case QUERY_PARAMETER:
      return { kind: 'queryParameter', name: (message as HttpRequestQueryParamMatchInput).queryParam }
    case FILTER_STATE:
      return { kind: 'filterState', name: (message as FilterStateInput).key }
  }
  const kind = INPUTS.get(typeName)
  return kind === undefined ? null : { kind }
}

function headerName(given: string, ctx: Ctx): string {
  const name = given.toLowerCase()
  if (!isHeaderName(name)) ctx.at('header_name').error(`'${name}' is not a valid header name`)
  return name
}

/** The tree of the expression, parsed or checked, by its newer or its older name. */
function celOf({ exprMatch }: CelMatcher, ctx: Ctx): string {
  const specifier = exprMatch?.exprSpecifier
  switch (specifier?.case) {
    case 'parsedExpr':
    case 'checkedExpr':
    case 'celExprParsed':
    case 'celExprChecked': {
      const field = specifier.case.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
      if (specifier.value.expr !== undefined) return decodeCelTree(specifier.value.expr, ctx.at(field).at('expr'))
    }
  }
  ctx.error('the expression is not set: it takes a parsed or a checked one')
  return ''
}

function decodeXdsStringMatcher({ matchPattern, ignoreCase }: StringMatcherMessage, ctx: Ctx): StringMatcher {
  switch (matchPattern.case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      return { kind: matchPattern.case, value: matchPattern.value, ignoreCase }
    case 'safeRegex':
      // RE2 is the only engine there is; its absence has been reported.
      if (matchPattern.value.engineType.case === undefined) return NO_STRING
      checkRegex(matchPattern.value.regex, ctx.at('safe_regex').at('regex'))
      if (ignoreCase) ctx.at('ignore_case').error(IGNORE_CASE_OF_REGEX)
      return { kind: 'regex', value: matchPattern.value.regex }
    default:
      return NO_STRING // reported
  }
}
