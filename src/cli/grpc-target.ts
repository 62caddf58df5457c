// A management server as a static cluster of the bootstrap -> what grpc-js dials: addresses, credentials, authority.

import { credentials } from '@grpc/grpc-js'
import { formatAddress } from '../model/address.js'
import type { Cluster } from '../model/cluster.js'
import type { DataSource } from '../model/tls.js'
import type { AdsTarget } from '../xds/client.js'

type ReadSource = (source: DataSource) => string | null

/** One target per endpoint, in the order of the config; a cluster without endpoints gives none. */
export function targetOfCluster(cluster: Cluster, metadata: readonly (readonly [string, string])[], read: ReadSource): AdsTarget[] {
  const { discovery } = cluster
  if (discovery.kind !== 'static' && discovery.kind !== 'strictDns' && discovery.kind !== 'logicalDns') return []
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
      targets.push({ address: text, metadata, ...tlsOf(cluster, read) })
    }
  }
  return targets
}

function tlsOf(cluster: Cluster, read: ReadSource): Pick<AdsTarget, 'credentials' | 'channelOptions'> {
  const { tls } = cluster
  if (tls === null) return {}
  const bytes = (source: DataSource | null | undefined): Buffer | null => {
    const text = source == null ? null : read(source)
    return text === null ? null : Buffer.from(text)
  }
  const certificate = tls.common.certificates[0]
  return {
    credentials: credentials.createSsl(
      bytes(tls.common.validation?.trustedCa),
      bytes(certificate?.privateKey),
      bytes(certificate?.certificateChain),
    ),
    ...(tls.sni === '' ? {} : { channelOptions: { 'grpc.ssl_target_name_override': tls.sni, 'grpc.default_authority': tls.sni } }),
  }
}
