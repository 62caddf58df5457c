// The HTTP options of a cluster whose upstream speaks HTTP/2 and nothing else. Called by whatever makes clusters.
import type { Any } from '@bufbuild/protobuf/wkt'
import { HttpProtocolOptionsSchema } from '../../xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { pack } from './protobuf.js'

export const HTTP_OPTIONS_KEY = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

export function explicitHttp2(): Any {
  return pack(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: { protocolConfig: { case: 'http2ProtocolOptions', value: {} } },
    },
  })
}
