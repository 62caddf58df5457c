// The proxy's and the control plane's log: on stderr or in --log-path, as pino's JSON, or as text where --log-format asks for it. Levels by
// Envoy's names and for each of Envoy's components; changeable at run time (/logging). The file can be opened anew (SIGUSR1).

import pino from 'pino'
import type { LogSeverity, SidecarOptions } from '../sidecar/sidecar.js'
import { compileLogFormat } from './log-format.js'

type Log = SidecarOptions['log']
type Logging = SidecarOptions['logging']

export interface ProxyLogger extends Logging {
  readonly log: Log
  reopen(): void
}

export interface LoggerOptions {
  readonly name: string
  readonly level: string
  /** '' = stderr. */
  readonly path: string
  /** spdlog's pattern; '' = JSON. */
  readonly format: string
  /** Newlines and the like in a message are written as C escapes. */
  readonly escaped: boolean
  /** By component, over `level`. */
  readonly componentLevels: ReadonlyMap<string, string>
}

/** Envoy's levels, least severe first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const

/** Envoy's loggers, as its /logging lists them. Those that nothing here writes to can be set all the same. */
export const LOG_COMPONENTS: ReadonlySet<string> = new Set(
  (
    'a2a admin ai_protocol_manager alternate_protocols_cache aws assert backtrace basic_auth cache_filter client config connection ' +
    'conn_handler compression credential_injector decompression dns dubbo envoy_bug ext_authz ext_proc rocketmq file filter forward_proxy ' +
    'geolocation grpc happy_eyeballs hc health_checker http http2 hystrix init io jwt json_rpc kafka key_value_store lua local_rate_limit ' +
    'main matcher mcp misc mongo multi_connection notification oauth2 quic quic_stream pool rate_limit_quota rbac rds redis router runtime ' +
    'stats secret sse tap testing thrift tracing upstream udp wasm websocket golang stats_sinks dynamic_modules ip_tagging'
  ).split(' '),
)

const ENVOY_LEVELS: Readonly<Record<LogSeverity, string>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warning',
  error: 'error',
}
const RANKS = new Map<string, number>([...LOG_LEVELS.map((level, rank) => [level, rank] as const), ['warn', LOG_LEVELS.indexOf('warning')]])

export function createLogger(options: LoggerOptions): ProxyLogger {
  const { name, level, path } = options
  const destination = pino.destination({ dest: path === '' ? 2 : path, sync: false })
  const write = options.format === '' && !options.escaped ? jsonWriter(name, destination) : textWriter(options, destination)
  const levels = new Map<string, string>([...LOG_COMPONENTS].map(component => [component, level]))
  for (const [component, own] of options.componentLevels) levels.set(component, own)
  return {
    log: (severity, message, fields, component = 'main') => {
      if (RANKS.get(ENVOY_LEVELS[severity])! < RANKS.get(levels.get(component)!)!) return
      write(severity, component, message, fields)
    },
    levelNames: LOG_LEVELS,
    levels: () => levels,
    setLevels: changes => {
      for (const [component, next] of changes) {
        if (!levels.has(component)) return 'unknown logger name'
        if (!RANKS.has(next)) return 'unknown logger level'
      }
      for (const [component, next] of changes) levels.set(component, next)
      return null
    },
    reopen: () => {
      if (path !== '') destination.reopen()
    },
  }
}

type Write = (severity: LogSeverity, component: string, message: string, fields: Record<string, unknown> | undefined) => void

function jsonWriter(name: string, destination: ReturnType<typeof pino.destination>): Write {
  const logger = pino({ name, level: 'trace', base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return (severity, _component, message, fields) => {
    if (fields === undefined) logger[severity](message)
    else logger[severity](fields, message)
  }
}

function textWriter({ format, escaped }: LoggerOptions, destination: ReturnType<typeof pino.destination>): Write {
  const print = compileLogFormat(format === '' ? ENVOY_FORMAT : format)
  return (severity, component, message, fields) => {
    const text = fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
    const shown = escaped ? JSON.stringify(text).slice(1, -1) : text
    destination.write(`${print({ at: new Date(), level: ENVOY_LEVELS[severity], component, message: shown })}\n`)
  }
}

/** What Envoy prints when nobody asks for another; here it stands for text instead of JSON. */
const ENVOY_FORMAT = '[%Y-%m-%d %T.%e][%t][%l][%n] %v'
