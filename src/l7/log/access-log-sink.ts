// Where access-log lines go: one sink per path, whoever writes to it, so that lines of several loggers don't cut into each other.
// Lines are gathered and written asynchronously, in order: the first after a quiet interval at once, so that a rare line is never late,
// the others in batches. Invariant: a slow disk or pipe costs log lines, counted in `filesystem.write_failed`, never
// memory or a request's time. reopen() (SIGUSR1, log rotation) opens the path anew; what is under way goes to the old file.

import { closeSync, constants, createWriteStream, openSync, type WriteStream } from 'node:fs'
import { SharedWhileUsed } from '../../io/shared-while-used.js'
import type { FilesystemHandles } from '../../metrics/stat-names.js'
import type { LogTarget } from '../../model/access-log.js'

/** Bytes waiting to be written, beyond which lines are dropped. */
export const MAX_QUEUED_BYTES = 4 * 1024 * 1024

/** When queued lines are handed over. */
export interface FlushRule {
  /** Two flushes are at least this far apart, unless `minBytes` are queued (--file-flush-interval-msec; Envoy's default is 10 s). */
  readonly intervalMs: number
  /** A batch that reaches this is handed over at once (--file-flush-min-size-kb). */
  readonly minBytes: number
}

export const DEFAULT_FLUSH: FlushRule = { intervalMs: 1000, minBytes: 64 * 1024 }

export interface LogSink {
  /** `line` is a byte string (latin1) that ends as it should stand in the log. Never blocks or throws. */
  write(line: string): void
}

export interface LogOutput {
  write(data: Buffer, done: () => void): unknown
  end?(done: () => void): unknown
}

/** Opens an output; called again by reopen(). `onError` may be called any number of times. */
export type OpenOutput = (onError: (error: Error) => void) => LogOutput

export class AccessLogSink implements LogSink {
  private readonly open: OpenOutput
  private readonly rule: FlushRule
  /** `filesystem.` of all logs together; null: nobody counts. */
  private readonly counts: FilesystemHandles | null
  /** What is open now. Apart from the sink: it has to be closed when the sink is no more. */
  readonly place: { output: LogOutput | null } = { output: null }
  private lines: string[] = []
  private queuedBytes = 0
  private inFlightBytes = 0
  private timer: NodeJS.Timeout | null = null
  /** performance.now() of the last flush. */
  private flushedAt = Number.NEGATIVE_INFINITY
  private idle: (() => void)[] = []
  private closed = false

  constructor(open: OpenOutput, rule = DEFAULT_FLUSH, counts: FilesystemHandles | null = null) {
    this.open = open
    this.rule = rule
    this.counts = counts
  }

  write(line: string): void {
    if (this.closed || this.queuedBytes + this.inFlightBytes + line.length > MAX_QUEUED_BYTES) {
      if (this.counts !== null) this.counts.write_failed.value++
      return
    }
    this.lines.push(line)
    this.queuedBytes += line.length
    if (this.counts !== null) {
      this.counts.write_buffered.value++
      this.counts.write_total_buffered.value += line.length
    }
    if (this.queuedBytes >= this.rule.minBytes) this.flush()
    else if (this.timer === null) {
      const due = this.flushedAt + this.rule.intervalMs - performance.now()
      this.timer = setTimeout(() => this.flushByTimer(), Math.max(0, due))
      this.timer.unref()
    }
  }

  private flushByTimer(): void {
    if (this.counts !== null) this.counts.flushed_by_timer.value++
    this.flush()
  }

  /** Hand what is queued to the output now. */
  flush(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    if (this.lines.length === 0) return
    this.flushedAt = performance.now()
    const data = Buffer.from(this.lines.join(''), 'latin1')
    this.lines = []
    this.queuedBytes = 0
    this.inFlightBytes += data.length
    let settled = false
    const done = () => {
      if (settled) return
      settled = true
      this.inFlightBytes -= data.length
      if (this.counts !== null) {
        this.counts.write_completed.value++
        this.counts.write_total_buffered.value -= data.length
      }
      if (this.inFlightBytes === 0) for (const resolve of this.idle.splice(0)) resolve()
    }
    this.place.output ??= this.openOutput()
    this.place.output.write(data, done)
  }

  private openOutput(): LogOutput {
    const { place, counts } = this
    const output = this.open(() => {
      // A failed output is given up; the next flush tries to open it again.
      if (counts !== null) counts.write_failed.value++
      if (place.output === output) place.output = null
    })
    return output
  }

  /** Write to a newly opened output from here on. */
  reopen(): void {
    this.flush()
    const old = this.place.output
    this.place.output = null
    old?.end?.(() => undefined)
  }

  /** Resolves when everything queued has been written (or lost). Later lines are dropped. */
  async close(): Promise<void> {
    this.flush()
    this.closed = true
    if (this.inFlightBytes > 0) await new Promise<void>(resolve => this.idle.push(resolve))
    const { output } = this.place
    this.place.output = null
    if (output?.end !== undefined) await new Promise<void>(resolve => output.end!(resolve))
  }
}

function openFile(path: string): OpenOutput {
  return onError => {
    const stream: WriteStream = createWriteStream(path, { flags: 'a' })
    let failed = false
    const waiting = new Set<() => void>()
    stream.on('error', error => {
      failed = true
      onError(error)
      for (const done of waiting) done()
      waiting.clear()
    })
    return {
      write(data, done) {
        if (failed) {
          done()
          return
        }
        waiting.add(done)
        stream.write(data, () => {
          waiting.delete(done)
          done()
        })
      },
      end(done) {
        if (failed) done()
        else stream.end(done)
      },
    }
  }
}

/** stdout and stderr are never closed, whatever path names them. */
function openStandard(stream: NodeJS.WriteStream): OpenOutput {
  return () => ({ write: (data, done) => stream.write(data, () => done()) })
}

/** When nobody writes there any more. */
function closing(place: AccessLogSink['place']): () => void {
  return () => place.output?.end?.(() => undefined)
}

/** All sinks that are used, by path. */
export class LogSinks {
  private readonly sinks = new SharedWhileUsed<AccessLogSink>()
  private readonly rule: FlushRule
  private readonly counts: FilesystemHandles | null

  constructor(rule = DEFAULT_FLUSH, counts: FilesystemHandles | null = null) {
    this.rule = rule
    this.counts = counts
  }

  open(target: LogTarget): AccessLogSink {
    const path = target.kind === 'file' ? target.path : `/dev/${target.kind}`
    let sink = this.sinks.get(path)
    if (sink === undefined) {
      const open =
        path === '/dev/stdout' ? openStandard(process.stdout) : path === '/dev/stderr' ? openStandard(process.stderr) : openFile(path)
      sink = new AccessLogSink(open, this.rule, this.counts)
      this.sinks.put(path, sink, closing(sink.place))
    }
    return sink
  }

  /** Why lines could not be written there (Envoy refuses such a config); null when they can, or when that can't be known yet. */
  problem(target: LogTarget): string | null {
    if (target.kind !== 'file' || this.sinks.get(target.path) !== undefined) return null
    try {
      // A pipe that nobody reads would block.
      closeSync(openSync(target.path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o644))
      return null
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      return code === 'ENXIO' ? null : `unable to open file '${target.path}': ${message}`
    }
  }

  reopen(): void {
    for (const sink of this.sinks.values()) sink.reopen()
  }

  async close(): Promise<void> {
    await Promise.all([...this.sinks.values()].map(sink => sink.close()))
    this.sinks.clear()
  }
}
