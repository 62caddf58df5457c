// How a cluster speaks HTTP -> model: HttpProtocolOptions in typed_extension_protocol_options, or the deprecated fields on the
// Cluster that older control planes set. Called by cluster.ts.

import type { UpstreamHttp } from '../../model/cluster.js'
import { type Cluster, Cluster_ClusterProtocolSelection } from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import type { HttpFilter } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { type HttpProtocolOptions, HttpProtocolOptionsSchema } from '../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { describeType, typeNameOf, unpackAs } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeCommonHttp, decodeHttp1, decodeHttp2 } from './http-options.js'

const KEY = HttpProtocolOptionsSchema.typeName

export function decodeUpstreamHttp(cluster: Cluster, ctx: Ctx): UpstreamHttp {
  let typed: HttpProtocolOptions | null = null
  for (const [name, any] of Object.entries(cluster.typedExtensionProtocolOptions)) {
    const at = ctx.at('typed_extension_protocol_options', name)
    if (name === KEY) typed = unpackAs(any, HttpProtocolOptionsSchema, at)
    else if (name.startsWith('envoy.')) at.unsupported()
    else at.error(`unknown protocol options '${name}' (${describeType(any.typeUrl)})`)
  }
  if (cluster.maxRequestsPerConnection !== undefined && typed?.commonHttpProtocolOptions?.maxRequestsPerConnection !== undefined)
    ctx.at('max_requests_per_connection').error('only one of this and that of HttpProtocolOptions may be set')
  if (typed !== null) return decodeTyped(typed, ctx.at('typed_extension_protocol_options', KEY))
  const common = decodeCommonHttp(cluster.commonHttpProtocolOptions)
  return {
    protocol:
      cluster.protocolSelection === Cluster_ClusterProtocolSelection.USE_DOWNSTREAM_PROTOCOL
        ? 'downstream'
        : cluster.http2ProtocolOptions !== undefined
          ? 'http2'
          : 'http1',
    common:
      cluster.maxRequestsPerConnection !== undefined && common.maxRequestsPerConnection === null
        ? { ...common, maxRequestsPerConnection: cluster.maxRequestsPerConnection || null }
        : common,
    http1: decodeHttp1(cluster.httpProtocolOptions, ctx.at('http_protocol_options')),
    http2: decodeHttp2(cluster.http2ProtocolOptions, ctx.at('http2_protocol_options')),
    autoSni: cluster.upstreamHttpProtocolOptions?.autoSni ?? false,
    autoSanValidation: cluster.upstreamHttpProtocolOptions?.autoSanValidation ?? false,
  }
}

function decodeTyped(options: HttpProtocolOptions, ctx: Ctx): UpstreamHttp {
  checkUpstreamFilters(options.httpFilters, ctx)
  const upstream = options.upstreamHttpProtocolOptions
  const shared = {
    common: decodeCommonHttp(options.commonHttpProtocolOptions),
    autoSni: upstream?.autoSni ?? false,
    autoSanValidation: upstream?.autoSanValidation ?? false,
  }
  const specifier = options.upstreamProtocolOptions
  switch (specifier.case) {
    case 'explicitHttpConfig': {
      const at = ctx.at('explicit_http_config')
      const config = specifier.value.protocolConfig
      const isHttp2 = config.case === 'http2ProtocolOptions'
      return {
        ...shared,
        protocol: isHttp2 ? 'http2' : 'http1',
        http1: decodeHttp1(config.case === 'httpProtocolOptions' ? config.value : undefined, at.at('http_protocol_options')),
        http2: decodeHttp2(isHttp2 ? config.value : undefined, at.at('http2_protocol_options')),
      }
    }
    case 'useDownstreamProtocolConfig':
    case 'autoConfig': {
      const auto = specifier.case === 'autoConfig'
      const at = ctx.at(auto ? 'auto_config' : 'use_downstream_protocol_config')
      return {
        ...shared,
        protocol: auto ? 'auto' : 'downstream',
        http1: decodeHttp1(specifier.value.httpProtocolOptions, at.at('http_protocol_options')),
        http2: decodeHttp2(specifier.value.http2ProtocolOptions, at.at('http2_protocol_options')),
      }
    }
    default:
      // The missing oneof has been reported.
      return { ...shared, protocol: 'http1', http1: decodeHttp1(undefined, ctx), http2: decodeHttp2(undefined, ctx) }
  }
}

/** The codec ends every upstream chain; any other filter would be skipped in silence, so it is refused. */
function checkUpstreamFilters(filters: readonly HttpFilter[], ctx: Ctx): void {
  filters.forEach((filter, i) => {
    const typeUrl = filter.configType.case === 'typedConfig' ? filter.configType.value.typeUrl : ''
    const isCodec = typeNameOf(typeUrl) === 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec'
    if (!isCodec && !filter.isOptional) {
      ctx
        .at('http_filters', i)
        .at('typed_config')
        .error(`upstream HTTP filter '${filter.name}' is not supported (${describeType(typeUrl)})`)
    }
  })
}
