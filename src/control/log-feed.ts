// The control plane's log, which is also told to whoever watches it (`/v1/agent/monitor`). Wraps the logger that `ControlPlane` was given.
// Invariant: a watcher that does not read is dropped by its own route; nothing is kept here.
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** The part of a pino logger that is used. */
export interface ControlLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface LogLine {
  readonly level: LogLevel
  readonly at: Date
  readonly fields: object
  readonly message: string
}

const ORDER: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export class LogFeed implements ControlLogger {
  private readonly watchers = new Set<{ readonly from: number; readonly listener: (line: LogLine) => void }>()

  constructor(private readonly inner: ControlLogger) {}

  /** `listener` is told of lines of `level` and worse. Returns the way out. */
  watch(level: LogLevel, listener: (line: LogLine) => void): () => void {
    const watcher = { from: ORDER.indexOf(level), listener }
    this.watchers.add(watcher)
    return () => void this.watchers.delete(watcher)
  }

  debug(fields: object, message: string): void {
    this.inner.debug(fields, message)
    this.tell('debug', fields, message)
  }

  info(fields: object, message: string): void {
    this.inner.info(fields, message)
    this.tell('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.inner.warn(fields, message)
    this.tell('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.inner.error(fields, message)
    this.tell('error', fields, message)
  }

  private tell(level: LogLevel, fields: object, message: string): void {
    if (this.watchers.size === 0) return
    const line = { level, at: new Date(), fields, message }
    for (const { from, listener } of [...this.watchers]) if (ORDER.indexOf(level) >= from) listener(line)
  }
}
