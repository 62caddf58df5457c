// Tracing of a connection manager, compiled: its tracer, chances, tags and names. Made with HttpRuntime where a connection manager traces;
// asked for each of its requests.

import type { TracingHandles } from '../../metrics/stat-names.js'
import type { RequestIdOptions, Sampling, Tracing } from '../../model/tracing.js'
import { type CompiledTag, compileCustomTags } from '../format/custom-tag.js'
import { type FormatFunction, formatOrText } from '../format/header-format.js'
import type { Runtime } from '../match/runtime-fraction.js'
import type { OwnNames } from './span-tags.js'
import type { Tracer } from './tracer.js'

interface KnownClusters {
  get(name: string): { readonly config: { readonly name: string; readonly altStatName: string } } | undefined
}

export interface TracingParts {
  readonly tracer: Tracer
  readonly stats: TracingHandles
  readonly runtime: Runtime
  readonly random: () => number
  readonly names: OwnNames
  readonly clusters: KnownClusters
  readonly requestId: RequestIdOptions
  /** The listener's direction is outbound. */
  readonly egress: boolean
  /** The router's start_child_span. */
  readonly routerSpans: () => boolean
}

export class TracingRuntime {
  readonly tracer: Tracer
  readonly stats: TracingHandles
  readonly runtime: Runtime
  readonly random: () => number
  readonly names: OwnNames
  readonly clusters: KnownClusters
  readonly requestId: RequestIdOptions
  readonly egress: boolean
  readonly sampling: Sampling
  readonly verbose: boolean
  readonly maxPathTagLength: number
  readonly customTags: readonly CompiledTag[]
  readonly spawnUpstreamSpan: boolean
  readonly propagates: boolean
  /** Null: Envoy's names. */
  readonly operation: FormatFunction | null
  readonly upstreamOperation: FormatFunction | null
  private readonly routerSpans: () => boolean

  constructor(model: Tracing, parts: TracingParts) {
    this.tracer = parts.tracer
    this.stats = parts.stats
    this.runtime = parts.runtime
    this.random = parts.random
    this.names = parts.names
    this.clusters = parts.clusters
    this.requestId = parts.requestId
    this.egress = parts.egress
    this.routerSpans = parts.routerSpans
    this.sampling = model.sampling
    this.verbose = model.verbose
    this.maxPathTagLength = model.maxPathTagLength
    this.customTags = compileCustomTags(model.customTags)
    this.spawnUpstreamSpan = model.spawnUpstreamSpan
    this.propagates = model.propagates
    this.operation = model.operation === '' ? null : formatOrText(model.operation)
    this.upstreamOperation = model.upstreamOperation === '' ? null : formatOrText(model.upstreamOperation)
  }

  /** Each try has a span. */
  get tracesTries(): boolean {
    return this.spawnUpstreamSpan || this.routerSpans()
  }
}
