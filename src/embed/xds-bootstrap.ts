// `Sidecar.start({ xds })`: the bootstrap of a sidecar that gets everything from one xDS server, in Envoy's JSON form.

export interface XdsOptions {
  /** `host:port` of the gRPC port: of `ControlPlane`, of Consul, or of any xDS server. */
  readonly address: string
  /** Who this sidecar is. For Consul and our control plane `id` is the proxy's id, `<service>-sidecar-proxy` by default. */
  readonly node: {
    readonly id: string
    readonly cluster: string
    readonly metadata?: Readonly<Record<string, unknown>>
    readonly zone?: string
  }
  /** Sent as `x-consul-token`. */
  readonly token?: string
  /** PEM of the roots that the server's certificate is verified against; absent: in the clear. */
  readonly caPem?: string
  /** The name in the server's certificate; absent: that of `address`. */
  readonly serverName?: string
  /** Where the admin endpoint listens, `host:port`; absent: there is none. */
  readonly admin?: string
}

const CLUSTER = 'xds_server'
const HTTP2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
}

/** Throws where an address is none. */
export function xdsBootstrap({ address, node, token, caPem, serverName, admin }: XdsOptions): object {
  const source = { ads: {}, resource_api_version: 'V3' }
  const { host } = splitAddress(address, 'xds.address')
  return {
    node: {
      id: node.id,
      cluster: node.cluster,
      metadata: node.metadata ?? {},
      ...(node.zone === undefined ? {} : { locality: { zone: node.zone } }),
    },
    ...(admin === undefined ? {} : { admin: { address: socketAddress(admin, 'xds.admin') } }),
    dynamic_resources: {
      cds_config: source,
      lds_config: source,
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [
          {
            envoy_grpc: { cluster_name: CLUSTER },
            ...(token === undefined ? {} : { initial_metadata: [{ key: 'x-consul-token', value: token }] }),
          },
        ],
      },
    },
    static_resources: {
      clusters: [
        {
          name: CLUSTER,
          type: 'STRICT_DNS',
          connect_timeout: '5s',
          typed_extension_protocol_options: HTTP2,
          ...(caPem === undefined ? {} : { transport_socket: tls(caPem, serverName ?? host) }),
          load_assignment: {
            cluster_name: CLUSTER,
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(address, 'xds.address') } }] }],
          },
        },
      ],
    },
  }
}

function tls(caPem: string, name: string): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: name,
      common_tls_context: {
        validation_context: {
          trusted_ca: { inline_string: caPem },
          match_typed_subject_alt_names: [
            { san_type: 'DNS', matcher: { exact: name } },
            { san_type: 'IP_ADDRESS', matcher: { exact: name } },
          ],
        },
      },
    },
  }
}

function socketAddress(text: string, where: string): object {
  const { host, port } = splitAddress(text, where)
  return { socket_address: { address: host, port_value: port } }
}

function splitAddress(text: string, where: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  if (match === null || Number(match[3]) > 65_535) throw new TypeError(`${where}: '${text}' is no host:port`)
  return { host: match[1] ?? match[2]!, port: Number(match[3]) }
}
