// An HTTP service that the proxy itself calls (envoy.config.core.v3.HttpService) as model: collectors of spans and log records.

export interface HttpService {
  readonly cluster: string
  /** Host header. */
  readonly host: string
  readonly path: string
  readonly timeoutMs: number
  /** Set on each request, over what it would have. */
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}
