// Where the SPIFFE Workload API is, in the form of SPIFFE_ENDPOINT_SOCKET (SPIFFE Workload Endpoint, section 4), and the static cluster of the
// bootstrap that stands for it: secrets whose `sds_config` names the cluster are asked of the Workload API. Called by the command line, which
// adds the cluster for --spiffe-endpoint-socket, and by XdsBridge, which asks whether a cluster is one.
// Envoy, which ignores the mark, speaks SDS to the same cluster: SPIRE's agent serves both on one socket, under the same names.

import { isIP } from 'node:net'
import type { Address } from '../../model/address.js'
import type { Cluster } from '../../model/cluster.js'
import type { Checked } from '../../model/config-error.js'
import { OUTRIGGER_METADATA } from '../../model/metadata.js'
import { WORKLOAD_API_CLUSTER, WORKLOAD_API_KEY } from '../../model/workload-api.js'

/** Linux takes no longer paths of sockets. */
const MAX_SOCKET_PATH_BYTES = 107

/** `name: spiffe_workload_api`, in JSON or YAML; those that name it say `cluster_name`. */
const DEFINITION = new RegExp(`(?<!\\w)["']?name["']?\\s*:\\s*["']?${WORKLOAD_API_CLUSTER}\\b`)

/** Whether the text of a bootstrap has the cluster itself. */
export function definesWorkloadApi(bootstrap: string): boolean {
  return DEFINITION.test(bootstrap)
}

export function isWorkloadApi({ metadata }: Pick<Cluster, 'metadata'>): boolean {
  return metadata.get(OUTRIGGER_METADATA)?.[WORKLOAD_API_KEY] === true
}

/** `unix:///absolute/path` or `tcp://address:port`, and nothing more. */
export function parseEndpointSocket(text: string): Checked<Address> {
  const refuse = (reason: string): Checked<Address> => ({ ok: false, errors: [{ path: '', reason: `'${text}' ${reason}` }] })
  let url: URL
  let path: string
  try {
    url = new URL(text)
    path = decodeURIComponent(url.pathname)
  } catch {
    return refuse('is neither unix:///path nor tcp://address:port')
  }
  if (url.protocol !== 'unix:' && url.protocol !== 'tcp:') return refuse('is neither unix:///path nor tcp://address:port')
  if (url.username !== '' || url.password !== '' || /[?#]/.test(text)) return refuse('has more than scheme and place')
  if (url.protocol === 'unix:') {
    if (url.host !== '') return refuse('names a host: the path of a unix socket follows three slashes')
    if (!path.startsWith('/') || path === '/') return refuse('has no absolute path')
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) return refuse(`has a path of more than ${MAX_SOCKET_PATH_BYTES} bytes`)
    return { ok: true, value: { kind: 'pipe', path, mode: 0 }, warnings: [] }
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) === 0) return refuse('names no IP address')
  if (url.port === '' || url.port === '0') return refuse('has no port')
  if (path !== '') return refuse('has a path')
  return { ok: true, value: { kind: 'socket', host, port: Number(url.port) }, warnings: [] }
}

/** A bootstrap with the cluster alone, to be merged over another. */
export function workloadApiBootstrap(address: Address): string {
  const place =
    address.kind === 'pipe' ? { pipe: { path: address.path } } : { socket_address: { address: address.host, port_value: address.port } }
  const cluster = {
    name: WORKLOAD_API_CLUSTER,
    connect_timeout: '1s',
    type: 'STATIC',
    load_assignment: {
      cluster_name: WORKLOAD_API_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: place } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    metadata: { filter_metadata: { [OUTRIGGER_METADATA]: { [WORKLOAD_API_KEY]: true } } },
  }
  return JSON.stringify({ static_resources: { clusters: [cluster] } })
}
