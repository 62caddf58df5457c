// What stands around a filter chain, without client, router and sockets. `seen` is what left the chain, one line a call.

import type { RequestHead, ResponseHead } from '../../../src/l7/codec/codec.js'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { FilterChain, type FilterChainHost } from '../../../src/l7/filters/filter-chain.js'
import type { FilterFactory } from '../../../src/l7/filters/http-filter.js'
import type { LocalReply } from '../../../src/l7/reply/local-reply.js'
import { HeldBody } from '../../../src/l7/stream/held-body.js'
import type { StreamInfo } from '../../../src/l7/stream/stream-info.js'
import { info } from '../request-fixtures.js'
import { responseHead } from './fake-call.js'

export class FakeChainHost implements FilterChainHost {
  readonly info: StreamInfo
  readonly body: HeldBody
  readonly route = null
  readonly choice = null
  readonly chain: FilterChain
  readonly seen: string[] = []
  readonly request: RequestHead
  ended = false
  /** The head that went to the client. */
  response: ResponseHead | null = null
  responseBytes = 0
  /** Written behind the last bytes that go upstream. */
  endMark = ''

  constructor(request: RequestHead, ended: boolean, factories: readonly FilterFactory[]) {
    this.request = request
    this.info = info(request)
    this.body = new HeldBody(ended)
    this.chain = new FilterChain(this, factories, 1024)
  }

  clearRouteCache = () => {}
  discoverRoute = () => null
  requestPassed = () => void this.seen.push('passed')
  requestDataPassed = (chunk: Buffer, end: boolean) => void this.seen.push(`up ${chunk.toString('latin1')}${end ? this.endMark : ''}`)
  requestTrailersPassed = () => void this.seen.push('up trailers')
  requestTooLarge = () => void this.seen.push('too large')
  responseTooLarge = () => void this.seen.push('response too large')
  redirectTo = () => 'no-route' as const
  pauseRequest = () => void this.seen.push('pause')
  resumeRequest = () => {}
  pauseUpstream = () => void this.seen.push('pause upstream')
  resumeUpstream = () => {}

  reply(reply: LocalReply, headers: ResponseHead['headers'] | null): void {
    this.chain.stopCollecting()
    const head = responseHead(reply.status)
    for (let i = 0; headers !== null && i < headers.length; i++) head.headers.append(headers.raw[i]!, headers.values[i]!)
    this.chain.startLocalResponse(head, Buffer.from(reply.body))
  }

  replyWithHead(status: number, _details: string, headers: ResponseHead['headers']): void {
    this.chain.startLocalResponse({ ...responseHead(status), headers }, Buffer.alloc(0))
  }

  relayHead(head: ResponseHead, end: boolean): void {
    this.response = head
    this.seen.push(`head ${head.status}${end ? ' end' : ''}`)
    if (end) this.end()
  }

  relayData(chunk: Buffer, end: boolean): void {
    this.responseBytes += chunk.length
    if (chunk.length > 0 || !end) this.seen.push(`data ${chunk.toString('latin1')}`)
    if (end) {
      this.seen.push('end')
      this.end()
    }
  }

  relayTrailers(): void {
    this.seen.push('trailers end')
    this.end()
  }

  /** The client is gone, or the response is. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.chain.finish()
  }

  data(text: string, end: boolean): void {
    if (end) this.body.ended = true
    this.chain.requestData(Buffer.from(text), end)
  }

  trailers(): void {
    this.body.ended = true
    this.body.trailers = HeaderList.of(['x-t', '1'])
    this.chain.requestTrailersCame(this.body.trailers)
  }
}
