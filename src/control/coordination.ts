// What clients coordinate with: key/value pairs, sessions and their locks, prepared queries, user events, opened from the store and wired
// to the catalog, whose checks end sessions. Called once by `ControlPlane`; the parts are what the HTTP API and DNS work on.
import type { Catalog } from './catalog/catalog.js'
import { OWN_NODE } from './catalog/catalog-types.js'
import { UserEvents } from './event/user-events.js'
import { KvTable } from './kv/kv-table.js'
import { KvWriter } from './kv/kv-writer.js'
import { QueryTable } from './query/query-table.js'
import { type SessionRecord, SessionTable } from './session/session-table.js'
import type { Store } from './store/store.js'

export interface Coordination {
  readonly kv: KvTable
  readonly kvWriter: KvWriter
  readonly sessions: SessionTable
  readonly queries: QueryTable
  readonly events: UserEvents
  /** Why a session can't live, or undefined. */
  judgeSession(session: Omit<SessionRecord, 'ID'>): string | undefined
}

/** The check of the agent's own liveness, which every node has. */
const SERF_HEALTH = 'serfHealth'

export async function openCoordination(parts: {
  readonly store: Store
  readonly catalog: Catalog
  readonly onProblem: (reason: string) => void
}): Promise<Coordination> {
  const { store, catalog, onProblem } = parts
  const kv = await KvTable.open(store)
  const sessions = await SessionTable.open(store, kv, onProblem)
  const kvWriter = new KvWriter(store, kv, sessions)
  sessions.start(kvWriter)
  const queries = await QueryTable.open(store, onProblem)
  const events = new UserEvents({ node: catalog.ownNode.Node, services: () => catalog.instancesOn(OWN_NODE) })
  const judgeSession = (session: Omit<SessionRecord, 'ID'>): string | undefined => {
    if (catalog.node(session.Node) === undefined) return 'Missing node registration'
    const node = catalog.nodeKey(session.Node)
    for (const id of [...session.NodeChecks, ...session.ServiceChecks.map(({ ID }) => ID)]) {
      if (id === SERF_HEALTH && node === OWN_NODE) continue
      const check = catalog.checkOn(node, id)
      if (check === undefined) return `Missing check '${id}' registration`
      if (check.status === 'critical') return `Check '${id}' is in critical state`
    }
    return undefined
  }
  catalog.onChange(() => sessions.judge(judgeSession))
  sessions.judge(judgeSession)
  return { kv, kvWriter, sessions, queries, events, judgeSession }
}
