// One access logger: its filter and its line. Compiled once from AccessLog; called by finish for HTTP requests and by proxy for TCP
// connections. Lines are byte strings that end with a newline; the sink writes them as they are.

import type { AccessLog, AccessLogFilter, LogFormat } from '../../model/access-log.js'
import type { Metadata } from '../../model/metadata.js'
import { accessLogType, compileJsonFormat, compileTextFormat, type FormatFunction } from '../format/header-format.js'
import { grpcStatusFor } from '../grpc/response-status.js'
import { compileCel } from '../match/cel-test.js'
import { compileHeaderMatcher } from '../match/header-matcher.js'
import { compileMetadataMatcher, metadataValue } from '../match/metadata-matcher.js'
import { compileRuntimeFraction, EMPTY_RUNTIME, type Runtime, runtimeInteger } from '../match/runtime-fraction.js'
import { responseFlagBit } from '../stream/response-flags.js'
import { HEALTH_CHECK_STATE, type StreamInfo } from '../stream/stream-info.js'

export interface CompiledAccessLog {
  readonly model: AccessLog
  shouldLog(info: StreamInfo): boolean
  format(info: StreamInfo): string
}

export interface AccessLogOptions {
  readonly runtime: Runtime
  /** Uniform in [0, 1): runtime filters. */
  readonly random: () => number
}

/** Envoy's own format, where the config names none. */
export const DEFAULT_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'

const DEFAULT_OPTIONS: AccessLogOptions = { runtime: EMPTY_RUNTIME, random: Math.random }

export function compileAccessLog(model: AccessLog, options: AccessLogOptions = DEFAULT_OPTIONS): CompiledAccessLog {
  const shouldLog = model.filter === null ? () => true : compileAccessLogFilter(model.filter, options)
  return { model, shouldLog, format: compileLine(model.format) }
}

function compileLine(format: LogFormat): FormatFunction {
  if (format.json !== null) {
    const compiled = compileJsonFormat(format.json, format.omitEmptyValues)
    const line = compiled.ok ? compiled.format : () => '{}'
    return info => `${line(info)}\n`
  }
  // A format that does not compile was refused with the config; the default one still says more than nothing.
  const given = compileTextFormat(format.text ?? DEFAULT_TEXT_FORMAT, format.omitEmptyValues)
  const compiled = given.ok ? given : compileTextFormat(DEFAULT_TEXT_FORMAT)
  return compiled.ok ? compiled.format : () => ''
}

/** The text of a local reply body (LocalReplyConfig): like a log line, without a newline of its own. */
export function compileBodyFormat(format: LogFormat): FormatFunction {
  if (format.json !== null) {
    const compiled = compileJsonFormat(format.json, format.omitEmptyValues)
    return compiled.ok ? info => `${compiled.format(info)}\n` : () => ''
  }
  const compiled = compileTextFormat(format.text ?? '%LOCAL_REPLY_BODY%', format.omitEmptyValues)
  return compiled.ok ? compiled.format : () => ''
}

/** Also used by local_reply_config mappers. */
export function compileAccessLogFilter(
  filter: AccessLogFilter,
  options: AccessLogOptions = DEFAULT_OPTIONS,
): (info: StreamInfo) => boolean {
  switch (filter.kind) {
    case 'statusCode':
      return compare(filter, options.runtime, info => info.responseCode)
    case 'duration':
      return compare(filter, options.runtime, info => Math.floor((info.endedAt === 0 ? performance.now() : info.endedAt) - info.startedAt))
    case 'notHealthCheck':
      return info => info.filterState(HEALTH_CHECK_STATE) !== true
    case 'traceable':
      return info => info.trace?.traced === true
    case 'runtime': {
      const test = compileRuntimeFraction(filter.fraction, options.runtime)
      return test === null ? () => true : () => test(options.random())
    }
    case 'and': {
      const all = filter.filters.map(inner => compileAccessLogFilter(inner, options))
      return info => all.every(test => test(info))
    }
    case 'or': {
      const any = filter.filters.map(inner => compileAccessLogFilter(inner, options))
      return info => any.some(test => test(info))
    }
    case 'header': {
      const test = compileHeaderMatcher(filter.header, 'possible')
      return info => test(info.request)
    }
    case 'responseFlag': {
      if (filter.flags.length === 0) return info => info.responseFlags !== 0
      let bits = 0
      for (const flag of filter.flags) bits |= responseFlagBit(flag) ?? 0
      return info => (info.responseFlags & bits) !== 0
    }
    case 'grpcStatus': {
      const statuses = new Set(filter.statuses)
      return info => statuses.has(grpcStatusFor(info)) !== filter.exclude
    }
    case 'logType': {
      const types = new Set(filter.types)
      return info => types.has(accessLogType(info)) !== filter.exclude
    }
    case 'metadata': {
      const { matcher, matchIfMissing } = filter
      const test = compileMetadataMatcher(matcher)
      return info => {
        const source: Metadata['get'] = namespace => info.dynamicMetadata(namespace)
        if (metadataValue(source(matcher.namespace), matcher.path) === undefined) return matchIfMissing
        return test(source)
      }
    }
    case 'cel': {
      const test = compileCel(filter.expression)
      return info => test(info.connection, info)
    }
  }
}

type Comparison = Extract<AccessLogFilter, { kind: 'statusCode' | 'duration' }>

function compare(
  { op, value, runtimeKey }: Comparison,
  runtime: Runtime,
  read: (info: StreamInfo) => number,
): (info: StreamInfo) => boolean {
  return info => compared(op, read(info), runtimeInteger(value, runtimeKey, runtime))
}

function compared(op: Comparison['op'], found: number, value: number): boolean {
  switch (op) {
    case 'EQ':
      return found === value
    case 'GE':
      return found >= value
    case 'LE':
      return found <= value
    case 'NE':
      return found !== value
  }
}
