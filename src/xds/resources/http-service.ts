// envoy.config.core.v3.HttpService -> model: where spans and log records go over HTTP. Called by tracing.ts and access-log.ts.

import type { HttpService } from '../../model/http-service.js'
import type { HttpService as HttpServiceMessage } from '../gen/envoy/config/core/v3/http_service_pb.js'
import type { Ctx } from './field-path.js'
import { durationMsOr } from './values.js'

/** `timeoutMs`: where the service sets none. */
export function decodeHttpService(service: HttpServiceMessage, timeoutMs: number, ctx: Ctx): HttpService {
  const { httpUri } = service
  const uriCtx = ctx.at('http_uri')
  if (httpUri === undefined) uriCtx.error('value is required')
  const cluster = httpUri?.httpUpstreamType.case === 'cluster' ? httpUri.httpUpstreamType.value : ''
  const [, authority = '', path = ''] = /^(?:[a-z][a-z0-9+.-]*:\/\/([^/]*))?(.*)$/is.exec(httpUri?.uri ?? '') ?? []
  return {
    cluster,
    host: authority === '' ? cluster : authority,
    path: path === '' ? '/' : path,
    timeoutMs: durationMsOr(httpUri?.timeout, timeoutMs),
    headers: service.requestHeadersToAdd.map((option, i) => {
      const at = ctx.at('request_headers_to_add', i).at('header')
      const name = option.header?.key.toLowerCase() ?? ''
      const raw = option.header?.rawValue ?? new Uint8Array()
      const value = raw.length > 0 ? Buffer.from(raw).toString('latin1') : (option.header?.value ?? '')
      if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) at.at('key').error(`'${name}' is not a valid header name`)
      if (/%[^%]/.test(value.replaceAll('%%', '')))
        at.at('value').error('no %COMMAND% is possible here: there is no request to take it from')
      if (/[\0\r\n]/.test(value)) at.at('value').error('NUL, CR or LF in a header value')
      return { name, value: value.replaceAll('%%', '%') }
    }),
  }
}
