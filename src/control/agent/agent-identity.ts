// Who this agent is: a node ID and a secret made once and kept in its data directory, so that the node stays its own over restarts. Read by
// `ClientAgent` at the start. Without a data directory each start is another agent, and the name is free only once the last one has left.
import { randomBytes, randomUUID } from 'node:crypto'
import type { Store } from '../store/store.js'

const SECRET_BYTES = 32

export async function agentIdentity(store: Store): Promise<{ readonly id: string; readonly secret: string }> {
  return {
    id: await once(store, 'node-id', () => randomUUID()),
    secret: await once(store, 'agent-secret', () => randomBytes(SECRET_BYTES).toString('hex')),
  }
}

async function once(store: Store, key: string, make: () => string): Promise<string> {
  const record = await store.get('meta', key)
  if (record !== undefined) return record.value as string
  const value = make()
  await store.put('meta', key, value)
  return value
}
