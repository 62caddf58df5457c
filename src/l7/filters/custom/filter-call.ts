// HttpFilterCall and the messages that it shows, over the FilterCall of one request. Made by guarded-filter.ts for each request and filter.
// Invariant: what a filter writes into a message is checked here, so that a forwarded message stays one message.

import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import type { FilterCall } from '../http-filter.js'
import { responseControl } from '../response-control.js'
import type { HttpFilterCall, HttpFilterRequest, HttpFilterResponse, HttpLocalReply, JsonObject, JsonValue } from './custom-filter.js'
import { checkField, HeaderView } from './header-view.js'

const PATH = /^\/[\x21\x22\x24-\x7e]*$/
const AUTHORITY = /^[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]+$/
const MIN_STATUS = 200
const MAX_STATUS = 599

export class RequestView implements HttpFilterRequest {
  readonly headers: HeaderView
  private readonly head: RequestHead

  constructor(head: RequestHead) {
    this.head = head
    this.headers = new HeaderView(head.headers)
  }

  get method(): string {
    return this.head.method
  }

  get scheme(): string {
    return this.head.scheme
  }

  get authority(): string {
    return this.head.authority
  }

  set authority(authority: string) {
    if (!AUTHORITY.test(authority)) throw new TypeError(`${JSON.stringify(authority)} is no authority`)
    this.head.authority = authority
  }

  get path(): string {
    return this.head.path
  }

  set path(path: string) {
    if (!PATH.test(path)) throw new TypeError(`${JSON.stringify(path)} is no path: it begins with '/' and is percent-encoded`)
    this.head.path = path
  }
}

export class ResponseView implements HttpFilterResponse {
  readonly headers: HeaderView
  readonly local: boolean
  private readonly head: ResponseHead

  constructor(head: ResponseHead, local: boolean) {
    this.head = head
    this.local = local
    this.headers = new HeaderView(head.headers)
  }

  get status(): number {
    return this.head.status
  }

  set status(status: number) {
    checkStatus(status)
    // A response that has no body by its status does not get one, nor the other way round.
    if (isBodiless(status) !== isBodiless(this.head.status))
      throw new TypeError(`${this.head.status} cannot become ${status}: only one has a body`)
    this.head.status = status
    this.head.reason = ''
  }
}

export class CustomFilterCall implements HttpFilterCall {
  readonly request: RequestView
  /** The hook that runs, where bodies may be asked for. */
  phase: 'request' | 'response' | null = null
  /** A whole response body is waited for. */
  buffersResponse = false
  private readonly call: FilterCall
  private readonly filterName: string
  private readonly typeName: string
  private responseHead: ResponseHead | null = null
  private onFailure: ((error: unknown) => void) | null = null
  /** Who waits for the request's body. */
  private rejectBody: ((error: Error) => void) | null = null
  private bodyRead = false

  constructor(call: FilterCall, filterName: string, typeName: string) {
    this.call = call
    this.filterName = filterName
    this.typeName = typeName
    this.request = new RequestView(call.request)
  }

  get routeConfig(): unknown {
    const override = this.call.overrideFor(this.filterName)
    return override?.kind === 'custom' && override.config.typeName === this.typeName ? override.config.config : null
  }

  get requestId(): string {
    return this.call.info.requestId
  }

  get remoteAddress(): string {
    return this.call.info.remoteAddress
  }

  get peer(): string | null {
    const peer = this.call.info.connection.tls?.peer ?? null
    return peer?.validated === true ? (peer.uriSans[0] ?? null) : null
  }

  get routeName(): string {
    return this.call.info.routeName
  }

  get clusterName(): string {
    return this.call.info.upstreamCluster
  }

  get ended(): boolean {
    return this.call.ended
  }

  reply({ status, body = '', headers = [], details = '' }: HttpLocalReply): void {
    checkStatus(status)
    for (const [name, value] of headers) checkField(name, value)
    const list = headers.length === 0 ? null : HeaderList.of(...headers)
    if (!this.call.ended) this.call.sendReply(status, body, details === '' ? 'direct_response' : details.replaceAll(/\s/g, '_'), 0, list)
  }

  clearRouteCache(): void {
    if (!this.call.ended) this.call.clearRouteCache()
  }

  readRequestBody(maxBytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.call.ended || this.phase !== 'request' || this.rejectBody !== null) {
        reject(new Error(this.call.ended ? 'the request is over' : 'readRequestBody is called from onRequest alone, once'))
        return
      }
      this.rejectBody = reject
      this.call.bufferRequest(maxBytes, false, body => {
        this.rejectBody = null
        this.bodyRead = true
        resolve(Buffer.from(body))
      })
    })
  }

  replaceRequestBody(body: Buffer | string): void {
    if (!this.bodyRead || this.phase !== 'request')
      throw new Error('replaceRequestBody is called from onRequest alone, after readRequestBody')
    if (!this.call.ended) this.call.replaceRequestBody(Buffer.from(body))
  }

  rewriteResponseBody(maxBytes: number, rewrite: (body: Buffer) => Buffer | string | undefined): void {
    if (this.phase !== 'response') throw new Error('rewriteResponseBody is called from onResponse alone, before its first await')
    const head = this.responseHead!
    this.buffersResponse = true
    responseControl(this.call).bufferResponse(maxBytes, (body, trailers) => {
      let sent = body
      try {
        const rewritten = rewrite(body)
        if (rewritten !== undefined) sent = Buffer.from(rewritten)
      } catch (error) {
        this.onFailure!(error)
      }
      if (head.contentLength >= 0 || trailers === null) {
        head.contentLength = sent.length
        head.headers.set('content-length', String(sent.length))
      }
      return { body: sent, trailers }
    })
  }

  metadata(namespace: string): JsonObject | undefined {
    return this.call.info.dynamicMetadata(namespace)
  }

  setMetadata(namespace: string, key: string, value: JsonValue): void {
    this.call.info.setDynamicMetadata(namespace, key, value)
  }

  /** Before the filter's onResponse; `onFailure` hears of what throws after it. */
  enterResponse(head: ResponseHead, onFailure: (error: unknown) => void): void {
    this.responseHead = head
    this.onFailure = onFailure
    this.phase = 'response'
  }

  /** The request is over: nobody waits for ever. */
  finish(): void {
    this.rejectBody?.(new Error('the request ended before its body was there'))
    this.rejectBody = null
  }
}

function checkStatus(status: number): void {
  if (!Number.isInteger(status) || status < MIN_STATUS || status > MAX_STATUS) throw new TypeError(`${status} is no status of a response`)
}

function isBodiless(status: number): boolean {
  return status === 204 || status === 304
}
