// The four header lists that route tables, virtual hosts, routes and weighted clusters share -> HeaderMutations. Called by route.ts
// and route-action.ts.

import type { HeaderMutations } from '../../model/header-option.js'
import type { HeaderValueOption } from '../gen/envoy/config/core/v3/base_pb.js'
import type { Ctx } from './field-path.js'
import { decodeHeaderOptions, decodeRemovals } from './values.js'

interface HeaderLists {
  readonly requestHeadersToAdd: readonly HeaderValueOption[]
  readonly requestHeadersToRemove: readonly string[]
  readonly responseHeadersToAdd: readonly HeaderValueOption[]
  readonly responseHeadersToRemove: readonly string[]
}

/** Of all who change nothing: in a large table nearly everyone. */
const NO_MUTATIONS: HeaderMutations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] }

export function decodeHeaderMutations(lists: HeaderLists, ctx: Ctx): HeaderMutations {
  if (isEmpty(lists)) return NO_MUTATIONS
  return {
    requestAdd: decodeHeaderOptions(lists.requestHeadersToAdd, ctx, 'request_headers_to_add'),
    requestRemove: decodeRemovals(lists.requestHeadersToRemove, ctx, 'request_headers_to_remove'),
    responseAdd: decodeHeaderOptions(lists.responseHeadersToAdd, ctx, 'response_headers_to_add'),
    responseRemove: decodeRemovals(lists.responseHeadersToRemove, ctx, 'response_headers_to_remove'),
  }
}

function isEmpty(lists: HeaderLists): boolean {
  return (
    lists.requestHeadersToAdd.length === 0 &&
    lists.requestHeadersToRemove.length === 0 &&
    lists.responseHeadersToAdd.length === 0 &&
    lists.responseHeadersToRemove.length === 0
  )
}
