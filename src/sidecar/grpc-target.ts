// A management server, as a static cluster of the bootstrap or a target of google_grpc -> what grpc-js dials: addresses, credentials,
// authority, keepalive. Called by XdsBridge.

import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js'
import { credentialOf } from '../l7/client/grpc-targets.js'
import { countGrpcClosed, type GoogleGrpcHandles } from '../metrics/reporting-stats.js'
import { formatAddress } from '../model/address.js'
import type { Cluster } from '../model/cluster.js'
import type { GrpcService } from '../model/grpc-service.js'
import type { DataSource } from '../model/tls.js'
import type { UpstreamTlsContext } from '../mtls/tls/upstream-tls.js'
import type { AdsTarget } from '../xds/client/client.js'

/** One target per endpoint, in the order of the config; a cluster without endpoints gives none. */
export function targetsOfCluster(cluster: Cluster, service: GrpcService, tls: () => UpstreamTlsContext | null): AdsTarget[] {
  const { discovery } = cluster
  if (discovery.kind !== 'static' && discovery.kind !== 'strictDns' && discovery.kind !== 'logicalDns') return []
  const keepaliveSeconds = cluster.tcpKeepalive?.timeSeconds ?? null
  const common = {
    metadata: metadataOf(service),
    channelOptions: channelOptions(cluster, service),
    credentials: async () => {
      const { SidecarCredentials } = await import('./sidecar-credentials.js')
      return new SidecarCredentials(cluster.tls !== null, tls, keepaliveSeconds === null ? null : keepaliveSeconds * 1000)
    },
  }
  const targets: AdsTarget[] = []
  for (const locality of discovery.assignment.localities) {
    for (const endpoint of locality.endpoints) {
      const { address } = endpoint
      const text =
        address.kind === 'pipe'
          ? `unix:${address.path}`
          : discovery.kind === 'static'
            ? formatAddress(address)
            : `dns:${formatAddress(address)}`
      targets.push({ address: text, ...common })
    }
  }
  return targets
}

/** google_grpc: a target by its own URI, with credentials of its own. Files are read at each dial: they may have rotated. */
export function targetOfGoogle(
  service: GrpcService,
  read: (source: DataSource) => string | null,
  statsOf: (statPrefix: string) => GoogleGrpcHandles,
): AdsTarget {
  const { target: address, google, ssl, fileCredentials = [] } = service
  const stats = statsOf(google!.statPrefix)
  const common = {
    address,
    metadata: metadataOf(service),
    channelOptions: { ...google!.channelArgs },
    onStream: () => void stats.streams_total.value++,
    onStreamEnd: (code: number) => countGrpcClosed(stats, code),
  }
  if (ssl === undefined) return common
  const bytes = (source: DataSource | null): Buffer | undefined => {
    const text = source === null ? null : read(source)
    if (source !== null && text === null) throw new Error(`${address}: a file of its ssl_credentials cannot be read`)
    return text === null ? undefined : Buffer.from(text)
  }
  const credentials = async (): Promise<ChannelCredentials> => {
    const { credentials: made, Metadata } = await import('../xds/client/grpc-client.js')
    const { TlsCredentials } = await import('../io/grpc-credentials.js')
    const channel = new TlsCredentials({ ca: bytes(ssl.rootCerts), key: bytes(ssl.privateKey), cert: bytes(ssl.certChain) })
    return fileCredentials.reduce<ChannelCredentials>((composed, { secret, header, prefix }) => {
      const perCall = made.createFromMetadataGenerator((_, answer) => {
        const text = credentialOf(read(secret))
        if (text === null) {
          answer(new Error(`${address}: the file of its call credentials cannot be read, or is no header`))
          return
        }
        const metadata = new Metadata()
        metadata.set(header, prefix + text)
        answer(null, metadata)
      })
      return composed.compose(perCall)
    }, channel)
  }
  return { ...common, credentials }
}

function metadataOf(service: GrpcService): (readonly [key: string, value: string])[] {
  return service.initialMetadata.map(entry => [entry.key, entry.value] as const)
}

function channelOptions(cluster: Cluster, service: GrpcService): ChannelOptions {
  const { keepaliveIntervalMs, keepaliveTimeoutMs } = cluster.http.http2
  return {
    // Envoy's :authority of envoy_grpc.
    'grpc.default_authority': service.authority || cluster.name,
    ...(keepaliveIntervalMs === null
      ? {}
      : { 'grpc.keepalive_time_ms': keepaliveIntervalMs, 'grpc.keepalive_timeout_ms': keepaliveTimeoutMs }),
  }
}
