// The contract of HTTP filters that the embedding program writes: part of the package's public types (src/index.ts), so it names nothing
// of the proxy's inside. Implemented by programs; called by guarded-filter.ts, which stands between it and http-filter.ts.
//
// Filters run in the order of the configuration on the request, and in reverse on the response. A hook that returns nothing lets the
// message go on within the same turn; one that returns a promise holds it until that is settled. A hook that throws, or whose promise is
// rejected, ends its request: with 500, or with a reset where the response has begun. Nothing of it reaches the process.

import type { Buffer } from 'node:buffer'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }
export type JsonObject = { readonly [key: string]: JsonValue }

/** Header fields in the order they came. Names are compared without case; what would break the message is refused (TypeError). */
export interface HttpHeaders {
  /** The first value. */
  get(name: string): string | undefined
  /** Every value, in order. */
  getAll(name: string): string[]
  has(name: string): boolean
  /** In the place of every field of that name. Not for fields that frame the message (`content-length`, `connection` …). */
  set(name: string, value: string): void
  /** Beside the fields of that name. */
  append(name: string, value: string): void
  /** True when there was one. */
  remove(name: string): boolean
  /** Names in lower case and values. */
  entries(): IterableIterator<[name: string, value: string]>
}

export interface HttpFilterRequest {
  readonly method: string
  readonly scheme: string
  /** `Host`, or `:authority`. */
  authority: string
  /** With its query, as it goes upstream. Routes were matched before: see clearRouteCache(). */
  path: string
  readonly headers: HttpHeaders
}

export interface HttpFilterResponse {
  status: number
  readonly headers: HttpHeaders
  /** Made by this proxy: a filter's reply, or a failure of its own. */
  readonly local: boolean
}

export interface HttpLocalReply {
  readonly status: number
  readonly body?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  /** `%RESPONSE_CODE_DETAILS%` of the access log. */
  readonly details?: string
}

/** One request, as one filter may use it. Valid until onEnd; calls after that do nothing. */
export interface HttpFilterCall<RouteConfig = unknown> {
  readonly request: HttpFilterRequest
  /** Of the most specific typed_per_filter_config under the filter's name (weighted cluster, route, virtual host, table); null: none. */
  readonly routeConfig: RouteConfig | null
  /** `x-request-id`; '' where none is made. */
  readonly requestId: string
  /** The client's address, after the rules for `x-forwarded-for`. */
  readonly remoteAddress: string
  /** The first URI in the client's certificate (its SPIFFE id), where that was verified; null otherwise. */
  readonly peer: string | null
  readonly routeName: string
  /** Where the route leads; '' where it does not lead to a cluster. */
  readonly clusterName: string
  /** The request is over. */
  readonly ended: boolean
  /** Answers from here. The request goes no further. */
  reply(reply: HttpLocalReply): void
  /** Matches the route again: the filter has changed what routes look at. */
  clearRouteCache(): void
  /**
   * The whole request body, before any of it goes on: from onRequest alone. A longer one than `maxBytes` is answered 413. Rejects when the
   * request ends before it is there.
   */
  readRequestBody(maxBytes: number): Promise<Buffer>
  /** In the place of the body that readRequestBody gave. */
  replaceRequestBody(body: Buffer | string): void
  /**
   * The whole response body, before its head goes on: from onResponse alone, which returns no promise then. `rewrite` may change the head
   * still, and returns what is sent in the body's place; nothing: the body as it is. A longer one than `maxBytes` becomes a 500.
   */
  rewriteResponseBody(maxBytes: number, rewrite: (body: Buffer) => Buffer | string | undefined): void
  /** Dynamic metadata: what filters tell each other and the access log. */
  metadata(namespace: string): JsonObject | undefined
  setMetadata(namespace: string, key: string, value: JsonValue): void
}

/** What a filter would do to a request that is only imagined. */
export interface HttpFilterExplanation {
  /** `unknown`: only a real request shows it. */
  readonly verdict: 'passes' | 'denies' | 'unknown'
  readonly reason: string
  /** The rule of yours that decided. */
  readonly rule?: string
  /** Of the answer, where it denies. */
  readonly status?: number
}

/** The hooks of one request. A filter without state may be one object for all. */
export interface HttpStreamFilter<RouteConfig = unknown> {
  /** Before anything goes upstream. `end`: it has no body. */
  onRequest?(request: HttpFilterRequest, call: HttpFilterCall<RouteConfig>, end: boolean): void | Promise<void>
  /** Each piece of the body; returns what goes on in its place (nothing: the piece itself). Of another length only with changesBodies. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook that only looks has no return statement.
  onRequestData?(chunk: Buffer, end: boolean, call: HttpFilterCall<RouteConfig>): Buffer | undefined | void
  onRequestTrailers?(trailers: HttpHeaders, call: HttpFilterCall<RouteConfig>): void
  /** Before anything of the response goes to the client; not for 1xx. */
  onResponse?(response: HttpFilterResponse, call: HttpFilterCall<RouteConfig>, end: boolean): void | Promise<void>
  // biome-ignore lint/suspicious/noConfusingVoidType: as above.
  onResponseData?(chunk: Buffer, end: boolean, call: HttpFilterCall<RouteConfig>): Buffer | undefined | void
  onResponseTrailers?(trailers: HttpHeaders, call: HttpFilterCall<RouteConfig>): void
  /**
   * In the place of onRequest, where `explain` imagines a request: what it would decide. Nothing is counted, kept or asked elsewhere; the head
   * may be changed as onRequest would. Absent: `explain` says that only a real request shows it.
   */
  onExplain?(request: HttpFilterRequest, call: HttpFilterCall<RouteConfig>): HttpFilterExplanation | Promise<HttpFilterExplanation>
  /** The request is over, however it ended. */
  onEnd?(call: HttpFilterCall<RouteConfig>): void
  /** Its data hooks return pieces of another length: messages go on without `content-length`. */
  readonly changesBodies?: boolean
}

export interface HttpFilterCounter {
  add(amount?: number): void
}

/** What a filter has for as long as its configuration serves. */
export interface HttpFilterContext {
  /** The filter's name in the configuration. */
  readonly name: string
  log(level: 'debug' | 'info' | 'warn', message: string): void
  /** `http.<stat_prefix>.<name of the filter>.<name>` in the sidecar's stats; the same object each time. */
  counter(name: string): HttpFilterCounter
  /** Runs when the configuration is replaced or gone. Requests under way may still be in their hooks. */
  onRelease(release: () => void): void
}

/** `(call) => hooks`, or null. Taken from a method, so that filters of different route configurations fit one list. */
export type OpenStreamFilter<RouteConfig = unknown> = {
  open(call: HttpFilterCall<RouteConfig>): HttpStreamFilter<RouteConfig> | null
}['open']

/** A kind of filter: configurations name it by its type, as they name Envoy's. */
export interface HttpFilter<Config = unknown, RouteConfig = Config> {
  /** `type.googleapis.com/acme.Tenants`, or the name alone. */
  readonly typeUrl: string
  /** Reads a typed_config: a TypedStruct's value, or the fields beside `@type`. Throws what is wrong: the configuration is refused with it. */
  parseConfig(json: JsonObject): Config
  /** Reads a typed_per_filter_config; absent: as parseConfig. */
  parseRouteConfig?(json: JsonObject): RouteConfig
  /** Control planes that send messages of their own types: from its bytes to what parseConfig takes. Absent: they are refused. */
  decode?(message: Uint8Array): JsonObject
  /**
   * Once for each place in an accepted configuration. What it returns is asked at every request for its hooks; null: none for this one.
   * Where it throws, the place answers 500.
   */
  create(config: Config, context: HttpFilterContext): OpenStreamFilter<RouteConfig>
}
