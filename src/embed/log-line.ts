// What sidecars and control planes in process say: to whoever started them, and to nobody where no one asked. Nothing is written to the
// process's own output.

export interface LogLine {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
  /** Which part says it, by Envoy's names of its loggers; of a control plane: `control`. */
  readonly component: string
}

export type Log = (line: LogLine) => void
