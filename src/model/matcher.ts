// Matchers shared by routes, RBAC, TLS SAN rules, CORS, access-log filters (envoy.type.matcher.v3 and route HeaderMatcher).

/** `regex` is RE2 syntax and must match the whole value (Envoy safe_regex). */
export type StringMatcher =
  | { readonly kind: 'exact'; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: 'prefix'; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: 'suffix'; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: 'contains'; readonly value: string; readonly ignoreCase: boolean }
  | { readonly kind: 'regex'; readonly value: string }

export type HeaderValueMatch =
  | { readonly kind: 'string'; readonly matcher: StringMatcher }
  | { readonly kind: 'range'; readonly start: bigint; readonly end: bigint }
  | { readonly kind: 'present'; readonly present: boolean }

/** envoy.config.route.v3.HeaderMatcher. `name` is lower case; pseudo-headers keep their colon. */
export interface HeaderMatcher {
  readonly name: string
  readonly match: HeaderValueMatch
  readonly invert: boolean
  readonly treatMissingAsEmpty: boolean
}

export type QueryParameterMatcher = { readonly name: string } & ({ readonly matcher: StringMatcher } | { readonly present: boolean })

/** envoy.type.matcher.v3.ValueMatcher over JSON values. */
export type ValueMatcher =
  | { readonly kind: 'null' }
  | { readonly kind: 'double'; readonly exact: number }
  | { readonly kind: 'doubleRange'; readonly start: number; readonly end: number }
  | { readonly kind: 'string'; readonly matcher: StringMatcher }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'present'; readonly value: boolean }
  | { readonly kind: 'list'; readonly oneOf: ValueMatcher }
  | { readonly kind: 'or'; readonly anyOf: readonly ValueMatcher[] }

/** envoy.type.matcher.v3.MetadataMatcher: dynamic metadata `namespace`, then struct keys. */
export interface MetadataMatcher {
  readonly namespace: string
  readonly path: readonly string[]
  readonly value: ValueMatcher
  readonly invert: boolean
}

/** A chance of `numerator` in `denominator` (100, 10 000 or 1 000 000); `runtimeKey` may override it from the runtime layer. */
export interface RuntimeFraction {
  readonly numerator: number
  readonly denominator: number
  readonly runtimeKey: string
}

/** On or off; a boolean under `runtimeKey` overrides it from the runtime layer. */
export interface RuntimeFlag {
  readonly defaultValue: boolean
  readonly runtimeKey: string
}

/** RegexMatchAndSubstitute; substitution uses `\1` groups as RE2 does. */
export interface RegexRewrite {
  readonly pattern: string
  readonly substitution: string
}
