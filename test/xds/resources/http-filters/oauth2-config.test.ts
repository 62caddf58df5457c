// oauth2 and bandwidth_limit: what a configuration leaves out, and what would break headers is refused by name.
import { expect, it } from 'vitest'
import { decoded, decodeListenerJson, errorsOf, hcm, httpFilter, type Json, listenerJson, router } from '../messages.js'

const CREDENTIALS: Json = { client_id: 'x', token_secret: { name: 't' }, hmac_secret: { name: 'h' } }
const CONFIG: Json = {
  token_endpoint: { cluster: 'c', uri: 'https://t/x', timeout: '3s' },
  authorization_endpoint: 'https://a/b',
  redirect_uri: 'https://%REQ(:authority)%/cb',
  redirect_path_matcher: { path: { exact: '/cb' } },
  signout_path: { path: { exact: '/so' } },
  credentials: CREDENTIALS,
}
const decodeFilter = (type: string, config: Json) =>
  decodeListenerJson(listenerJson({ filters: [hcm({ http_filters: [httpFilter(type, config), router()] })] }))
const decodeOAuth2 = (changes: Json) => decodeFilter('oauth2.v3.OAuth2', { config: { ...CONFIG, ...changes } })
const tokenEndpointOf = (changes: Json): unknown => {
  const [filter] = decoded(decodeOAuth2(changes)).filterChains[0]!.filters
  if (filter?.kind !== 'httpConnectionManager') throw new Error('no connection manager')
  const oauth2 = filter.hcm.httpFilters[0]
  return oauth2?.kind === 'oauth2' ? oauth2.config?.tokenEndpoint : null
}

it('tries the token endpoint as often, and waits as long, as retry_policy says', () => {
  const once = { cluster: 'c', uri: 'https://t/x', timeoutMs: 3000 }
  expect(tokenEndpointOf({})).toMatchObject({ ...once, retries: 0 })
  expect(tokenEndpointOf({ retry_policy: {} })).toEqual({ ...once, retries: 1, retryBaseMs: 1000, retryMaxMs: 10_000 })
  expect(tokenEndpointOf({ retry_policy: { num_retries: 3, retry_back_off: { base_interval: '0.1s' } } })).toEqual({
    ...once,
    retries: 3,
    retryBaseMs: 100,
    retryMaxMs: 1000,
  })
})

it.each([
  ['forward_id_token.header', { forward_id_token: { header: 'x y' } }, "'x y' is not a valid header name"],
  ['forward_id_token.header', { forward_id_token: { header: ':path' } }, "':path' is not a valid header name"],
  [
    'end_session_endpoint',
    { auth_scopes: ['openid'], end_session_endpoint: 'https://a/\r\nset-cookie: a=b' },
    'a URL has neither white space nor control characters',
  ],
  ['end_session_endpoint', { end_session_endpoint: 'https://a/' }, "it is part of OpenID Connect: auth_scopes needs 'openid'"],
  ['credentials.token_secret', { credentials: { client_id: 'x', hmac_secret: { name: 'h' } } }, 'value is required'],
] as [string, Json, string][])('refuses %s: %j', (path, changes, reason) => {
  expect(errorsOf(decodeOAuth2(changes))).toEqual([expect.stringContaining(`config.${path}: ${reason}`)])
})

it('refuses a prefix of bandwidth_limit that no trailer can have', () => {
  const limit = { stat_prefix: 'p', limit_kbps: 1, enable_mode: 'REQUEST', enable_response_trailers: true, response_trailer_prefix: 'a b' }
  expect(errorsOf(decodeFilter('bandwidth_limit.v3.BandwidthLimit', limit))).toEqual([
    expect.stringContaining("response_trailer_prefix: 'a b' is not a valid header name"),
  ])
})
