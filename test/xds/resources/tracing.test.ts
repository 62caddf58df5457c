// What tracing is decoded to, and what is refused by name.
import { describe, expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
import { decoded, decodeListenerJson, errorsOf, hcm, type Json, listenerJson, TYPE } from './messages.js'

const at = 'filter_chains[0].filters[0].typed_config.tracing'
const provider = (name: string, config: Json = {}): Json => ({
  name: `envoy.tracers.${name}`,
  typed_config: { '@type': `${TYPE}envoy.config.trace.v3.${name === 'zipkin' ? 'ZipkinConfig' : 'OpenTelemetryConfig'}`, ...config },
})
/** Of a type that is not known. */
const unknown = (type: string): Json => ({ '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}${type}`, value: {} })
const decode = (tracing: Json) => decodeListenerJson(listenerJson({ filters: [hcm({ tracing })] }))
const tracingOf = (tracing: Json) => {
  const filter = decoded(decode(tracing)).filterChains[0]!.filters[0]!
  return filter.kind === 'httpConnectionManager' ? filter.hcm.tracing : null
}
const http_service = { http_uri: { uri: 'https://c.example:4318/v1/traces', cluster: 'c', timeout: '1s' } }

describe('tracing', () => {
  it('has Envoy’s defaults; percents are whole, random ones hundredths', () => {
    expect(tracingOf({})).toEqual({
      provider: null,
      sampling: {
        client: { numerator: 100, denominator: 100, runtimeKey: 'tracing.client_enabled' },
        random: { numerator: 10_000, denominator: 10_000, runtimeKey: 'tracing.random_sampling' },
        overall: { numerator: 100, denominator: 100, runtimeKey: 'tracing.global_enabled' },
      },
      verbose: false,
      maxPathTagLength: 256,
      customTags: [],
      spawnUpstreamSpan: false,
      operation: '',
      upstreamOperation: '',
      propagates: true,
    })
    const chances = { client_sampling: { value: 12.7 }, random_sampling: { value: 0.125 } }
    expect(tracingOf(chances)!.sampling).toMatchObject({ client: { numerator: 12 }, random: { numerator: 13 } })
  })

  it('OpenTelemetry: a URI is host and path, and the service has a name', () => {
    expect(tracingOf({ provider: provider('opentelemetry', { http_service }) })!.provider).toMatchObject({
      kind: 'opentelemetry',
      serviceName: 'unknown_service:envoy',
      maxCachedSpans: 1024,
      target: { kind: 'http', service: { cluster: 'c', host: 'c.example:4318', path: '/v1/traces', timeoutMs: 1000 } },
    })
  })

  it.each<[string, Json, string]>([
    [
      'another tracer',
      { provider: { name: 'envoy.tracers.datadog', typed_config: unknown('envoy.config.trace.v3.DatadogConfig') } },
      `${at}.provider.typed_config: tracer 'envoy.tracers.datadog' is not supported`,
    ],
    [
      'a tracer without config',
      { provider: { name: 'envoy.tracers.zipkin' } },
      `${at}.provider.typed_config: tracer 'envoy.tracers.zipkin'`,
    ],
    [
      'both services',
      { provider: provider('opentelemetry', { http_service, grpc_service: { envoy_grpc: { cluster_name: 'c' } } }) },
      `${at}.provider.typed_config: OpenTelemetry cannot have both`,
    ],
    [
      'google_grpc that names no server',
      { provider: provider('opentelemetry', { grpc_service: { google_grpc: { target_uri: 'xds:///a', stat_prefix: 'a' } } }) },
      `${at}.provider.typed_config.grpc_service.google_grpc.target_uri: 'xds:///a': of schemes`,
    ],
    [
      'a sampler that is not there',
      {
        provider: provider('opentelemetry', {
          http_service,
          sampler: {
            name: 'dynatrace',
            typed_config: unknown('envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig'),
          },
        }),
      },
      `${at}.provider.typed_config.sampler.typed_config: sampler 'dynatrace' is not supported`,
    ],
    [
      'a version of Zipkin’s API that is gone',
      { provider: provider('zipkin', { collector_cluster: 'c', collector_endpoint: '/api/v1/spans' }) },
      `${at}.provider.typed_config.collector_endpoint_version: must be HTTP_JSON or HTTP_PROTO`,
    ],
    [
      'no collector',
      { provider: provider('zipkin', { collector_endpoint_version: 'HTTP_JSON' }) },
      `${at}.provider.typed_config.collector_cluster: collector_cluster or collector_service is required`,
    ],
    ['a tag without a value', { custom_tags: [{ tag: 'a' }] }, `${at}.custom_tags[0].type: one of`],
    ['a command that is none', { operation: '%NOPE%' }, `${at}.operation: format string names the unknown command`],
  ])('refuses %s', (_what, tracing, error) => {
    expect(errorsOf(decode(tracing))).toEqual([expect.stringContaining(error)])
  })

  it('of the bootstrap; another tracer is refused there too', () => {
    const zipkin = provider('zipkin', { collector_cluster: 'c', collector_endpoint: '/s', collector_endpoint_version: 'HTTP_PROTO' })
    const parsed = parseBootstrap(JSON.stringify({ tracing: { http: zipkin } }))
    expect(parsed).toMatchObject({ ok: true, value: { tracer: { kind: 'zipkin', encoding: 'protobuf', sharedSpanContext: true } } })
    const other = parseBootstrap(
      JSON.stringify({
        tracing: { http: { name: 'envoy.tracers.xray', typed_config: { '@type': `${TYPE}envoy.config.trace.v3.XRayConfig` } } },
      }),
    )
    expect(errorsOf(other)).toEqual([expect.stringMatching(/^tracing\.http.*xray|XRayConfig/)])
  })
})

describe('access logs to OpenTelemetry', () => {
  const log = (config: Json) =>
    decodeListenerJson(
      listenerJson({
        filters: [
          hcm({
            access_log: [
              {
                name: 'otel',
                typed_config: {
                  '@type': `${TYPE}envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig`,
                  ...config,
                },
              },
            ],
          }),
        ],
      }),
    )
  const logAt = 'filter_chains[0].filters[0].typed_config.access_log[0].typed_config'

  it('take both forms of their service', () => {
    const older = decoded(
      log({ common_config: { log_name: 'l', grpc_service: { envoy_grpc: { cluster_name: 'c' } }, buffer_size_bytes: 1 } }),
    )
    const filter = older.filterChains[0]!.filters[0]!
    expect(filter.kind === 'httpConnectionManager' && filter.hcm.accessLogs[0]!.sink).toMatchObject({
      kind: 'opentelemetry',
      logName: 'l',
      bufferBytes: 1,
      flushIntervalMs: 1000,
      builtinLabels: true,
      service: { kind: 'grpc', service: { cluster: 'c' } },
    })
  })

  it.each<[Json, string]>([
    [{}, `${logAt}: one of grpc_service, http_service`],
    [{ http_service, body: { int_value: 5 } }, `${logAt}.body.int_value: only strings`],
    [{ http_service, body: { string_value: '%NOPE%' } }, `${logAt}.body.string_value: format string names`],
    [
      { http_service, resource_attributes: { values: [{ key: 'a', value: { bool_value: true } }] } },
      `${logAt}.resource_attributes.values[0]`,
    ],
  ])('refuse %j', (config, error) => {
    expect(errorsOf(log(config))[0]).toContain(error)
  })
})
