// One value for a header field that may have come several times, as Envoy's components read it: of the fields that it keeps as one the parts
// joined by commas, of any other the first. Called by the format commands and by the filters that ask for credentials; matchers, which join
// whatever comes, have header-matcher.ts.

import type { HeaderList } from './header-list.js'

const JOINED_FIELDS = new Set(
  (
    'accept accept-encoding access-control-allow-origin access-control-expose-headers access-control-request-headers ' +
    'access-control-request-method age authorization cache-control connection content-encoding content-type date etag expect ' +
    'grpc-message grpc-status grpc-timeout host if-match if-modified-since if-none-match keep-alive location origin pragma referer ' +
    'server te transfer-encoding upgrade user-agent vary via x-client-trace-id x-envoy-attempt-count x-forwarded-for ' +
    'x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id'
  ).split(' '),
)

/** `name`: lower case. */
export function fieldOf(headers: HeaderList, name: string): string | undefined {
  return JOINED_FIELDS.has(name) ? headers.getJoined(name) : headers.get(name)
}
