import { describe, expect, it } from 'vitest'
import { decoded, decodeListenerJson, errorsOf, hcm, type Json, listenerJson, TYPE } from './messages.js'

const service = { envoy_grpc: { cluster_name: 'als' } }
const grpcLog = (common: Json, more: Json = {}): Json => ({
  name: 'als',
  typed_config: {
    '@type': `${TYPE}envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig`,
    common_config: { log_name: 'log', transport_api_version: 'V3', grpc_service: service, ...common },
    ...more,
  },
})
const decode = (log: Json) => decodeListenerJson(listenerJson({ filters: [hcm({ access_log: [log] })] }))
const at = 'filter_chains[0].filters[0].typed_config.access_log[0].typed_config.common_config'

describe('gRPC access logs', () => {
  const logOf = (log: Json) => {
    const filter = decoded(decode(log)).filterChains[0]!.filters[0]!
    return filter.kind === 'httpConnectionManager' ? filter.hcm.accessLogs[0]!.sink : null
  }

  it('have Envoy’s defaults, and header names in lower case', () => {
    expect(logOf(grpcLog({}, { additional_request_headers_to_log: ['X-One'] }))).toEqual({
      kind: 'grpc',
      protocol: 'http',
      logName: 'log',
      service: { cluster: 'als', target: '', authority: '', timeoutMs: null, initialMetadata: [] },
      flushIntervalMs: 1000,
      bufferBytes: 16_384,
      requestHeaders: ['x-one'],
      responseHeaders: [],
      responseTrailers: [],
    })
    expect(logOf(grpcLog({ buffer_flush_interval: '2s', buffer_size_bytes: 0 }))).toMatchObject({ flushIntervalMs: 2000, bufferBytes: 0 })
  })

  it('may go to a target of google_grpc', () => {
    expect(logOf(grpcLog({ grpc_service: { google_grpc: { target_uri: 'a:1', stat_prefix: 'a' } } }))).toMatchObject({
      service: { cluster: '', target: 'a:1', google: { statPrefix: 'a' } },
    })
  })

  it.each([
    ['an old API version', { transport_api_version: 'V2' }, `${at}.transport_api_version: V2 is not supported; set V3`],
    ['no name', { log_name: '' }, `${at}.log_name: value length must be at least 1 characters`],
    ['an interval of nothing', { buffer_flush_interval: '0s' }, `${at}.buffer_flush_interval: value must be greater than 0s`],
  ])('are refused with %s', (_, common, error) => {
    expect(errorsOf(decode(grpcLog(common)))).toEqual([error])
  })
})
