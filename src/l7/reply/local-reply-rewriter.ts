// local_reply_config of the connection manager: other status, body, format and headers for the proxy's own answers. Compiled once;
// the first mapper whose filter matches is used, as Envoy does.

import type { LogFormat } from '../../model/access-log.js'
import type { LocalReplyConfig } from '../../model/http-connection-manager.js'
import type { HeaderList } from '../codec/header-list.js'
import { formatOrText } from '../format/header-format.js'
import { compileAccessLogFilter, compileBodyFormat } from '../log/access-log.js'
import type { StreamInfo } from '../stream/stream-info.js'

export type LocalReplyRewriter = (
  info: StreamInfo,
  status: number,
  body: string,
  headers: HeaderList,
) => { status: number; body: string; contentType: string }

type Body = (info: StreamInfo, body: string) => string

const LOCAL_REPLY_BODY = '%LOCAL_REPLY_BODY%'

export function compileLocalReplyRewriter(config: LocalReplyConfig): LocalReplyRewriter {
  const mappers = config.mappers.map(mapper => ({
    // The predicates of access logs, in the same context.
    matches: compileAccessLogFilter(mapper.filter),
    statusCode: mapper.statusCode,
    body: mapper.body,
    format: mapper.format === null ? null : compileBody(mapper.format),
    contentType: mapper.contentType,
    headers: mapper.headersToAdd.map(option => ({ option, format: formatOrText(option.value) })),
  }))
  const outer = config.format === null ? null : compileBody(config.format)
  const outerType = config.contentType
  return (info, status, body, headers: HeaderList) => {
    const mapper = mappers.find(candidate => candidate.matches(info))
    let contentType = 'text/plain'
    if (mapper !== undefined) {
      status = mapper.statusCode ?? status
      info.responseCode = status
      body = mapper.body ?? body
      for (const { option, format } of mapper.headers) {
        const value = format(info)
        if (option.action === 'OVERWRITE_IF_EXISTS_OR_ADD') headers.set(option.name, value)
        else headers.append(option.name, value)
      }
    }
    const format = mapper?.format ?? outer
    if (format !== null) {
      body = format(info, body)
      contentType = (mapper?.format !== null && mapper !== undefined ? mapper.contentType : outerType) || contentType
    }
    return { status, body, contentType }
  }
}

function compileBody(format: LogFormat): Body {
  if (format.json !== null) {
    const log = compileBodyFormat(format)
    return (info, body) => log(info).trimEnd().replaceAll(LOCAL_REPLY_BODY, JSON.stringify(body).slice(1, -1))
  }
  const parts = (format.text ?? LOCAL_REPLY_BODY).split(LOCAL_REPLY_BODY).map(formatOrText)
  return (info, body) => parts.map(part => part(info)).join(body)
}
