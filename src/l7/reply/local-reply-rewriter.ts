// local_reply_config of the connection manager: other status, body, format and headers for the proxy's own answers. Compiled once;
// the first mapper whose filter matches is used, as Envoy does. custom_response has formats of the same kind.

import type { LogFormat } from '../../model/access-log.js'
import type { LocalReplyConfig } from '../../model/http-connection-manager.js'
import { fromByteString } from '../codec/byte-string.js'
import type { HeaderList } from '../codec/header-list.js'
import { LOCAL_REPLY_BODY_STATE } from '../format/header-format.js'
import { compileAccessLogFilter, compileBodyFormat } from '../log/access-log.js'
import { compileHeaderMutations } from '../route/header-mutations.js'
import type { StreamInfo } from '../stream/stream-info.js'

export type LocalReplyRewriter = (
  info: StreamInfo,
  status: number,
  body: string,
  headers: HeaderList,
) => { status: number; body: string; contentType: string }

export type BodyFormat = (info: StreamInfo, body: string) => string

const LOCAL_REPLY_BODY = '%LOCAL_REPLY_BODY%'

export function compileLocalReplyRewriter(config: LocalReplyConfig): LocalReplyRewriter {
  const mappers = config.mappers.map(mapper => ({
    // The predicates of access logs, in the same context.
    matches: compileAccessLogFilter(mapper.filter),
    statusCode: mapper.statusCode,
    body: mapper.body,
    format: mapper.format === null ? null : compileReplyBody(mapper.format),
    contentType: mapper.contentType,
    formatType: typeOf(mapper.format),
    headers: compileHeaderMutations(mapper.headersToAdd, []),
  }))
  const outer = config.format === null ? null : compileReplyBody(config.format)
  const outerType = config.contentType || typeOf(config.format)
  return (info, status, body, headers: HeaderList) => {
    const mapper = mappers.find(candidate => candidate.matches(info))
    let contentType = 'text/plain'
    if (mapper !== undefined) {
      status = mapper.statusCode ?? status
      info.responseCode = status
      body = mapper.body ?? body
      mapper.headers?.apply(headers, info)
    }
    const format = mapper?.format ?? outer
    if (format !== null) {
      body = format(info, body)
      const own = mapper !== undefined && mapper.format !== null
      contentType = own ? mapper.contentType || mapper.formatType : outerType
    }
    return { status, body, contentType }
  }
}

/** `%LOCAL_REPLY_BODY%` in it is the body that there was. */
export function compileReplyBody(format: LogFormat): BodyFormat {
  if (format.json !== null) {
    const compiled = compileBodyFormat(format)
    return (info, body) => {
      info.setFilterState(LOCAL_REPLY_BODY_STATE, fromByteString(body))
      return compiled(info)
    }
  }
  // The body goes in as it is, without the escapes of a log.
  const parts = (format.text ?? LOCAL_REPLY_BODY).split(LOCAL_REPLY_BODY).map(text => compileBodyFormat({ ...format, text }))
  return (info, body) => parts.map(part => part(info)).join(body)
}

/** Where the format names no type. */
function typeOf(format: LogFormat | null): string {
  return format !== null && format.json !== null ? 'application/json' : 'text/plain'
}
