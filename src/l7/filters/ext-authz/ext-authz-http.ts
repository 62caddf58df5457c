// The authorisation request over plain HTTP, and what its answer means: 200 lets pass, 5xx is a failure of the service, anything else
// is its refusal. Used by ext-authz.ts.

import type { ExtAuthzConfig } from '../../../model/http-filter.js'
import type { AsyncRequest, AsyncResult } from '../../client/async-client.js'
import type { RequestHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { compileStringMatchers } from '../../match/string-matcher.js'
import { type AuthzDecision, type DecidedHeader, MAX_AUTHZ_HEADERS } from './ext-authz-decision.js'
import { PARTIAL_BODY } from './ext-authz-grpc.js'

type HttpService = Extract<ExtAuthzConfig['service'], { kind: 'http' }>
type NameTest = ((name: string) => boolean) | null

/** Client headers that are always passed on where allowed_client_headers is set. */
const ALWAYS_TO_CLIENT = new Set(['www-authenticate', 'location'])
/** Fields that may come several times and must not be joined or replaced. */
const SEVERAL = new Set(['set-cookie', 'www-authenticate'])
const HEADERS_TO_REMOVE = 'x-envoy-auth-headers-to-remove'

export class HttpAuthzService {
  readonly service: HttpService
  private readonly requestHeaders: NameTest
  private readonly upstream: NameTest
  private readonly upstreamAppend: NameTest
  private readonly client: NameTest
  private readonly clientOnSuccess: NameTest

  constructor(service: HttpService, allowedHeaders: ExtAuthzConfig['allowedHeaders']) {
    this.service = service
    this.requestHeaders = compileStringMatchers([...service.allowedRequestHeaders, ...allowedHeaders])
    this.upstream = compileStringMatchers(service.allowedUpstreamHeaders)
    this.upstreamAppend = compileStringMatchers(service.allowedUpstreamHeadersToAppend)
    this.client = compileStringMatchers(service.allowedClientHeaders)
    this.clientOnSuccess = compileStringMatchers(service.allowedClientHeadersOnSuccess)
  }

  request(head: RequestHead, disallowed: NameTest, body: { readonly bytes: Buffer; readonly partial: boolean } | null): AsyncRequest {
    const headers = new HeaderList()
    const source = head.headers
    for (let i = 0; i < source.length; i++) {
      const name = source.lower[i]!
      if (name === 'content-length' || name === PARTIAL_BODY || disallowed?.(name) === true) continue
      if (name === 'authorization' || this.requestHeaders?.(name) === true) headers.appendParsed(source.raw[i]!, name, source.values[i]!)
    }
    for (const { key, value } of this.service.headersToAdd) headers.set(key, value)
    if (body !== null) headers.set(PARTIAL_BODY, String(body.partial))
    else headers.set('content-length', '0')
    return {
      method: head.method,
      path: this.service.pathPrefix + head.path,
      authority: head.authority,
      headers,
      body: body === null || body.bytes.length === 0 ? null : body.bytes,
      timeoutMs: this.service.timeoutMs,
    }
  }

  decide(result: AsyncResult): AuthzDecision {
    if (result.kind === 'failure') return { kind: 'error', message: result.message }
    const { status, headers } = result
    if (status >= 500) return { kind: 'error', message: `the authorization service answered ${status}` }
    if (status !== 200) {
      const test: NameTest = this.client === null ? name => name !== 'host' : name => ALWAYS_TO_CLIENT.has(name) || this.client!(name)
      const passed = this.select(headers, test, 'OVERWRITE_IF_EXISTS_OR_ADD').map(header =>
        SEVERAL.has(header.name) ? { ...header, action: 'APPEND_IF_EXISTS_OR_ADD' as const } : header,
      )
      return { kind: 'denied', status, headers: passed, body: result.body.toString('latin1'), metadata: null }
    }
    return {
      kind: 'ok',
      requestHeaders: [
        ...this.select(headers, this.upstream, 'OVERWRITE_IF_EXISTS_OR_ADD'),
        ...this.select(headers, this.upstreamAppend, 'append-existing'),
      ],
      removeHeaders: (headers.getJoined(HEADERS_TO_REMOVE) ?? '').split(',').map(name => name.trim().toLowerCase()),
      responseHeaders: this.select(headers, this.clientOnSuccess, 'APPEND_IF_EXISTS_OR_ADD'),
      setQuery: [],
      removeQuery: [],
      metadata: null,
    }
  }

  private select(headers: HeaderList, test: NameTest, action: DecidedHeader['action']): DecidedHeader[] {
    const out: DecidedHeader[] = []
    if (test === null) return out
    for (let i = 0; i < headers.length && out.length < MAX_AUTHZ_HEADERS; i++) {
      const name = headers.lower[i]!
      if (name !== HEADERS_TO_REMOVE && test(name)) out.push({ name, value: headers.values[i]!, action })
    }
    return out
  }
}
