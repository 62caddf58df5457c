// Who this control plane is to others: its id, and the node that services registered by its agent API stand on. Read by `ControlPlane` at the start.
import { randomUUID } from 'node:crypto'
import type { NodeInfo } from './http-api/context.js'
import { put, type Store } from './store/store.js'

/**
 * The node that the agent API registers on. Replicas serve it together, so it has one name, address and place for all of them: what the first of
 * them was started with. A sidecar is told the same endpoints whichever of them it follows.
 */
export async function serverNode(store: Store, own: Omit<NodeInfo, 'id' | 'datacenter'>): Promise<Omit<NodeInfo, 'datacenter'>> {
  const id = await madeOnce(store, 'node-id', randomUUID())
  return store.isShared ? { id, ...(await madeOnce(store, 'server-node', own)) } : { id, ...own }
}

/** What the first one has made. */
function madeOnce<T>(store: Store, key: string, value: T): Promise<T> {
  return store.exclusive(async turn => {
    const record = await store.get('meta', key)
    if (record !== undefined) return record.value as T
    await turn.transaction([put('meta', key, value)])
    return value
  })
}
