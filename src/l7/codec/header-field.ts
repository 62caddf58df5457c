// One value for a header field that may have come several times, as Envoy's components read it: of the fields that it keeps as one the parts
// joined by commas, of any other the first. Called by the format commands and by the filters that ask for credentials; matchers, which join
// whatever comes, have header-matcher.ts.

import type { HeaderList } from './header-list.js'

const JOINED_FIELDS = new Set(
  (
    'accept accept-encoding accept-language access-control-request-headers access-control-request-method authorization cache-control ' +
    'connection content-encoding content-type cookie expect forwarded host keep-alive origin te transfer-encoding upgrade user-agent ' +
    'vary via x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id'
  ).split(' '),
)

/** `name`: lower case. */
export function fieldOf(headers: HeaderList, name: string): string | undefined {
  return JOINED_FIELDS.has(name) ? headers.getJoined(name) : headers.get(name)
}
