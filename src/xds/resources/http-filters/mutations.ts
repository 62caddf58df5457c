// Lists of header mutations -> model: the header_mutation filter, what routes say of it, and early_header_mutation_extensions. Called by
// http-filter.ts, http-filter-override.ts and http-connection-manager.ts.

import type { HeaderOption } from '../../../model/header-option.js'
import type { HeaderMutation, HeaderMutationConfig, QueryMutation } from '../../../model/http-filter.js'
import type { HeaderMutation as HeaderMutationMessage } from '../../gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js'
import { type KeyValueMutation, KeyValueAppend_KeyValueAppendAction as QueryAction } from '../../gen/envoy/config/core/v3/base_pb.js'
import type { TypedExtensionConfig } from '../../gen/envoy/config/core/v3/extension_pb.js'
import type { Mutations } from '../../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import type { HeaderMutation as EarlyHeaderMutation } from '../../gen/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js'
import { describeType, unpackAny } from '../any.js'
import type { Ctx } from '../field-path.js'
import { checkFormat } from '../format-string.js'
import { decodeFormatters } from '../formatters.js'
import { decodeStringMatcher } from '../matchers.js'
import { decodeHeaderOption, isHeaderName } from '../values.js'

const EARLY = 'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation'

const NO_COMMANDS: ReadonlySet<string> = new Set()

export function decodeMutations(mutations: Mutations | undefined, ctx: Ctx): HeaderMutationConfig {
  const commands = decodeFormatters(mutations?.formatters ?? [], ctx)
  return {
    request: decodeHeaderMutationList(mutations?.requestMutations ?? [], ctx, 'request_mutations', commands),
    response: decodeHeaderMutationList(mutations?.responseMutations ?? [], ctx, 'response_mutations', commands),
    requestTrailers: decodeHeaderMutationList(mutations?.requestTrailersMutations ?? [], ctx, 'request_trailers_mutations', commands),
    responseTrailers: decodeHeaderMutationList(mutations?.responseTrailersMutations ?? [], ctx, 'response_trailers_mutations', commands),
    query: (mutations?.queryParameterMutations ?? []).flatMap((mutation, i) =>
      decodeQueryMutation(mutation, ctx.at('query_parameter_mutations', i), commands),
    ),
  }
}

/** In the order of the extensions; nobody of them is left out. */
export function decodeEarlyMutations(extensions: readonly TypedExtensionConfig[], ctx: Ctx, field: string): HeaderMutation[] {
  return extensions.flatMap(({ name, typedConfig }, i) => {
    if (typedConfig === undefined) return [] // reported
    const at = ctx.at(field, i).at('typed_config')
    const { typeName, typeUrl, message } = unpackAny(typedConfig, at)
    if (typeName !== EARLY) at.error(`unknown early header mutation '${name}' (${describeType(typeUrl)})`)
    if (typeName !== EARLY || message === null) return []
    return decodeHeaderMutationList((message as EarlyHeaderMutation).mutations, at, 'mutations', NO_COMMANDS)
  })
}

/** `commands`: those that formatter extensions add. */
function decodeHeaderMutationList(
  mutations: readonly HeaderMutationMessage[],
  ctx: Ctx,
  field: string,
  commands: ReadonlySet<string>,
): HeaderMutation[] {
  return mutations.flatMap(({ action }, i): HeaderMutation[] => {
    const at = ctx.at(field, i)
    switch (action.case) {
      case 'remove': {
        const name = action.value.toLowerCase()
        if (name.startsWith(':') || name === 'host') at.at('remove').error(':-prefixed or host headers may not be removed')
        else if (!isHeaderName(name)) at.at('remove').error(`'${action.value}' is not a valid header name`)
        return [{ kind: 'remove', name }]
      }
      case 'removeOnMatch': {
        const { keyMatcher } = action.value
        const place = at.at('remove_on_match').at('key_matcher')
        if (keyMatcher === undefined) place.error('value is required')
        return keyMatcher === undefined ? [] : [{ kind: 'removeOnMatch', matcher: decodeStringMatcher(keyMatcher, place) }]
      }
      case 'append':
        return [{ kind: 'append', option: decodeHeaderOption(action.value, at.at('append'), commands) }]
      default:
        return [] // the missing oneof has been reported
    }
  })
}

const ACTIONS: Record<QueryAction, HeaderOption['action']> = {
  [QueryAction.APPEND_IF_EXISTS_OR_ADD]: 'APPEND_IF_EXISTS_OR_ADD',
  [QueryAction.ADD_IF_ABSENT]: 'ADD_IF_ABSENT',
  [QueryAction.OVERWRITE_IF_EXISTS_OR_ADD]: 'OVERWRITE_IF_EXISTS_OR_ADD',
  [QueryAction.OVERWRITE_IF_EXISTS]: 'OVERWRITE_IF_EXISTS',
}

function decodeQueryMutation({ append, remove }: KeyValueMutation, ctx: Ctx, commands: ReadonlySet<string>): QueryMutation[] {
  if (append === undefined) {
    if (remove === '') ctx.error('one of append and remove is required')
    return [{ kind: 'remove', name: remove }]
  }
  if (remove !== '') ctx.error('only one of append and remove may be set')
  const at = ctx.at('append')
  const { record, action } = append
  if (record === undefined) {
    at.at('record').error('value is required')
    return []
  }
  const value = record.value?.kind
  if (value?.case !== 'stringValue') {
    at.at('record').at('value').error('the value of a query parameter is a string')
    return []
  }
  checkFormat(value.value, at.at('record').at('value'), commands)
  return [{ kind: 'append', name: record.key, value: value.value, action: ACTIONS[action] }]
}
