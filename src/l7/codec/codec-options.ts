// Codec limits and spelling from the protocol options of a connection manager or a cluster. One home for the defaults.

import type { CommonHttpOptions, Http1Options } from '../../model/http-connection-manager.js'
import type { HeadLimits } from './codec.js'
import type { HeaderCase } from './http1/message-writer.js'

/** Envoy's default of max_request_headers_kb, and of the response's over HTTP/2. */
export const DEFAULT_MAX_HEADERS_KB = 60
/** Envoy's limit of HTTP/1 response heads where max_response_headers_kb is not set. */
export const DEFAULT_MAX_HTTP1_RESPONSE_HEADERS_KB = 80

export function headLimits(common: CommonHttpOptions, maxHeadersKb: number | null): HeadLimits {
  return {
    maxHeadBytes: (maxHeadersKb ?? DEFAULT_MAX_HEADERS_KB) * 1024,
    maxHeaders: common.maxHeadersCount,
    underscores: common.headersWithUnderscoresAction,
  }
}

/** Case is kept from HTTP/1 to HTTP/1 unless `proper_case_words` asks for Train-Case. */
export function headerCase(options: Http1Options): HeaderCase {
  return options.headerKeyFormat === 'proper' ? 'proper' : 'preserve'
}
