// The bootstrap's `stats_sinks` -> model. Called by bootstrap.ts. A sink that there is not is refused by its name; statsd over a datagram
// socket of the file system, which Node does not have, is listed as without effect: stats change no traffic.

import type { StatsSinkConfig } from '../../model/stats-sink.js'
import { HistogramEmitMode, type MetricsServiceConfig } from '../gen/envoy/config/metrics/v3/metrics_service_pb.js'
import type { DogStatsdSink, StatsdSink, StatsSink } from '../gen/envoy/config/metrics/v3/stats_pb.js'
import type { SinkConfig } from '../gen/envoy/extensions/stat_sinks/open_telemetry/v3/open_telemetry_pb.js'
import { decodeAddress } from './address.js'
import { describeType, unpackAny } from './any.js'
import { checkApiVersion, decodeGrpcService } from './config-source.js'
import type { Ctx } from './field-path.js'

const THERE_ARE = 'there are envoy.stat_sinks.statsd, dog_statsd, metrics_service and open_telemetry'

export function decodeStatsSinks(sinks: readonly StatsSink[], ctx: Ctx): StatsSinkConfig[] {
  return sinks.map((sink, i) => decodeStatsSink(sink, ctx.at('stats_sinks', i))).filter(sink => sink !== null)
}

/** null: refused, or without effect. */
function decodeStatsSink(sink: StatsSink, ctx: Ctx): StatsSinkConfig | null {
  const at = ctx.at('typed_config')
  if (sink.configType.case !== 'typedConfig') {
    at.error('value is required')
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(sink.configType.value, at)
  if (message === null && known) return null
  switch (typeName) {
    case 'envoy.config.metrics.v3.StatsdSink':
      return decodeStatsd(message as StatsdSink, at)
    case 'envoy.config.metrics.v3.DogStatsdSink':
      return decodeDogStatsd(message as DogStatsdSink, at)
    case 'envoy.config.metrics.v3.MetricsServiceConfig':
      return decodeMetricsService(message as MetricsServiceConfig, at)
    case 'envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig':
      return decodeOpenTelemetry(message as SinkConfig, at)
    default:
      at.error(`unknown stats sink '${sink.name}' (${describeType(typeUrl)}): ${THERE_ARE}`)
      return null
  }
}

function decodeStatsd({ statsdSpecifier, prefix }: StatsdSink, ctx: Ctx): StatsSinkConfig | null {
  const common = { kind: 'statsd', prefix, tags: false, maxDatagramBytes: 0 } as const
  if (statsdSpecifier.case === 'tcpClusterName') return { ...common, to: { kind: 'tcp', cluster: statsdSpecifier.value } }
  if (statsdSpecifier.case === undefined) return null // the missing oneof has been reported
  return decodeUdp(statsdSpecifier.value, ctx, common)
}

function decodeDogStatsd({ dogStatsdSpecifier, prefix, maxBytesPerDatagram }: DogStatsdSink, ctx: Ctx): StatsSinkConfig | null {
  if (dogStatsdSpecifier.case === undefined) return null
  const maxDatagramBytes = maxBytesPerDatagram === undefined ? 0 : Number(maxBytesPerDatagram)
  return decodeUdp(dogStatsdSpecifier.value, ctx, { kind: 'statsd', prefix, tags: true, maxDatagramBytes })
}

type Statsd = Extract<StatsSinkConfig, { readonly kind: 'statsd' }>

function decodeUdp(message: Parameters<typeof decodeAddress>[0], ctx: Ctx, common: Omit<Statsd, 'to'>): StatsSinkConfig | null {
  const address = decodeAddress(message, ctx.at('address'), 'ip')
  if (address.kind === 'pipe') {
    ctx.at('address').at('pipe').unsupported()
    return null
  }
  return { ...common, to: { kind: 'udp', address } }
}

function decodeMetricsService(config: MetricsServiceConfig, ctx: Ctx): StatsSinkConfig {
  checkApiVersion(config.transportApiVersion, ctx, 'transport_api_version')
  return {
    kind: 'metrics-service',
    service: decodeGrpcService(config.grpcService, ctx.at('grpc_service')),
    countersAsDeltas: config.reportCountersAsDeltas ?? false,
    tagsAsLabels: config.emitTagsAsLabels,
    summaries: config.histogramEmitMode !== HistogramEmitMode.HISTOGRAM,
    histograms: config.histogramEmitMode !== HistogramEmitMode.SUMMARY,
  }
}

function decodeOpenTelemetry(config: SinkConfig, ctx: Ctx): StatsSinkConfig {
  return {
    kind: 'open-telemetry',
    service: decodeGrpcService(config.protocolSpecifier.value, ctx.at('grpc_service')),
    countersAsDeltas: config.reportCountersAsDeltas,
    histogramsAsDeltas: config.reportHistogramsAsDeltas,
    tagsAsAttributes: config.emitTagsAsAttributes ?? true,
    tagExtractedNames: config.useTagExtractedName ?? true,
    prefix: config.prefix,
  }
}
