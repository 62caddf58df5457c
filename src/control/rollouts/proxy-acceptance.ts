// Have the sidecars taken what a rollout moved? Asked by rollout-engine.ts of the publisher, which knows what each has acknowledged, and of the
// ADS server, which knows what they refused. Of those that read the service's splitter or router, and are connected: others send nothing.
// Invariant: only what a move can change counts; a gateway whose certificate file is missing refuses its secret again and again.
import type { AdsServer } from '../../xds/server/server.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../xds/type-urls.js'
import type { SnapshotPublisher } from '../snapshot/snapshot-publisher.js'

export interface Acceptance {
  /** Keys of the proxies that have not acknowledged it yet. */
  readonly pending: readonly string[]
  readonly refused: readonly { readonly proxy: string; readonly message: string }[]
}

/** `index`, `sinceMs`: of the move. */
export type AskAcceptance = (service: string, index: number, sinceMs: number) => Acceptance

const MOVED_TYPES: ReadonlySet<string> = new Set([CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE])

export function proxyAcceptance(
  publisher: Pick<SnapshotPublisher, 'dependentsOf' | 'acknowledgedIndex'>,
  ads: Pick<AdsServer, 'status'>,
): AskAcceptance {
  return (service, index, sinceMs) => {
    const readers = new Set([...publisher.dependentsOf('service-splitter', service), ...publisher.dependentsOf('service-router', service)])
    const behind = new Set([...readers].filter(proxy => publisher.acknowledgedIndex(proxy, MOVED_TYPES) < index))
    if (behind.size === 0) return { pending: [], refused: [] }
    const connected = ads.status().filter(status => status.connected && behind.has(status.nodeKey))
    const refused = connected.flatMap(({ nodeKey, streams }) => {
      const nack = streams
        .flatMap(({ types }) => types)
        .find(({ typeUrl, lastNack }) => MOVED_TYPES.has(typeUrl) && lastNack !== null && lastNack.at >= sinceMs)?.lastNack
      return nack === undefined || nack === null ? [] : [{ proxy: nodeKey, message: nack.message }]
    })
    return { pending: connected.map(({ nodeKey }) => nodeKey), refused }
  }
}
