// One direction of a body as a filter sees it that keeps bytes back and sends others in their place: the same four calls for requests
// and responses, over RequestControl and ResponseControl. Used by the compressor and the decompressor.

import type { HeaderList } from '../codec/header-list.js'
import type { FilterCall, StreamFilter } from './http-filter.js'
import { requestControl } from './request-control.js'
import { responseControl } from './response-control.js'

export interface BodyFlow {
  /** The request is over: nothing may be sent on. */
  readonly ended: boolean
  emitData(chunk: Buffer, end: boolean): void
  emitTrailers(trailers: HeaderList): void
  /** Ask the sender to stop or go on. */
  pause(): void
  unpause(): void
}

export class RequestFlow implements BodyFlow {
  constructor(
    private readonly call: FilterCall,
    private readonly filter: StreamFilter,
  ) {}

  get ended(): boolean {
    return this.call.ended
  }

  emitData(chunk: Buffer, end: boolean): void {
    requestControl(this.call).emitRequestData(this.filter, chunk, end)
  }

  emitTrailers(trailers: HeaderList): void {
    requestControl(this.call).emitRequestTrailers(this.filter, trailers)
  }

  pause(): void {
    requestControl(this.call).pauseRequestBody()
  }

  unpause(): void {
    requestControl(this.call).unpauseRequestBody()
  }
}

export class ResponseFlow implements BodyFlow {
  constructor(
    private readonly call: FilterCall,
    private readonly filter: StreamFilter,
  ) {}

  get ended(): boolean {
    return this.call.ended
  }

  emitData(chunk: Buffer, end: boolean): void {
    responseControl(this.call).emitResponseData(this.filter, chunk, end)
  }

  emitTrailers(trailers: HeaderList): void {
    responseControl(this.call).emitResponseTrailers(this.filter, trailers)
  }

  pause(): void {
    responseControl(this.call).pauseResponse()
  }

  unpause(): void {
    responseControl(this.call).unpauseResponse()
  }
}
