// envoy.filters.http.buffer: the request goes on only when its whole body is here, with its length known; too long a body is a 413.

import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead } from '../codec/codec.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

export function bufferFilter(name: string, disabled: boolean, maxRequestBytes: number): FilterFactory {
  const shared = new BufferFilter(maxRequestBytes)
  const byOverride = new WeakMap<HttpFilterOverride, BufferFilter>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      // A tunnel has no end to wait for.
      if (call.request.upgrade !== '' || call.request.method === 'CONNECT') return null
      const override = call.overrideFor(name)
      if (override?.kind !== 'buffer' || override.config === null) return shared
      let own = byOverride.get(override)
      if (own === undefined) {
        own = new BufferFilter(override.config.maxRequestBytes)
        byOverride.set(override, own)
      }
      return own
    },
  }
}

class BufferFilter implements StreamFilter {
  private readonly maxBytes: number

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    if (end) return 'continue'
    let inside = true
    let done = false
    call.bufferRequest(this.maxBytes, false, body => {
      done = true
      if (head.contentLength < 0) {
        head.contentLength = body.length
        head.headers.set('content-length', String(body.length))
      }
      if (!inside) call.resume()
    })
    inside = false
    return done ? 'continue' : 'stop'
  }
}
