// envoy.filters.http.custom_response as validated config: what is sent in the place of a response. Made by
// xds/resources/http-filters/custom-response, read by l7/filters/custom-response.

import type { LogFormat } from './access-log.js'
import type { HeaderOption } from './header-option.js'
import type { MatchTree } from './match-tree.js'
import type { RedirectAction } from './redirect-action.js'

export type ResponsePolicy =
  /** An answer of the proxy's own. */
  | {
      readonly kind: 'local'
      /** Bytes, one a character; null: none is given. */
      readonly body: string | null
      readonly format: LogFormat | null
      /** null: that of the response. */
      readonly status: number | null
      readonly responseHeadersToAdd: readonly HeaderOption[]
      /** What the log says of it; null: as of the response that is replaced. */
      readonly details: string | null
    }
  /** What another route answers to a GET. */
  | {
      readonly kind: 'redirect'
      readonly to: { readonly uri: string } | { readonly action: RedirectAction }
      /** null: that of the response that is replaced. */
      readonly status: number | null
      readonly responseHeadersToAdd: readonly HeaderOption[]
      readonly requestHeadersToAdd: readonly HeaderOption[]
    }

export interface CustomResponseConfig {
  /** null: nothing is replaced. */
  readonly tree: MatchTree<ResponsePolicy> | null
}
