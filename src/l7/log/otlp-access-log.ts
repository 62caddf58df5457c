// Access logs to OpenTelemetry (envoy.access_loggers.open_telemetry): records are gathered and exported by gRPC or HTTP. Called for each
// request or connection by writeAccessLogs; what a record says is in otlp-log-record.ts.
// Invariant: what waits is bounded by the configured buffer, and so are exports under way; beyond both records are dropped and counted.

import type { Clock, Timer } from '../../io/clock.js'
import { SharedWhileUsed } from '../../io/shared-while-used.js'
import type { GrpcLogHandles } from '../../metrics/reporting-stats.js'
import type { OtlpLogTarget } from '../../model/access-log.js'
import { toByteString } from '../codec/byte-string.js'
import { readEnvironment } from '../format/header-format.js'
import { OtlpClient, type OtlpTransport } from '../otlp/otlp-client.js'
import type { Attributes } from '../otlp/otlp-values.js'
import { resourceAttributes } from '../otlp/resource.js'
import { encodeLogs } from './otlp-log-record.js'

const EXPORT_LOGS = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
/** Exports that wait for their answer. */
export const MAX_LOG_EXPORTS_UNDER_WAY = 8

export interface OtlpLogEnvironment {
  readonly transport: OtlpTransport
  readonly clock: Clock
  /** `access_logs.open_telemetry_access_log.[<prefix>.]` */
  readonly stats: (prefix: string) => GrpcLogHandles
  readonly log: (message: string) => void
  readonly node: { readonly id: string; readonly cluster: string; readonly zone: string }
  readonly userAgent: string
}

export class OtlpLogger {
  private readonly target: OtlpLogTarget
  private readonly env: OtlpLogEnvironment
  private readonly stats: GrpcLogHandles
  private readonly client: OtlpClient
  private readonly resource: Attributes
  private records: Buffer[] = []
  private bytes = 0
  private timer: Timer | null = null
  private underWay = 0
  private failing = false
  private closed = false

  constructor(target: OtlpLogTarget, env: OtlpLogEnvironment) {
    this.target = target
    this.env = env
    this.stats = env.stats(target.statPrefix)
    this.client = new OtlpClient(target.service, EXPORT_LOGS, env.userAgent, env.transport)
    const given: Attributes = target.resourceAttributes.map(([name, value]) => [toByteString(name), toByteString(value)])
    this.resource = resourceAttributes([...this.builtinLabels(), ...given], target.resourceDetectors, readEnvironment)
  }

  private builtinLabels(): Attributes {
    const { target, env } = this
    if (!target.builtinLabels) return []
    const labels: Attributes = [
      ['log_name', target.logName],
      ['zone_name', env.node.zone],
      ['cluster_name', env.node.cluster],
      ['node_name', env.node.id],
    ]
    return labels.map(([name, value]) => [name, toByteString(value)])
  }

  write(record: Buffer): void {
    const { stats, target } = this
    if (this.closed || (this.bytes > 0 && this.bytes >= target.bufferBytes && !this.flush())) {
      stats.logs_dropped.value++
      return
    }
    stats.logs_written.value++
    this.records.push(record)
    this.bytes += record.length
    if (this.bytes >= target.bufferBytes) this.flush()
    if (this.records.length > 0) this.arm()
  }

  close(): void {
    this.flush()
    this.closed = true
    this.timer?.cancel()
  }

  private arm(): void {
    this.timer ??= this.env.clock.after(this.target.flushIntervalMs, () => {
      this.timer = null
      this.flush()
      if (this.records.length > 0) this.arm()
    })
  }

  /** False: too many exports are under way. */
  private flush(): boolean {
    if (this.records.length === 0) return true
    if (this.underWay >= MAX_LOG_EXPORTS_UNDER_WAY) return false
    const { records, client, env } = this
    this.records = []
    this.bytes = 0
    this.underWay++
    client.export(encodeLogs(records, this.resource), problem => {
      this.underWay--
      if (problem !== '' && !this.failing) env.log(`access log: the collector${client.place} takes no records: ${problem}`)
      this.failing = problem !== ''
    })
    return true
  }
}

/** All that are used; equal targets share one. */
export class OtlpLoggers {
  private readonly env: OtlpLogEnvironment
  private readonly loggers = new SharedWhileUsed<OtlpLogger>()

  constructor(env: OtlpLogEnvironment) {
    this.env = env
  }

  open(target: OtlpLogTarget): OtlpLogger {
    const { body: _body, attributes: _attributes, customTags: _tags, ...sent } = target
    const key = JSON.stringify(sent)
    let logger = this.loggers.get(key)
    if (logger === undefined) {
      logger = new OtlpLogger(target, this.env)
      this.loggers.put(key, logger, () => {})
    }
    return logger
  }

  close(): void {
    for (const logger of this.loggers.values()) logger.close()
    this.loggers.clear()
  }
}
