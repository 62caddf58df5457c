// Access logs to a gRPC service (envoy.access_loggers.http_grpc and tcp_grpc): entries are gathered and sent on one stream for each service
// and log name. Called for each request or connection by writeAccessLogs; sends through the proxy's own gRPC client.
// Invariant: what waits is bounded by the configured buffer; beyond it entries are dropped and counted. A service that is away costs
// entries, never a request's time; it is dialled again with backoff.

import { fullJitterMs } from '../../io/backoff.js'
import type { Clock, Timer } from '../../io/clock.js'
import { SharedWhileUsed } from '../../io/shared-while-used.js'
import type { GrpcLogHandles } from '../../metrics/reporting-stats.js'
import type { GrpcLogTarget } from '../../model/access-log.js'
import { type GrpcService, grpcServiceName } from '../../model/grpc-service.js'
import { ProtobufWriter } from '../grpc/protobuf-writer.js'

const STREAM_ACCESS_LOGS = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs'
/** Between streams that fail. */
const RECONNECT_BASE_MS = 500
const RECONNECT_MAX_MS = 30_000

interface LogStream {
  /** False, and nothing is taken, while it can take nothing. */
  send(message: Buffer): boolean
  close(): void
}

/** The part of the proxy's gRPC client that logs use. */
interface LogClient {
  stream(service: GrpcService, path: string, onEnd: (reason: string) => void): LogStream
}

export interface GrpcLogEnvironment {
  readonly client: LogClient
  readonly clock: Clock
  readonly random: () => number
  /** `access_logs.grpc_access_log.`, taken with the first logger. */
  readonly stats: () => GrpcLogHandles
  readonly log: (message: string) => void
  /** envoy.config.core.v3.Node, encoded: who sends. */
  readonly node: Uint8Array
}

export class GrpcLogger {
  private readonly target: GrpcLogTarget
  private readonly env: GrpcLogEnvironment
  private readonly stats: GrpcLogHandles
  private entries: Buffer[] = []
  private bytes = 0
  /** Apart from the logger: it has to be closed when the logger is no more. */
  readonly open: { stream: LogStream | null } = { stream: null }
  /** Has carried a message: later ones need no identifier. */
  private introduced = false
  private timer: Timer | null = null
  private failures = 0
  private retryAt = 0
  private closed = false

  constructor(target: GrpcLogTarget, env: GrpcLogEnvironment) {
    this.target = target
    this.env = env
    this.stats = env.stats()
  }

  write(entry: Buffer): void {
    const { bufferBytes } = this.target
    const { stats } = this
    if (bufferBytes > 0 && this.bytes >= bufferBytes) this.flush()
    if (this.closed || (bufferBytes > 0 && this.bytes >= bufferBytes)) {
      stats.logs_dropped.value++
      return
    }
    stats.logs_written.value++
    this.entries.push(entry)
    this.bytes += entry.length
    if (this.bytes >= bufferBytes) this.flush()
    if (this.entries.length > 0) this.arm()
  }

  /** The last entries are sent, as far as the stream takes them. */
  close(): void {
    this.flush()
    this.closed = true
    this.timer?.cancel()
    const { stream } = this.open
    this.open.stream = null
    stream?.close()
  }

  private arm(): void {
    this.timer ??= this.env.clock.after(this.target.flushIntervalMs, () => {
      this.timer = null
      this.flush()
      if (this.entries.length > 0) this.arm()
    })
  }

  private flush(): void {
    const { env, target } = this
    if (this.closed || this.entries.length === 0) return
    if (this.open.stream === null) {
      if (env.clock.now() < this.retryAt) return
      this.introduced = false
      this.open.stream = env.client.stream(target.service, STREAM_ACCESS_LOGS, whenEnded(new WeakRef(this)))
    }
    if (!this.open.stream.send(this.message())) return
    this.introduced = true
    this.entries = []
    this.bytes = 0
  }

  private message(): Buffer {
    const writer = new ProtobufWriter()
    if (!this.introduced) {
      writer.message(1, identifier => identifier.bytes(1, Buffer.from(this.env.node)).string(2, this.target.logName))
    }
    writer.message(this.target.protocol === 'http' ? 2 : 3, logs => {
      for (const entry of this.entries) logs.bytes(1, entry)
    })
    return writer.finish()
  }

  /** Called by its stream. */
  streamEnded(reason: string): void {
    const { env, target } = this
    this.open.stream = null
    // A stream that has carried entries is no failure in a row.
    if (this.introduced) this.failures = 0
    this.retryAt = env.clock.now() + fullJitterMs(this.failures++, RECONNECT_BASE_MS, RECONNECT_MAX_MS, env.random)
    env.log(`access log ${target.logName}: the stream to ${grpcServiceName(target.service)} ended: ${reason}`)
  }
}

/** A stream that is open must not keep a logger that nobody uses. */
function whenEnded(logger: WeakRef<GrpcLogger>): (reason: string) => void {
  return reason => logger.deref()?.streamEnded(reason)
}

function closing(open: GrpcLogger['open']): () => void {
  return () => open.stream?.close()
}

/** All loggers that are used; equal targets share one. */
export class GrpcLoggers {
  private readonly env: GrpcLogEnvironment
  private readonly loggers = new SharedWhileUsed<GrpcLogger>()

  constructor(env: GrpcLogEnvironment) {
    this.env = env
  }

  open(target: GrpcLogTarget): GrpcLogger {
    const { protocol, logName, service, bufferBytes, flushIntervalMs } = target
    const key = JSON.stringify([protocol, logName, service, bufferBytes, flushIntervalMs])
    let logger = this.loggers.get(key)
    if (logger === undefined) {
      logger = new GrpcLogger(target, this.env)
      this.loggers.put(key, logger, closing(logger.open))
    }
    return logger
  }

  close(): void {
    for (const logger of this.loggers.values()) logger.close()
    this.loggers.clear()
  }
}
