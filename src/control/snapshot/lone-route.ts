// An http-route as a gateway would have it that has nothing else: what it comes to must not hang on whether its gateway is there already, and its
// services speak HTTP already. Called by check-write.ts.
import type { ApiGateway, HttpRoute } from '../config-entries/edge-types.js'
import { withChanges } from '../config-entries/entry-index.js'
import type { ConfigEntryIndex, ConfigEntryKind, EntryOfKind } from '../config-entries/types.js'

/** No entry has the name. */
export const LONE_GATEWAY = ' lone'

export function withLoneRoute(route: HttpRoute, entries: ConfigEntryIndex): ConfigEntryIndex {
  const gateway: ApiGateway = { Kind: 'api-gateway', Name: LONE_GATEWAY, Listeners: [{ Name: 'http', Port: 80, Protocol: 'http' }] }
  const lone: HttpRoute = { ...route, Name: LONE_GATEWAY, Parents: [{ Kind: 'api-gateway', Name: LONE_GATEWAY }] }
  const after = withChanges(entries, [
    { op: 'put', entry: gateway },
    { op: 'put', entry: lone },
  ])
  const services = new Set(route.Rules.flatMap(({ Services }) => Services.map(({ Name }) => Name)))
  return {
    get: <K extends ConfigEntryKind>(kind: K, name: string): EntryOfKind<K> | undefined => {
      if (kind !== 'service-defaults' || !services.has(name)) return after.get(kind, name)
      const entry: object | undefined = after.get(kind, name)
      return { Kind: kind, Name: name, ...entry, Protocol: 'http' } as EntryOfKind<K>
    },
    list: kind => after.list(kind),
  }
}
