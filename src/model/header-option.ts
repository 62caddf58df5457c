// Headers that config adds, sets or removes (envoy.config.core.v3.HeaderValueOption) as model: on routes, filters, health checks and
// access logs alike.

/** HeaderValueOption. `value` may hold `%COMMAND%` operators. */
export interface HeaderOption {
  readonly name: string
  readonly value: string
  readonly action: 'APPEND_IF_EXISTS_OR_ADD' | 'ADD_IF_ABSENT' | 'OVERWRITE_IF_EXISTS_OR_ADD' | 'OVERWRITE_IF_EXISTS'
  readonly keepEmptyValue: boolean
}

export interface HeaderMutations {
  readonly requestAdd: readonly HeaderOption[]
  readonly requestRemove: readonly string[]
  readonly responseAdd: readonly HeaderOption[]
  readonly responseRemove: readonly string[]
}
