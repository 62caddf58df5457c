// The proxy's log, on stderr or in --log-path: readable lines on a terminal and in the journal, JSON elsewhere (all as the control plane's), text by
// --log-format where that is given. Levels by Envoy's names and for each of Envoy's components; changeable at run time (/logging). The file
// can be opened anew (SIGUSR1). The lines are pino's, but pino itself would be a tenth of what a start costs.

import sonicBoom, { type SonicBoom } from 'sonic-boom'
import type { LogSeverity, SidecarOptions } from '../sidecar/sidecar.js'
import { compileLogFormat } from './log-format.js'
import { LOG_COMPONENTS, LOG_LEVELS } from './log-levels.js'
import { linesFor, PINO_LEVELS } from './log-lines.js'

type Log = SidecarOptions['log']
type Logging = SidecarOptions['logging']

/** Lines above it are lost while nobody reads the log. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

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
  const destination = openDestination(path)
  const write = options.format === '' && !options.escaped ? lineWriter(name, path === '', destination) : textWriter(options, destination)
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

function lineWriter(name: string, onStderr: boolean, destination: SonicBoom): Write {
  const readable = onStderr ? linesFor(process.stderr.isTTY === true) : null
  return (severity, _component, message, fields) => {
    const record = { level: PINO_LEVELS[severity], time: new Date().toISOString(), name, ...fields, msg: message }
    destination.write(readable === null ? `${JSON.stringify(record)}\n` : readable(record))
  }
}

function textWriter({ format, escaped }: LoggerOptions, destination: SonicBoom): Write {
  const print = compileLogFormat(format === '' ? ENVOY_FORMAT : format)
  return (severity, component, message, fields) => {
    const text = fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
    const shown = escaped ? JSON.stringify(text).slice(1, -1) : text
    destination.write(`${print({ at: new Date(), level: ENVOY_LEVELS[severity], component, message: shown })}\n`)
  }
}

/** What Envoy prints when nobody asks for another; here it stands for text instead of JSON. */
const ENVOY_FORMAT = '[%Y-%m-%d %T.%e][%t][%l][%n] %v'

function openDestination(path: string): SonicBoom {
  const destination = new sonicBoom.SonicBoom({ dest: path === '' ? 2 : path, sync: false, maxLength: MAX_WAITING_BYTES })
  // Its reader has gone, or the disk is full: there is nobody to tell, and the traffic goes on.
  destination.on('error', () => {})
  process.on('exit', () => {
    try {
      destination.flushSync()
    } catch {
      // Not open yet, or as above.
    }
  })
  return destination
}
