// What a route says of tracing, compiled: in the place of the connection manager's. Made with CompiledRoute; read by RequestTrace.

import type { Decorator, RouteTracing, Sampling } from '../../model/tracing.js'
import { toByteString } from '../codec/byte-string.js'
import { type CompiledTag, compileCustomTags } from '../format/custom-tag.js'
import { type FormatFunction, formatOrText } from '../format/header-format.js'

export class CompiledRouteTracing {
  readonly sampling: Sampling
  readonly customTags: readonly CompiledTag[]
  readonly tagNames: ReadonlySet<string>
  /** Null: the connection manager's. */
  readonly operation: FormatFunction | null
  readonly upstreamOperation: FormatFunction | null

  constructor(model: RouteTracing) {
    this.sampling = model.sampling
    this.customTags = compileCustomTags(model.customTags)
    this.tagNames = new Set(this.customTags.map(tag => tag.name))
    this.operation = model.operation === '' ? null : formatOrText(model.operation)
    this.upstreamOperation = model.upstreamOperation === '' ? null : formatOrText(model.upstreamOperation)
  }
}

export interface CompiledDecorator {
  /** A byte string. */
  readonly operation: string
  readonly propagate: boolean
}

export function compileDecorator(model: Decorator | undefined): CompiledDecorator | null {
  return model === undefined ? null : { operation: toByteString(model.operation), propagate: model.propagate }
}
