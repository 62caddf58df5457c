// What the proxies of an API gateway have acknowledged of what they should have: the condition `Programmed` of its entry. Called by
// `/v1/config`. Known of the proxies that are connected to this server.
import { keyOfInstance } from '../catalog/catalog-types.js'
import type { GatewayProgress } from '../gateways/entry-status.js'
import type { ApiContext } from './context.js'

export function gatewayProgress(
  gateway: string,
  { catalog, ads, publisher }: Pick<ApiContext, 'catalog' | 'ads' | 'publisher'>,
): GatewayProgress {
  const proxies = catalog
    .instancesOf(gateway)
    .filter(({ Kind }) => Kind === 'api-gateway')
    .map(instance => ({ id: instance.ID, key: keyOfInstance(instance) }))
    .filter(({ key }) => ads.isConnected(key))
  if (proxies.length === 0) return { Status: 'Unknown', Reason: 'Pending', Message: 'no proxy of the gateway is connected here' }
  for (const { id, key } of proxies) {
    const refusals = (ads.statusOf(key)?.streams ?? []).flatMap(({ types }) => types.flatMap(({ lastNack }) => lastNack ?? []))
    const [refusal] = refusals
    if (refusal !== undefined)
      return { Status: 'False', Reason: 'Invalid', Message: `${id} has refused ${refusal.names.join(', ')}: ${refusal.message}` }
  }
  const waiting = proxies.filter(({ key }) => publisher.isPending(key) || !ads.isSynced(key)).map(({ id }) => id)
  if (waiting.length > 0) return { Status: 'False', Reason: 'Pending', Message: `${waiting.join(', ')}: not acknowledged yet` }
  return { Status: 'True', Reason: 'Programmed', Message: 'all of its proxies that are connected have acknowledged it' }
}
