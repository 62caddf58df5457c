// Tracing of HTTP requests: what a connection manager and a route say (sampling, tags, names), and the tracers that spans are sent by.

import type { GrpcService } from './grpc-service.js'
import type { HttpService } from './http-service.js'
import type { RuntimeFraction } from './matcher.js'

export type CustomTag = { readonly tag: string } & (
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'environment' | 'requestHeader'; readonly name: string; readonly defaultValue: string }
  | {
      readonly kind: 'metadata'
      readonly source: 'request' | 'route' | 'cluster' | 'host'
      readonly namespace: string
      readonly path: readonly string[]
      readonly defaultValue: string
    }
  /** With `%COMMAND%` operators. */
  | { readonly kind: 'format'; readonly format: string }
)

/** Chances of the three ways to be traced, and of all of them together. */
export interface Sampling {
  readonly client: RuntimeFraction
  readonly random: RuntimeFraction
  readonly overall: RuntimeFraction
}

/** HttpConnectionManager.Tracing. */
export interface Tracing {
  /** Null: the bootstrap's, and without that no tracing. */
  readonly provider: TracerConfig | null
  readonly sampling: Sampling
  /** Spans tell the moments of a request too. */
  readonly verbose: boolean
  readonly maxPathTagLength: number
  readonly customTags: readonly CustomTag[]
  /** Each try of a request has a span of its own. */
  readonly spawnUpstreamSpan: boolean
  /** Names of the spans, with `%COMMAND%` operators; '' = Envoy's. */
  readonly operation: string
  readonly upstreamOperation: string
  /** The context goes on to the upstream. */
  readonly propagates: boolean
}

/** envoy.config.route.v3.Tracing: in the place of the connection manager's. */
export interface RouteTracing {
  readonly sampling: Sampling
  readonly customTags: readonly CustomTag[]
  readonly operation: string
  readonly upstreamOperation: string
}

/** envoy.config.route.v3.Decorator. */
export interface Decorator {
  readonly operation: string
  /** The other party is told. */
  readonly propagate: boolean
}

/** The uuid extension of request ids. */
export interface RequestIdOptions {
  /** Why a request is traced stands in its id. */
  readonly packTraceReason: boolean
  /** Random sampling draws by the id, so that every hop draws the same. */
  readonly useForTraceSampling: boolean
}

export type OtlpTarget = { readonly kind: 'grpc'; readonly service: GrpcService } | { readonly kind: 'http'; readonly service: HttpService }

export type ResourceDetector =
  /** OTEL_RESOURCE_ATTRIBUTES */
  { readonly kind: 'environment' } | { readonly kind: 'static'; readonly attributes: readonly (readonly [string, string])[] }

export type Sampler =
  | { readonly kind: 'alwaysOn' }
  | { readonly kind: 'traceIdRatio'; readonly ratio: number }
  | { readonly kind: 'parentBased'; readonly wrapped: Sampler }

export interface OpenTelemetryTracerConfig {
  readonly kind: 'opentelemetry'
  /** Null: contexts are made and passed on, spans go nowhere. */
  readonly target: OtlpTarget | null
  readonly serviceName: string
  readonly resourceDetectors: readonly ResourceDetector[]
  /** Null: who came with a context is sampled by it, who came without by the connection manager. */
  readonly sampler: Sampler | null
  /** Spans that wait beyond these are dropped. */
  readonly maxCachedSpans: number
  readonly sdkAttributes: boolean
  readonly serviceNameAttribute: boolean
  readonly instrumentationScope: boolean
}

export interface ZipkinTracerConfig {
  readonly kind: 'zipkin'
  readonly collector: HttpService
  readonly encoding: 'json' | 'protobuf'
  readonly traceId128Bit: boolean
  /** A trace id of 128 bits begins with the second of its birth. */
  readonly timestampTraceIds: boolean
  /** The server's span has the id of the client's. */
  readonly sharedSpanContext: boolean
  /** `traceparent` is read where no B3 header came, and written beside those. */
  readonly w3c: boolean
}

export type TracerConfig = OpenTelemetryTracerConfig | ZipkinTracerConfig
