// What an authorisation service decided, in the same form from its HTTP and its gRPC variant. Made by ext-authz-grpc.ts and
// ext-authz-http.ts, carried out by ext-authz.ts.

import type { HeaderOption } from '../../../model/header-option.js'
import type { JsonValue } from '../../../model/metadata.js'

export interface DecidedHeader {
  readonly name: string
  readonly value: string
  /** `append-existing`: joined to a field that is there, otherwise dropped (Envoy's headers_to_append). */
  readonly action: HeaderOption['action'] | 'append-existing'
}

export type AuthzDecision =
  | {
      readonly kind: 'ok'
      readonly requestHeaders: readonly DecidedHeader[]
      readonly removeHeaders: readonly string[]
      readonly responseHeaders: readonly DecidedHeader[]
      readonly setQuery: readonly (readonly [string, string])[]
      readonly removeQuery: readonly string[]
      readonly metadata: Record<string, JsonValue> | null
    }
  | {
      readonly kind: 'denied'
      readonly status: number
      readonly headers: readonly DecidedHeader[]
      readonly body: string
      readonly metadata: Record<string, JsonValue> | null
    }
  | { readonly kind: 'error'; readonly message: string }

/** Headers taken from one answer; further ones are left out. */
export const MAX_AUTHZ_HEADERS = 128
