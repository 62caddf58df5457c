// The proxy's and the control plane's log: pino on stderr, as Envoy logs there. Levels by Envoy's names; changeable at run time (/logging).

import pino from 'pino'
import type { SidecarOptions } from '../sidecar/sidecar.js'

export interface ProxyLogger {
  readonly log: SidecarOptions['log']
  level(): string
  setLevel(level: string): boolean
}

const TO_PINO: Readonly<Record<string, string>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  warn: 'warn',
  error: 'error',
  critical: 'fatal',
  off: 'silent',
}

export function createLogger(name: string, level: string, path: string): ProxyLogger {
  const destination = pino.destination({ dest: path === '' ? 2 : path, sync: false })
  const logger = pino({ name, level: TO_PINO[level] ?? 'info', base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  let current = level
  return {
    log: (severity, message, fields) => {
      if (fields === undefined) logger[severity](message)
      else logger[severity](fields, message)
    },
    level: () => current,
    setLevel: next => {
      const mapped = Object.hasOwn(TO_PINO, next) ? TO_PINO[next] : undefined
      if (mapped === undefined) return false
      logger.level = mapped
      current = next
      return true
    },
  }
}
